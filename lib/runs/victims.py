"""A trained classifier as attacks and judges see it: functions from images to logits, with keyed noise."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import data
from lib.arithmetic import products
from lib.models import Noise, stream
from lib.profiles import Profile
from lib.profiles import profile as profile_of
from lib.runs.training import checkpoint, dataset_of, trained
from lib.train import fingerprint

LogitsFn = Callable[[Tensor], Tensor]
CALLS = 2**20       # more calls than one asking ever makes: the draws of the next asking begin there


@dataclass(frozen=True)
class Victim:
    """A model of one profile and training seed, on one device. weights: the checksum of the file they came from."""

    model: torch.nn.Module
    profile: Profile
    seed: int
    device: torch.device
    weights: str = ""

    @classmethod
    def load(cls, name: str, profile: str, seed: int, device: torch.device, results: Path | None = None) -> "Victim":
        model = trained(name, profile, seed, device, results=results)
        return cls(model, profile_of(profile), seed, device, fingerprint(checkpoint(name, profile, seed, "", results)))

    @property
    def batch(self) -> int:
        """Images attacked or judged together: few where every image is decoded for each class and sample."""
        return self.profile.batch_for(self.model.name)

    def logits_fn(self, purpose: str, images: Sequence[int], *, dtype: str = "float32",
                  fixed: bool = False) -> LogitsFn:
        """Images to (batch, class) float32 logits, with new draws at each call (or always the same, where `fixed`)."""
        return self.logits_fn_of(purpose, images, dtype=dtype, fixed=fixed)(torch.arange(len(images)))

    def logits_fn_of(self, purpose: str, images: Sequence[int], *, dtype: str = "float32", fixed: bool = False):
        """The same for some of the images, given as positions in `images`, each time it is asked with new draws."""
        asked = itertools.count()

        def of(positions: Tensor) -> LogitsFn:
            own, calls = [images[i] for i in positions.tolist()], itertools.count(next(asked) * CALLS)

            def logits(x: Tensor) -> Tensor:
                draws = Noise(purpose, self.seed, own, 0 if fixed else next(calls))
                with products(dtype, self.device):
                    return self.model.logits(x, draws, self.profile.samples).float()
            return logits
        return of

    @torch.no_grad()
    def predict(self, x: Tensor, images: Sequence[int], purpose: str, draws: int = 1) -> np.ndarray:
        """Logits of `draws` independent predictions in float32, (draw, image, class)."""
        out = []
        for start in range(0, len(x), self.batch):
            part = slice(start, start + self.batch)
            logits_fn = self.logits_fn(purpose, list(images[part]))
            out.append(torch.stack([logits_fn(x[part].to(self.device)) for _ in range(draws)]).cpu())
        return torch.cat(out, dim=1).numpy()

    def judge(self, x: Tensor, images: Sequence[int], purpose: str) -> tuple[np.ndarray, np.ndarray]:
        """What the record keeps: classes seen in each fresh draw, (image, draw), and log joints of one further draw."""
        logits = self.predict(x, images, purpose, self.profile.draws + 1)
        return logits[:-1].argmax(-1).T.astype(np.int8), logits[-1].astype(np.float32)


def sampling(profile: Profile) -> dict[str, int]:
    """What records say of the noise: samples of each prediction, and fresh predictions that judge an image."""
    return {"samples": profile.samples, "verdict_draws": profile.draws}


def unit_starts(x: Tensor, images: Sequence[int], purpose: str, seed: int, restart: int = 0) -> Tensor:
    """Points uniform in the unit l-infinity ball, one stream an image, of x's shape."""
    draws = [stream(purpose, seed, restart, int(i)).random(tuple(x.shape[1:]), dtype=np.float32) for i in images]
    return (2 * torch.from_numpy(np.stack(draws)) - 1).to(x)


def first_images(profile: Profile, first: int, last: int) -> tuple[list[int], Tensor, Tensor, data.Dataset]:
    """Indices, images and labels of test images first <= i < last: the first ones of the test set, unselected."""
    dataset = dataset_of(profile.name)
    images = list(range(first, min(last, len(dataset.test))))
    return images, dataset.test.images(images), dataset.test.labels(images), dataset


def blocks(profile: Profile, attack: str, model: str) -> list[tuple[int, int]]:
    """The image ranges of the units of one attack on one model."""
    total, block = profile.images_for(attack, model), profile.block_for(attack, model)
    return [(first, min(first + block, total)) for first in range(0, total, block)]
