"""Detection and classification with K one-against-the-rest detectors (Yin et al. 2020): read, accept or reject.

Two systems read the same logits. Integrated: f names the class, and the detector of that class accepts. Generative: the
largest detector logit names the class and accepts. A high score is natural, so an input is accepted at or above a
threshold, and thresholds are found by sorting scores, never on a grid.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray


def integrated(f: Float[ndarray, "image class"], heads: Float[ndarray, "image class"]
               ) -> tuple[Int[ndarray, " image"], Float[ndarray, " image"]]:
    """The class that f names, and the logit of that class's detector."""
    predicted = f.argmax(1)
    return predicted, np.take_along_axis(heads, predicted[:, None], axis=1)[:, 0]


def generative(heads: Float[ndarray, "image class"]) -> tuple[Int[ndarray, " image"], Float[ndarray, " image"]]:
    """The class of the largest detector logit, and that logit."""
    return heads.argmax(1), heads.max(1)


@dataclass(frozen=True)
class Reject:
    """Rejects inputs that score below `threshold`."""

    threshold: float

    @classmethod
    def fit(cls, natural: Float[ndarray, " image"], rejected: float = 0.05) -> "Reject":
        """The highest threshold that rejects at most the share `rejected` of natural scores (0 accepts all of them).

        Raises ValueError for a share outside [0, 1), where nothing would be accepted, and for no scores.
        """
        if not 0 <= rejected < 1:
            raise ValueError(f"rejected is {rejected!r}; expected a share of natural images from 0 to below 1")
        if not len(natural):
            raise ValueError("there are no natural scores; expected at least one to fit a threshold on")
        if np.isnan(natural).any():
            raise ValueError(f"{np.isnan(natural).sum()} of {len(natural)} natural scores are NaN; expected numbers")
        return cls(float(np.sort(natural)[int(np.floor(rejected * len(natural) + 1e-9))]))

    def accepts(self, score: Float[ndarray, "*lead"]) -> Shaped[ndarray, "*lead"]:
        """Whether each input is accepted."""
        return score >= self.threshold


@dataclass(frozen=True)
class Curve:
    """Shares at every threshold, from accepting everything (first entry, threshold minus infinity) to nothing (last).

    accepted: of natural images (the paper's TPR, equation 6). accuracy: natural images read right and accepted (13).
    error: attacked images misread and accepted, of all of them (FPR, equation 7, and error, 14: they are the same).
    """

    threshold: Float[ndarray, " point"]
    accepted: Float[ndarray, " point"]
    accuracy: Float[ndarray, " point"]
    error: Float[ndarray, " point"]


def curve(natural: Float[ndarray, " image"], right: Shaped[ndarray, " as_many"], attacked: Float[ndarray, " attack"],
          misread: Shaped[ndarray, " as_many_attacks"]) -> Curve:
    """All operating points of a system, exactly: one for every score that occurs.

    natural, attacked: scores. right: which natural images are read correctly. misread: which attacked ones are not.
    Raises ValueError where scores and outcomes differ in number, a side is empty, or a score is NaN.
    """
    for name, score, outcome in (("natural", natural, right), ("attacked", attacked, misread)):
        if len(score) != len(outcome) or not len(score):
            raise ValueError(f"{len(score)} {name} scores with {len(outcome)} outcomes; expected as many, at least one")
        if np.isnan(score).any():
            raise ValueError(f"{int(np.isnan(score).sum())} of {len(score)} {name} scores are NaN; expected numbers: "
                             "look at the logits")
    threshold = np.concatenate([[-np.inf], np.unique(np.concatenate([natural, attacked])), [np.inf]])

    def share(scores, counted):
        kept = np.sort(scores[np.asarray(counted, bool)])
        return (len(kept) - np.searchsorted(kept, threshold, side="left")) / len(scores)

    accepted = share(natural, np.ones(len(natural), bool))
    return Curve(threshold, accepted, share(natural, right), share(attacked, misread))
