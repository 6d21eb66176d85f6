"""The two-rings toy of Li et al. (2019), Figure 2: which points of the plane each detector rejects.

The class densities are known exactly, so nothing is trained and every detector is seen at its best. The paper gives the
family of densities, 1,000 points a class and 10 % false positives; centres, radii, sigma and the plotted square are our
choice (`Rings`). Command: python -m lib.runs.rings --profile laptop
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lib.detectors import DETECTORS
from lib.metrics import wilson
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, Record
from lib.runs import units

DATA_SEEDS, POINTS, FPR, REACH, SIDE, SURE = 5, 1000, 0.10, 2.0, 400, 0.9
RULES = ("quantile", "alpha")
UNIONS = {"marginal+logit+kl": ("marginal", "logit", "kl"), "marginal+logit+tv": ("marginal", "logit", "tv"),
          "all": ("marginal", "logit", "kl", "tv")}


@dataclass(frozen=True)
class Rings:
    """Two equally likely classes, each a ring in the plane blurred by a Gaussian of standard deviation sigma."""

    sigma: float = 0.1
    radius: float = 1.0
    centres: tuple = ((-0.5, 0.0), (0.5, 0.0))

    def sample(self, points: int, seed: int) -> tuple[Float[Tensor, "point 2"], Int64[Tensor, " point"]]:
        """Draw `points` of each class, in random order, float64."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(2).repeat_interleave(points)[torch.randperm(2 * points, generator=generator)]
        angle = 2 * math.pi * torch.rand(2 * points, generator=generator, dtype=torch.float64)
        noise = self.sigma * torch.randn(2 * points, 2, generator=generator, dtype=torch.float64)
        on_ring = self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        return torch.tensor(self.centres, dtype=torch.float64)[labels] + on_ring + noise, labels

    def distance(self, points: Float[Tensor, "point 2"]) -> Float[Tensor, "point class"]:
        """Distance from each point to the nearest point of each ring."""
        centres = torch.tensor(self.centres, dtype=points.dtype)
        return (torch.cdist(points, centres) - self.radius).abs()

    def log_joint(self, points: Float[Tensor, "point 2"]) -> Float[Tensor, "point class"]:
        """log p(x, y = c) = log 1/2 + log N(x; nearest point of ring c, sigma^2 I), in nats.

        Not normalised over the plane (each ring takes its own nearest point as mean), as in the paper; only
        differences matter here.
        """
        density = -self.distance(points).square() / (2 * self.sigma**2) - math.log(2 * math.pi * self.sigma**2)
        return density + math.log(0.5)


def plane(side: int = SIDE, reach: float = REACH) -> Float[Tensor, "point 2"]:
    """The points of a side x side grid on [-reach, reach]^2, row by row from the bottom, float64."""
    edge = torch.linspace(-reach, reach, side, dtype=torch.float64)
    up, across = torch.meshgrid(edge, edge, indexing="ij")
    return torch.stack([across, up], dim=-1).flatten(0, 1)


def fit(rings: Rings, points: Float[Tensor, "point 2"], labels: Int64[Tensor, " point"], fpr: float = FPR,
        rule: str = "quantile") -> dict:
    """The four detectors, fitted on training points: name -> fitted detector."""
    scores = rings.log_joint(points)
    return {name: detector.fit(scores, labels, fpr=fpr, rule=rule) for name, detector in DETECTORS.items()}


def flags(fitted: dict, log_joint: Float[Tensor, "point class"],
          label: int | None = None) -> dict[str, Bool[Tensor, " point"]]:
    """What each detector, and each union of them, rejects. label: assigned by hand, None for the predicted class."""
    predicted = log_joint.argmax(1) if label is None else torch.full((len(log_joint),), label)
    single = {name: detector.flags(log_joint, predicted) for name, detector in fitted.items()}
    return single | {name: torch.stack([single[part] for part in parts]).any(0) for name, parts in UNIONS.items()}


def achieved(rings: Rings, fpr: float = FPR, rule: str = "quantile", seed: int = 0) -> dict[str, float]:
    """The share of its own training points, each under its predicted class, that each fitted detector really rejects.

    Thresholds are fitted by true class, but a detector in use knows only the predicted one.
    """
    points, labels = rings.sample(POINTS, seed)
    scores = rings.log_joint(points)
    return {name: detector.flags(scores, scores.argmax(1)).double().mean().item()
            for name, detector in fit(rings, points, labels, fpr, rule).items()}


