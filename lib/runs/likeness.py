"""How like the truth a detector's logits are: e^z over a grid as a density, and {z > 0} as a support (numpy, scipy)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage

from lib import metrics
from lib.runs.shapes import REACH, Points, grid_points


@dataclass(frozen=True)
class Yardstick:
    """The true distribution of the positives on a grid, to measure logits against.

    truth: probabilities of the grid's points, sum 1. support: whether they lie in the true support. Where the positives
    are blobs, else None: near: within 3 standard deviations of a blob's centre and one step of the grid, which may be
    the wider of the two; own: within half the distance to the next blob. The support is then whatever is near one.
    """

    points: Points
    side: int
    truth: Float[ndarray, " point"]
    support: Bool[ndarray, " point"]
    near: Bool[ndarray, "blob point"] | None
    own: Bool[ndarray, "blob point"] | None

    @classmethod
    def of(cls, points: Points, side: int) -> "Yardstick":
        """For a grid of `side` points along each axis."""
        grid, centres = grid_points(points.shape.dimension, side), points.centres
        if centres is None:
            return cls(points, side, points.probabilities(side), points.support(grid), None, None)
        away = [np.sqrt(np.square(grid - centre).sum(1)) for centre in centres]
        near = np.stack([far <= REACH * sd + 1 / (side - 1) for far, sd in zip(away, points.spread)])
        own = np.stack([far <= radius for far, radius in zip(away, reach(centres))])
        return cls(points, side, points.probabilities(side), near.any(0), near, own)

    def density(self, logits: Float[ndarray, " point"]) -> dict[str, ndarray]:
        """Measures of e^z, normalised over the grid.

        tv; kl (nats, of the estimate from the truth); inside: its mass in the true support. Where the positives are
        blobs, mass (blob): `near` it; mass_error (blob): its distance from 1 / blobs; share (blob):
        in its `own` part; least_share, most_share: the extremes, in units of 1 / blobs. On the
        line peak (blob): the greatest density near it; peak_ratio: of the last blob to the first;
        offset (blob): how far from the blob's centre e^z is greatest, within its share's reach.
        """
        if np.shape(logits) != self.truth.shape:
            raise ValueError(f"logits have shape {np.shape(logits)}; expected {self.truth.shape}, one for "
                             f"each point of a grid with {self.side} points along an axis")
        log_p = metrics.gibbs(logits)
        p = np.exp(log_p)
        found = {"tv": metrics.total_variation(self.truth, p), "kl": metrics.divergence(self.truth, log_p),
                 "inside": p[self.support].sum()}
        if self.near is not None:
            mass, share = self.near @ p, self.own @ p
            found |= {"mass": mass, "mass_error": np.abs(mass - 1 / len(mass)), "share": share,
                      "least_share": share.min() * len(share), "most_share": share.max() * len(share)}
        if self._line:
            peak = np.where(self.near, p, 0).max(1) * (self.side - 1)
            highest = np.linspace(0, 1, self.side)[np.where(self.own, p, -1).argmax(1)]
            found |= {"peak": peak, "peak_ratio": peak[-1] / peak[0],
                      "offset": np.abs(highest - self.points.centres[:, 0])}
        return {name: np.asarray(value, float) for name, value in found.items()}

    def accepted(self, logits: Float[ndarray, " point"]) -> dict[str, ndarray]:
        """Measures of what is accepted, {sigmoid(z) > 1/2}.

        iou: with the true support. Where the positives are blobs, separated: the share of blobs that `separated` finds.
        On the line valley: the least sigmoid between the first blob and the last; top (blob): the greatest
        near it.
        """
        inside, centres = np.asarray(logits) > 0, self.points.centres
        found = {"iou": metrics.iou(inside, self.support)}
        if centres is not None:
            found["separated"] = separated(inside.reshape([self.side] * centres.shape[1]), centres)
        if self._line:
            sigmoid, edge = np.exp(-np.logaddexp(0, -np.asarray(logits, float))), np.linspace(0, 1, self.side)
            between = (edge >= centres[0, 0]) & (edge <= centres[-1, 0])
            found |= {"valley": sigmoid[between].min(), "top": np.where(self.near, sigmoid, 0).max(1)}
        return {name: np.asarray(value, float) for name, value in found.items()}

    @property
    def _line(self) -> bool:
        return self.near is not None and self.points.shape.dimension == 1


def reach(centres: Float[ndarray, "blob axis"]) -> Float[ndarray, " blob"]:
    """Half the distance from each blob to the next."""
    apart = np.sqrt(np.square(centres[:, None] - centres).sum(2))
    return np.where(apart > 0, apart, np.inf).min(1) / 2


def separated(accepted: Bool[ndarray, "*grid"], centres: Float[ndarray, "blob axis"]) -> float:
    """Share of blobs whose centre is accepted, in a connected part (sides touch) that holds no other blob's centre.

    accepted: over the grid, indexed [y, x] in the plane.
    """
    parts, _ = ndimage.label(accepted)
    index = np.rint(centres * (accepted.shape[0] - 1)).astype(int)
    labels = parts[tuple(index[:, ::-1].T)]
    return float(np.mean([label > 0 and (labels == label).sum() == 1 for label in labels]))
