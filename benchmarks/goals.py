"""What the benchmarks were to reach, beside what they reached."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from benchmarks.gradients import OURS_COARSE
from benchmarks.growth import FEW
from benchmarks.tables import _three
from lib.results import select
from lib.tables import MISSING, interval

NO_GPU = "not tried: no GPU"


@dataclass(frozen=True)
class Goal:
    """A ratio that should be at least `wanted`, or at most where `upper`; with the quartiles of the rounds it
    comes from."""

    what: str
    wanted: float
    found: tuple[float, float, float] | None            # median, first and last quartile; None: no rows
    upper: bool = False

    @property
    def met(self) -> str:
        """yes or no where all of the spread is on one side."""
        if self.found is None:
            return MISSING
        sign = -1 if self.upper else 1
        low, high = sorted(sign * value for value in self.found[1:])
        return "yes" if low >= sign * self.wanted else "no" if high < sign * self.wanted else "within the spread"


def goals(rows: Mapping[str, pd.DataFrame]) -> list[Goal]:
    """All of them, from rows by contest."""
    gradient, pgd, growth = rows["gradient"], rows["pgd"], rows["growth"]
    small, bayes = (select(pgd, model=model) for model in ("CNN", "GFZ"))
    times = select(small, metric="seconds")
    libraries = times[~times.variant.isin(["ours", "forward and backward alone"])].sort_values("value")
    loop = _of(small, "speedup", variant="ours")
    few = _of(growth, "memory", variant=f"{FEW}: 5"), _of(growth, "memory", variant=f"{FEW}: 100")
    steps = {"GFZ": "mnist", "GBZ": "mnist", "GBZ on photographs": "patches"}
    found = [Goal(f"gradient step of {name} against the plain way", 9,
                  _of(gradient, "speedup", model=name[:3], dataset=dataset, variant=OURS_COARSE))
             for name, dataset in steps.items()]
    found += [Goal("PGD over its bare passes", 1.05, _ratio((1, 1, 1), loop), upper=True),
              Goal("PGD against the fastest library", 1,
                   _ratio(_three_of(libraries[:1]), _of(small, "seconds", variant="ours")))]
    found += [Goal(f"PGD on GFZ against {name} on the plain model", 4, _ratio(
        _of(bayes, "seconds", variant=f"{name} on the plain model"), _of(bayes, "seconds", variant=OURS_COARSE)))
        for name in ("CleverHans", "torchattacks")]
    return found + [
        Goal("ten detectors trained stacked against one by one", 1,
             _of(rows["training"], "speedup", model="GAT", variant="stacked")),
        Goal("peak memory at 100 images over that at 5", 1.2, _ratio(few[1], few[0]), upper=True)]


def table(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A line a goal, those that need a GPU last."""
    lines = [{"": goal.what, "goal": f"{'under' if goal.upper else 'at least'} {_three(goal.wanted)}",
              "measured": _said(goal.found), "met": goal.met}
             for goal in goals(rows)]
    lines += [{"": what, "goal": goal, "measured": NO_GPU, "met": "open"} for what, goal in {
        "share of a GPU's bfloat16 rate in the gradient step": "at least 20 %",
        "ten detectors stacked against one by one on a GPU": "at least 5"}.items()]
    return pd.DataFrame(lines).set_index("").rename_axis(None)


def _said(found: tuple[float, float, float] | None) -> str:
    """With its spread, if it has one: what was measured once has none."""
    return MISSING if found is None else _three(found[0]) if found[1] == found[2] else interval(*found, _three)


def _of(rows: pd.DataFrame, metric: str, **keys) -> tuple[float, float, float] | None:
    return _three_of(select(rows, metric=metric, **keys))


def _three_of(found: pd.DataFrame) -> tuple[float, float, float] | None:
    if len(found) != 1:
        return None
    row = found.iloc[0]
    return (row.value, row.value, row.value) if pd.isna(row.low) else (row.value, row.low, row.high)


def _ratio(over: tuple | None, under: tuple | None) -> tuple[float, float, float] | None:
    """Of medians; from the least to the most that the quartiles of both allow."""
    if over is None or under is None:
        return None
    return over[0] / under[0], over[1] / under[2], over[2] / under[1]
