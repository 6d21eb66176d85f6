"""A number with its 95 % interval, and what follows from several: differences and means."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from lib import metrics


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval. n: images behind it. name: what was measured, in words for the ledger. df: degrees
    of freedom of Student's interval; infinite for one that rests on the normal."""
    value: float
    low: float
    high: float
    n: int
    name: str = ""
    df: float = inf

    def widened(self, tests: int) -> "Estimate":
        """The interval for one of `tests` tests of which any may decide (Bonferroni)."""
        more = metrics.wider(tests, self.df)
        return replace(self, low=self.value - more * (self.value - self.low),
                       high=self.value + more * (self.high - self.value))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b for two independent estimates. Source: Zou and Donner (2008), variances recovered from both intervals."""
    value = a.value - b.value
    low = value - np.hypot(a.value - a.low, b.high - b.value)
    high = value + np.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, float(low), float(high), min(a.n, b.n), df=min(a.df, b.df))


def average(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates on the same images: intervals are averaged too, as if all erred together (never too narrow)."""
    value, low, high = (float(np.mean([getattr(e, part) for e in estimates])) for part in ("value", "low", "high"))
    return Estimate(value, low, high, min(e.n for e in estimates), df=min(e.df for e in estimates))
