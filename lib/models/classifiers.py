"""Classifiers without latent variables: the dropout network that Li et al. (2019) compare with."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.nets import Architecture, Trunk, architecture, glorot_uniform
from lib.models.noise import Noise


class BNN(nn.Module):
    """A network with Bernoulli dropout in training and in use: rate 0.3, twice the channels of the deep Bayes trunk.

    Dropout follows each convolution and the hidden dense layer, before the ReLU (the authors' layer library). The paper
    does not state the depth; the trunk of its own encoders is our choice.
    """

    randomised = True
    fixed_shapes = True
    RATE = 0.3

    def __init__(self, shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10):
        super().__init__()
        self.name, self.classes = "BNN", classes
        base = architecture(shape)
        self.arch = Architecture(base.shape, tuple(2 * c for c in base.channels), base.hidden, base.latent)
        self.trunk = Trunk(self.arch)
        self.out = nn.Linear(self.arch.hidden, classes)
        glorot_uniform(self.out)

    def logits_each(self, x: Tensor, noise: Noise, samples: int) -> Tensor:
        """Logits under each dropout mask, (batch, sample, class). The first convolution is shared by the samples."""
        maps, fresh = x, True
        widths = self._unit_shapes()
        masks = (noise.uniform(samples, sum(math.prod(w) for w in widths)).to(x.device)
                 .split([math.prod(w) for w in widths], -1))
        for layer in self.trunk:
            if isinstance(layer, nn.ReLU):
                continue
            maps = layer(maps)
            if isinstance(layer, nn.Flatten):
                continue
            shape = widths[len(widths) - len(masks)]
            mask = (masks[0] >= self.RATE).reshape(len(x), samples, *shape) / (1 - self.RATE)
            masks = masks[1:]
            maps = maps.reshape(len(x), 1 if fresh else samples, *shape) * mask
            maps, fresh = F.relu(maps.flatten(0, 1)), False
        return self.out(maps).float().reshape(len(x), samples, self.classes)

    def _unit_shapes(self) -> list[tuple[int, ...]]:
        maps = [(c, s, s) for c, s in zip(self.arch.channels, self.arch.sides[1:])]
        return [*maps, (self.arch.hidden,)]

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """log p(y | x) under one dropout mask an image, in nats, (batch)."""
        return -F.cross_entropy(self.logits_each(x, noise, 1)[:, 0], y, reduction="none")

    def logits(self, x: Tensor, noise: Noise, samples: int = 10) -> Tensor:
        """Log of the mean softmax over fresh dropout masks, (batch, class)."""
        log_p = self.logits_each(x, noise, samples).log_softmax(-1)
        return log_p.logsumexp(1) - math.log(samples)


class CNN(nn.Module):
    """A small deterministic network for the tests of the attacks: two strided convolutions and a hidden dense layer.

    The sizes are those of Wong, Rice and Kolter (2020) for MNIST, which train robustly within minutes.
    """

    randomised = False
    fixed_shapes = True

    def __init__(self, shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10):
        super().__init__()
        self.name, self.classes = "CNN", classes
        side = shape[1] // 4
        self.body = nn.Sequential(
            nn.Conv2d(shape[0], 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * side * side, 100), nn.ReLU(), nn.Linear(100, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, class) float32."""
        return self.body(x).float()

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """log p(y | x) in nats, (batch). `noise` is not used: nothing here is random."""
        return -F.cross_entropy(self(x), y, reduction="none")

    def logits(self, x: Tensor, noise: Noise | None = None, samples: int = 1) -> Tensor:
        """As `forward`, with the signature of the randomised classifiers."""
        return self(x)