def panels(rings: Rings, fitted: dict, side: int = SIDE) -> dict[str, tuple]:
    """The six maps of Figure 2 for `plots.acceptance`: title -> (class of each grid point, whether it is rejected)."""
    scores = rings.log_joint(plane(side))
    wanted = {"marginal": ("marginal", None), "logit, label 0": ("logit", 0), "logit, label 1": ("logit", 1),
              "KL": ("kl", None), "TV": ("tv", None), "all together": ("all", None)}
    maps = {}
    for title, (name, label) in wanted.items():
        shown = scores.argmax(1) if label is None else torch.full((len(scores),), label)
        rejected = flags(fitted, scores, label)[name]
        maps[title] = (shown.reshape(side, side).numpy(), rejected.reshape(side, side).numpy())
    return maps


def divergence_curves(fitted: dict, label: int = 0, reach: float = 70.0) -> tuple[Tensor, dict[str, Tensor]]:
    """KL and TV scores over their thresholds, against the margin of class `label` in nats: (margin), name -> (margin).

    Above 1 a point is rejected. With two classes both scores depend on the margin alone.
    """
    margin = torch.linspace(0, reach, 281, dtype=torch.float64)
    scores = torch.zeros(len(margin), 2, dtype=torch.float64)
    scores[:, label] = margin
    predicted = torch.full((len(margin),), label)
    return margin, {name: fitted[name].score(scores, predicted) / fitted[name].thresholds[label]
                    for name in ("kl", "tv")}


def regions(rings: Rings, points: Float[Tensor, "point 2"]) -> dict[str, Bool[Tensor, " point"]]:
    """Parts of the plane with a known right answer, by distance in sigma.

    far: beyond 3 sigma of both rings. crossing: within 1 sigma of both. ring 0, ring 1: within 1 sigma of that ring and
    beyond 3 sigma of the other. uncertain: the better class has less than 90 % of the probability.
    """
    near, off = rings.distance(points) < rings.sigma, rings.distance(points) > 3 * rings.sigma
    return {"far": off.all(1), "crossing": near.all(1),
            "ring 0": near[:, 0] & off[:, 1], "ring 1": near[:, 1] & off[:, 0], "uncertain": uncertain(rings, points)}


def uncertain(rings: Rings, points: Float[Tensor, "point 2"]) -> Bool[Tensor, " point"]:
    """Where the better class has less than 90 % of the probability."""
    return rings.log_joint(points).softmax(1).amax(1) < SURE


def doubted(blurs: tuple[float, ...], fpr: float = FPR, seed: int = 0) -> pd.DataFrame:
    """What share of the doubtful points of the plane KL and TV reject where the rings are as wide as each of `blurs`.

    Columns: rule, sigma, detector, variant (region: uncertain or crossing), seed (training sets seed .. seed +
    4), value.
    """
    grid, lines = plane(), []
    for sigma in blurs:
        toy = Rings(sigma=sigma)
        found = regions(toy, grid)
        here = {part: toy.log_joint(grid[found[part]]) for part in ("uncertain", "crossing")}
        for each in range(seed, seed + DATA_SEEDS):
            points, labels = toy.sample(POINTS, each)
            clean = toy.log_joint(points)
            for rule, name in itertools.product(RULES, ("kl", "tv")):
                fitted = DETECTORS[name].fit(clean, labels, fpr=fpr, rule=rule)
                lines += [{"rule": rule, "sigma": sigma, "detector": name, "variant": part, "seed": each,
                           "value": fitted.flags(scores).double().mean().item()} for part, scores in here.items()]
    return pd.DataFrame(lines)


def until(widths: pd.DataFrame) -> tuple[float, float]:
    """Of `doubted`: the largest width up to which TV rejects more than half of the crossings, and the smallest from
    which on it rejects nothing doubtful, by both rules and for every training set; NaN where there is none."""
    tv = widths[widths.detector == "tv"].groupby("sigma").value.max()
    least = widths[(widths.detector == "tv") & (widths.variant == "crossing")].groupby("sigma").value.min()
    return float(least[(least > 0.5).cummin()].index.max()), float(tv[(tv == 0)[::-1].cummin()[::-1]].index.min())


