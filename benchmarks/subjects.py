"""What is timed: models, images and noise, by benchmark profile."""

import tempfile
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import naive
from lib.arithmetic import products
from lib.attacks import cross_entropy, input_gradient
from lib.data import load
from lib.models import Noise, build, class_scores
from lib.profiles import Training
from lib.profiles import profile as profile_of
from lib.runs.victims import Victim, first_images
from lib.train import fit

SHORT = Training(400, rate=1e-3, schedule="one-cycle")


@dataclass(frozen=True)
class Subject:
    """A classifier with images to attack and one draw of its noise, (sample, class, batch, latent): all contenders
    work on the very same function."""

    model: torch.nn.Module
    x: Tensor
    y: Tensor
    noise: Tensor
    dataset: str
    source: str

    def gradient(self, dtype: str = "float32", batch: int = 20, scores=class_scores) -> Tensor:
        """The input gradient of the cross-entropy of all images, `batch` at a time."""
        found = []
        for start in range(0, len(self.x), batch):
            part = slice(start, start + batch)
            noise = self.noise[:, :, part]

            def logits(x: Tensor, noise=noise) -> Tensor:
                with products(dtype, x.device):
                    return scores(self.model, x, noise).float()
            found.append(input_gradient(cross_entropy(logits, self.y[part]), self.x[part]))
        return torch.cat(found)

    def plain_gradient(self, batch: int = 20, backward: bool = True) -> Tensor:
        """The same in the plain way, weights tracked by autograd. backward: by `loss.backward()`, as the public port
        does through CleverHans, which fills the gradients of all weights too; else by `autograd.grad`, as
        torchattacks."""
        if not backward:
            return self._tracked(lambda: self.gradient(batch=batch, scores=naive.logits))
        return self._tracked(lambda: torch.cat([self._backward(slice(start, start + batch))
                                                for start in range(0, len(self.x), batch)]))

    def _backward(self, part: slice) -> Tensor:
        x = self.x[part].clone().requires_grad_()
        torch.nn.functional.cross_entropy(naive.logits(self.model, x, self.noise[:, :, part]), self.y[part],
                                          reduction="sum").backward()
        return x.grad

    def _tracked(self, run):
        self.model.requires_grad_(True)
        try:
            return run()
        finally:
            self.model.requires_grad_(False).zero_grad()


def subject(name: str, dataset: str, profile: str, seed: int, device: torch.device, images: int, samples: int = 10,
            classes: int | None = None) -> Subject:
    """A model with images to attack.

    dataset: "mnist" is the profile's own, with the trained model; "patches" photographs of CIFAR's shape and two
    classes, with a model trained on them for a minute; "noise" the same shape, untrained. classes: another number of
    them, on noise. Untrained, every class and sample weighs the same, the dearest case. The smoke profile
    trains nothing.
    """
    if profile == "smoke" or classes or dataset == "noise":
        shape = (3, 32, 32) if dataset in ("patches", "noise") else (1, 28, 28)
        model = _untrained(name, shape, classes or (2 if shape[0] == 3 else 10), seed)
        x = torch.rand(images, *shape, generator=torch.Generator().manual_seed(seed))
        y, source = torch.arange(images) % model.classes, "uniform noise, untrained weights"
    elif dataset == "patches":
        data = load("patches")
        model = deepcopy(_untrained(name, data.shape, len(data.classes), seed)).to(device)
        with tempfile.TemporaryDirectory() as folder:
            fit(model, data.train, SHORT, seed=seed, state=Path(folder) / "state", label=f"training {name}")
        x, y, source = data.test.images(slice(images)), data.test.labels(slice(images)), data.source
    else:
        model = Victim.load(name, profile, seed, device).model
        _, x, y, data = first_images(profile_of(profile), 0, images)
        source = data.source
    model = model.to(device, memory_format=torch.channels_last).requires_grad_(False)
    noise = Noise("bench", seed, range(images)).normal(samples, model.classes, model.arch.latent).permute(1, 2, 0, 3)
    return Subject(model, x.to(device), y.to(device), noise.to(device), dataset, source)


@lru_cache(maxsize=2)
def _untrained(name: str, shape: tuple[int, ...], classes: int, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name, shape, classes)
