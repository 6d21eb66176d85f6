"""Which clean images are misread, and which are flagged: by parts of the test set, and on training images beside
test ones.

The test images of MNIST do not come in random order: its halves are of different writers, and not equally hard.
Nothing is predicted here; every function takes clean records (`lib.runs.differences.stored`) and returns a frame.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from lib import metrics, tables
from lib.runs.outcomes import NO_MARGINAL, Pooled

PARTS = {"0 to 1,999": (0, 2000), "0 to 4,999": (0, 5000), "5,000 to 9,999": (5000, 10_000), "all": (0, 10_000)}
HALVES = ("0 to 4,999", "5,000 to 9,999")


def by_part(wrong: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Share of images that are misread in each of PARTS, of those parts whose images a model has all.

    wrong: model -> (index, whether misread), both (image). Columns: model, part, value, low, high, n.
    """
    lines = []
    for model, (index, missed) in wrong.items():
        for part, (first, last) in PARTS.items():
            inside = (index >= first) & (index < last)
            if inside.sum() == last - first:
                lines.append(_share(missed[inside]) | {"model": model, "part": part})
    return pd.DataFrame(lines, columns=["model", "part", "value", "low", "high", "n"])


def misread(groups: list[Pooled]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """model -> (index, whether the one stored draw misreads the test image), from clean records."""
    return {g.settings["model"]: (g["test_index"], g["test_log_joint"].argmax(1) != g["test_label"]) for g in groups}


def halves_in_words(parts: pd.DataFrame) -> str:
    """How many models misread more of the first half of the test set than of the second, and what that means
    for attacks."""
    both = parts[parts.part.isin(HALVES)].pivot(index="model", columns="part", values=["value", "low", "high"]).dropna()
    if both.empty:
        return "No record holds both halves yet."
    one, two = HALVES
    more, sure = both["value", one] > both["value", two], both["low", one] > both["high", two]
    return (f"The first half is misread more often than the second by {more.sum()} of {len(both)} "
            f"({tables.listed(list(both.index))}), beyond the intervals by {sure.sum()}."
            + " Attacked images are the first ones, and so from the harder half." * bool(more.mean() > 0.5))


def train_and_test(groups: list[Pooled]) -> pd.DataFrame:
    """Misread training and test images of each model, one draw each: index model; columns train, test, and of both
    their "low ...", "high ..." and "n ..."."""
    lines = {}
    for g in groups:
        if "train_log_joint" in g.arrays:
            parts = {part: _share(g[f"{part}_log_joint"].argmax(1) != g[f"{part}_label"]) for part in ("train", "test")}
            lines[g.settings["model"]] = {name if key == "value" else f"{key} {name}": line[key]
                                          for name, line in parts.items() for key in ("value", "low", "high", "n")}
    names = [name if key == "value" else f"{key} {name}" for name in ("train", "test")
             for key in ("value", "low", "high", "n")]
    return pd.DataFrame(lines, index=names).T


def unfitted(both: pd.DataFrame, most: float = 0.02) -> list[str]:
    """The models that surely misread more than `most` of their own training images: not trained to the end."""
    return list(both.index[both["low train"] > most])


def flagged_by_half(groups: list[Pooled], detectors: Callable[[str], dict],
                    rule: str = "quantile") -> tuple[float, float]:
    """False-positive rates on the two halves of the test set, the mean over models and detectors; NaN where no record
    has both.

    detectors: model -> what `outcomes.fitted` returns.
    """
    found = []
    for g in groups:
        model, index = g.settings["model"], g["test_index"]
        inside = [(index >= first) & (index < last) for first, last in map(PARTS.get, HALVES)]
        if not all(half.sum() == 5000 for half in inside):
            continue
        scores = torch.from_numpy(g["test_log_joint"])
        for (name, kind), detector in detectors(model).items():
            if kind == rule and not (name == "marginal" and model in NO_MARGINAL):
                flags = detector.flags(scores).numpy()
                found.append([flags[half].mean() for half in inside])
    return tuple(np.mean(found, axis=0)) if found else (np.nan, np.nan)


def flagged_in_words(first: float, second: float) -> str:
    """What `flagged_by_half` says of false alarms on test images that exceed those on training images."""
    if np.isnan(first):
        return ("No record holds both halves of the test set yet; it begins with the half that is harder for a plain "
                "network, and part of the excess over 5 % may be this")
    found = (f"On the first 5,000 test images it flags {tables.percent(first)}, on the other 5,000 "
             f"{tables.percent(second)}, the mean over models and detectors")
    return found + (": the test set begins with its harder half, and part of the excess is this" if first > second else
                    ": the order of the test set is not the cause")


def _share(hits: np.ndarray) -> dict[str, float]:
    low, high = metrics.wilson(hits.mean(), len(hits))
    return {"value": float(hits.mean()), "low": low, "high": high, "n": len(hits)}
