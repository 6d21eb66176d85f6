"""How a network is trained."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Training:
    """How a model is trained. schedule: "constant" (published), or "one-cycle": up over the first 15 %, then down.

    A rate above 1e-4 needs that warm-up: without it the decoder dies (the bound stays where a grey image leaves it).
    kl_warmup: updates over which the weight of log p(z | ...) - log q rises from 0 to 1; 0 (published) is 1 throughout.
    """

    updates: int
    batch: int = 50
    rate: float = 1e-4
    schedule: str = "constant"
    dtype: str = "bfloat16"
    kl_warmup: int = 0

    def beta_at(self, update: int) -> float:
        """Weight of log p(z | ...) - log q at an update, counted from 0."""
        return min(1.0, update / self.kl_warmup) if self.kl_warmup else 1.0

    def rate_at(self, update: int) -> float:
        """Learning rate of an update, counted from 0."""
        if self.schedule == "constant":
            return self.rate
        warm = max(1, round(0.15 * self.updates))
        if update < warm:
            return self.rate * (0.04 + 0.96 * (1 - math.cos(math.pi * update / warm)) / 2)
        return self.rate * max(1e-4, (1 + math.cos(math.pi * (update - warm) / max(1, self.updates - warm))) / 2)
