"""What is timed: models, images and noise, by benchmark profile."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks import naive
from lib.attacks import cross_entropy, input_gradient
from lib.models import Noise, build, class_scores
from lib.profiles import profile as profile_of
from lib.runs.victims import Victim, first_images


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
                with torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                    return scores(self.model, x, noise).float()
            found.append(input_gradient(cross_entropy(logits, self.y[part]), self.x[part]))
        return torch.cat(found)

    def plain_gradient(self, batch: int = 20, backward: bool = False) -> Tensor:
        """The same in the plain way, weights tracked by autograd. backward: by `loss.backward()`, as CleverHans and ART
        call it, which fills the gradients of all weights too; else by `autograd.grad`, as torchattacks does."""
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
    """A trained MNIST model on test images; or an untrained one on uniform noise of CIFAR's shape (dataset
    "cifar-binary") or with another number of classes, which cost the same. The smoke profile has untrained ones alone."""
    source = "uniform noise, untrained weights"
    if dataset == "cifar-binary" or classes or profile == "smoke":
        shape, classes = ((3, 32, 32), 2) if dataset == "cifar-binary" else ((1, 28, 28), classes or 10)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build(name, shape, classes).to(device, memory_format=torch.channels_last).requires_grad_(False)
        x = torch.rand(images, *shape, generator=torch.Generator().manual_seed(seed))
        y = torch.arange(images) % classes
    else:
        model = Victim.load(name, profile, seed, device).model
        _, x, y, data = first_images(profile_of(profile), 0, images)
        source = data.source
    noise = Noise("bench", seed, range(images)).normal(samples, model.classes, model.arch.latent).permute(1, 2, 0, 3)
    return Subject(model, x.to(device), y.to(device), noise.to(device), dataset, source)
