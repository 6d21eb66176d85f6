"""Random numbers keyed by purpose, seed, image and step, so that cutting the work otherwise changes nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def stream(purpose: str, seed: int, *counter: int) -> np.random.Generator:
    """A generator that depends on its arguments alone (Philox: a hash of key and counter, no state to carry)."""
    key = int.from_bytes(hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key, counter=[0, *counter, *[0] * (3 - len(counter))]))


@dataclass
class Noise:
    """Draws for a batch of images, each from its own stream; another `step` gives other draws, the same one the same.

    images: which image (its index in the data set) each row of the batch is.
    """

    purpose: str
    seed: int
    images: Sequence[int]
    step: int = 0

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (batch, *shape) float32."""
        return self._draw(lambda rng: rng.standard_normal(shape, dtype=np.float32))

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (batch, *shape) float32."""
        return self._draw(lambda rng: rng.random(shape, dtype=np.float32))

    def _draw(self, draw) -> Tensor:
        return torch.from_numpy(
            np.stack([draw(stream(self.purpose, self.seed, self.step, int(i))) for i in self.images]))
