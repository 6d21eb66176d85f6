"""Networks of the pixel models (Li et al. 2019, authors' code): layers, initialisation, and what they output."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """Sizes for one image shape. channels: of the three strided convolutions; the decoder mirrors them."""

    shape: tuple[int, int, int]
    channels: tuple[int, int, int]
    hidden: int
    latent: int

    @property
    def sides(self) -> list[int]:
        """Side of the square maps: the image, then after each convolution (28, 14, 7, 4 on MNIST)."""
        sides = [self.shape[1]]
        for _ in self.channels:
            sides.append((sides[-1] + 1) // 2)
        return sides


ARCHITECTURES = {
    (1, 28, 28): Architecture((1, 28, 28), channels=(64, 64, 64), hidden=500, latent=64),
    (3, 32, 32): Architecture((3, 32, 32), channels=(64, 128, 256), hidden=1000, latent=128),
}


def architecture(shape: tuple[int, int, int]) -> Architecture:
    """The published sizes for images of this shape. Raises ValueError for a shape that the paper has no model for."""
    if tuple(shape) not in ARCHITECTURES:
        raise ValueError(f"no pixel model for images of shape {tuple(shape)}; expected one of {list(ARCHITECTURES)}")
    return ARCHITECTURES[tuple(shape)]


@dataclass(frozen=True)
class DiagonalNormal:
    """Gaussian over the last axis, every constant kept. mean, log_std: (*lead, latent)."""

    mean: Tensor
    log_std: Tensor

    @classmethod
    def split(cls, both: Tensor) -> "DiagonalNormal":
        """From a network output that holds means, then log standard deviations (not clamped)."""
        return cls(*both.float().chunk(2, dim=-1))

    def at(self, noise: Tensor) -> Tensor:
        """The reparameterised draw mean + std * noise."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        whitened = (z - self.mean) * (-self.log_std).exp()
        return (-0.5 * whitened.square() - self.log_std).sum(-1) - 0.5 * math.log(2 * math.pi) * z.shape[-1]


@dataclass(frozen=True)
class Categorical:
    """Classes; logits: (*lead, class)."""

    logits: Tensor

    def log_prob(self, y: Tensor) -> Tensor:
        log_p = self.logits.float().log_softmax(-1)
        return log_p.gather(-1, y.expand(log_p.shape[:-1])[..., None])[..., 0]


class StandardNormal(nn.Module):
    """p(z) = N(0, I)."""

    def forward(self) -> DiagonalNormal:
        zero = torch.zeros(())
        return _Standard(zero, zero)


class _Standard(DiagonalNormal):
    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class UniformClass(nn.Module):
    """p(y) = 1 / C. (The authors' code keeps log 0.1 on two classes too, which shifts every class alike.)"""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def forward(self) -> "UniformClass":
        return self

    def log_prob(self, y: Tensor) -> Tensor:
        return torch.full((), -math.log(self.classes), device=y.device)


class Joint(nn.Linear):
    """A dense layer on concatenated inputs whose leading axes broadcast; an integer input is a one-hot class.

    Each part meets its own columns of the weight, so what several classes or samples share is computed once.
    """

    def __init__(self, widths: tuple[int, ...], out: int):
        super().__init__(sum(widths), out)
        self.widths = widths

    def forward(self, *parts: Tensor) -> Tensor:
        out = self.bias
        for part, weight in zip(parts, self.weight.split(self.widths, dim=1), strict=True):
            out = out + (F.linear(part, weight) if part.is_floating_point() else F.embedding(part, weight.T))
        return out


def mlp(*widths: int) -> nn.Sequential:
    """Dense layers with ReLU between them, linear at the end."""
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


class Trunk(nn.Sequential):
    """Three 5x5 convolutions of stride 2 and a dense layer, ReLU after each: (batch, *shape) to (batch, hidden).

    Padding 2 on every side: sizes as TensorFlow's "same", maps shifted by up to one pixel, which learning absorbs.
    """

    def __init__(self, arch: Architecture):
        depth = (arch.shape[0], *arch.channels)
        convs = [m for a, b in zip(depth, depth[1:]) for m in (nn.Conv2d(a, b, 5, stride=2, padding=2), nn.ReLU())]
        flat = arch.channels[-1] * arch.sides[-1] ** 2
        super().__init__(*convs, nn.Flatten(), nn.Linear(flat, arch.hidden), nn.ReLU())
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
                std = math.sqrt(2 / (fan_in + fan_out))
                nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
                nn.init.zeros_(layer.bias)


def glorot_uniform(module: nn.Module) -> None:
    """Weights of an MLP layer uniform in +-sqrt(6 / (fan_in + fan_out)), biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
