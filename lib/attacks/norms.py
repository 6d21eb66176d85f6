"""The balls that an adversary may move in: what a step, a projection and a random start mean in each norm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from lib.attacks.inputs import Images, Number, check_size

Generators = torch.Generator | Sequence[torch.Generator]


@runtime_checkable
class Ball(Protocol):
    """All perturbations of length at most `eps`, image by image."""
    eps: Number

    def step(self, grad: Images) -> Images: ...
    def project(self, delta: Images) -> Images: ...
    def random_start(self, x: Images, generator: Generators) -> Images: ...


@dataclass(frozen=True)
class Linf:
    """|delta| <= eps in every pixel. eps: pixels in [0, 1], so at most 1; 8 grey levels are 8 / 255, never 8."""
    eps: Number

    def __post_init__(self):
        check_size("Linf's eps", self.eps, "pass the radius for pixels in [0, 1], such as 0.3 or 8 / 255")
        if self.eps > 1:
            raise ValueError(f"Linf's eps is {self.eps!r}; expected at most 1, the whole range of a pixel: "
                             "divide grey levels by 255")

    def step(self, grad: Images) -> Images:
        """Steepest ascent of length 1: the sign, and 0 where the gradient is 0."""
        return grad.sign()

    def project(self, delta: Images) -> Images:
        """The nearest point of the ball."""
        return delta.clamp(-self.eps, self.eps)

    def random_start(self, x: Images, generator: Generators) -> Images:
        """A perturbation, uniform in the ball, of x's shape; x plus it may leave [0, 1].

        generator: one for the batch, or one an image, with which a batch and its images alone start alike. Draws are
        made in float32 on the CPU, hence the same on every device.
        """
        return (self.eps * (2 * _draw(torch.rand, x.shape, generator) - 1)).to(x)


@dataclass(frozen=True)
class L2:
    """Euclidean length of delta over all pixels and channels of an image <= eps. eps: pixels in [0, 1]."""
    eps: Number

    def __post_init__(self):
        check_size("L2's eps", self.eps, "pass the radius for pixels in [0, 1], such as 0.5")

    def step(self, grad: Images) -> Images:
        """Steepest ascent of length 1, however small the gradient, and 0 where all of it is 0."""
        if not len(grad):
            return grad
        largest = grad.abs().amax((1, 2, 3), keepdim=True)      # first: squares of small gradients underflow
        unit = torch.where(largest > 0, grad / largest, torch.zeros_like(grad))
        return unit / length(unit).clamp_min(1)

    def project(self, delta: Images) -> Images:
        """The nearest point of the ball."""
        return delta * (self.eps / length(delta).clamp_min(1e-12)).clamp_max(1)

    def random_start(self, x: Images, generator: Generators) -> Images:
        """A perturbation, uniform in the ball, of x's shape: a uniform direction, then the radius. See `Linf`."""
        direction = self.step(_draw(torch.randn, x.shape, generator))
        radius = _draw(torch.rand, (len(x), 1, 1, 1), generator) ** (1 / math.prod(x.shape[1:]))
        return (self.eps * radius * direction).to(x)


def length(delta: Images) -> Float[Tensor, "batch 1 1 1"]:
    """Euclidean length of each image, with axes of size 1 behind the batch."""
    return delta.flatten(1).norm(dim=1)[:, None, None, None]


def _draw(sampler, shape: Sequence[int], generator: Generators) -> Tensor:
    if isinstance(generator, torch.Generator):
        return sampler(tuple(shape), generator=generator)
    if len(generator) != shape[0]:
        raise ValueError(f"{len(generator)} generators for {shape[0]} images; expected one, or one an image")
    return torch.stack([sampler(tuple(shape[1:]), generator=g) for g in generator]) if generator else torch.empty(shape)


def ball(norm: str, eps: float) -> Ball:
    """A ball by the name of its norm, "linf" or "l2". Raises ValueError for another."""
    if norm not in ("linf", "l2"):
        raise ValueError(f"unknown norm {norm!r}; expected 'linf' or 'l2'")
    return Linf(eps) if norm == "linf" else L2(eps)