def should_reject(rings: Rings, points: Float[Tensor, "point 2"], fpr: float = FPR) -> Bool[Tensor, " point"]:
    """Far from the data or uncertain, by a rule of our own that uses no detector.

    far: the nearest ring is farther than all but the share `fpr` of its own points are.
    """
    reach = rings.sigma * math.sqrt(2) * torch.erfinv(torch.tensor(1 - fpr)).item()
    return (rings.distance(points).amin(1) > reach) | uncertain(rings, points)


def region_rows(rings: Rings, fitted: dict) -> list[dict]:
    """detect_<name>: share of each region of the plane that is rejected (column variant), under the predicted class and
    under each class assigned by hand (column class); iou: of each detector or union with `should_reject`."""
    grid, rows = plane(), []
    scores, parts, truth = rings.log_joint(grid), regions(rings, grid), should_reject(rings, grid)
    for label in (None, 0, 1):
        for name, flagged in flags(fitted, scores, label).items():
            rows += [{"metric": f"detect_{name}", "variant": part, "class": "" if label is None else label,
                      "value": flagged[inside].double().mean().item(), "n": int(inside.sum())}
                     for part, inside in parts.items()]
            if label is None:
                overlap = (flagged & truth).sum() / (flagged | truth).sum()
                rows.append({"metric": "iou", "variant": name, "value": overlap.item(), "n": len(grid)})
    return rows


def clean_rows(rings: Rings, fitted: dict, split: str, points: Tensor, labels: Tensor) -> list[dict]:
    """fpr_<name> and accuracy on points of the rings themselves; column variant: train or test."""
    scores = rings.log_joint(points)
    hits = {f"fpr_{name}": flagged for name, flagged in flags(fitted, scores).items()}
    hits["accuracy"] = scores.argmax(1) == labels
    shares = {metric: hit.double().mean().item() for metric, hit in hits.items()}
    bounds = {metric: wilson(share, len(points)) for metric, share in shares.items()}
    return [{"metric": metric, "variant": split, "value": share, "low": float(bounds[metric][0]),
             "high": float(bounds[metric][1]), "n": len(points)} for metric, share in shares.items()]


def settings_for(seed: int, profile: str) -> dict:
    """What the record of a data seed says of how it was made."""
    return {"experiment": "rings", "dataset": "two-rings", "model": "exact", "attack": "clean", "seed": seed,
            "profile": profile, "protocol": "published", "dtype": "float64", "data": "drawn from the density"}


def draw(seed: int, profile: str) -> tuple[dict, dict]:
    """The record of one data seed: a training set, and a test set of the same size."""
    (points, label), (test_points, test_label) = Rings().sample(POINTS, seed), Rings().sample(POINTS, seed + 1000)
    arrays = {"points": points, "label": label, "test_points": test_points, "test_label": test_label}
    return {name: array.numpy() for name, array in arrays.items()}, settings_for(seed, profile)


def summarise(records: list[Record]) -> list[dict]:
    """Rows of every record under both threshold rules (column detector)."""
    rows, toy = [], Rings()
    for record in records:
        part = {name: torch.from_numpy(array) for name, array in record.arrays.items()}
        key = {k: v for k, v in record.settings.items() if k in COLUMNS}
        for rule in RULES:
            fitted = fit(toy, part["points"], part["label"], rule=rule)
            found = (region_rows(toy, fitted) + clean_rows(toy, fitted, "train", part["points"], part["label"])
                     + clean_rows(toy, fitted, "test", part["test_points"], part["test_label"]))
            rows += [key | {"detector": rule} | row for row in found]
    return rows


def rings(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
          fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of the toy for data seeds seed .. seed + 4; a unit is one data seed. Seconds at any profile."""
    todo = [units.Unit(f"seed{s}", lambda device, s=s: draw(s, profile), expected=settings_for(s, profile))
            for s in range(seed, seed + DATA_SEEDS)]
    return units.ensure("rings", todo, summarise, profile=profile_of(profile).name, device=device, results=results,
                        fresh=fresh, only=only)


if __name__ == "__main__":
    units.main(rings, __doc__)
