"""Models of about ten parameters whose attacks and scores have answers known in closed form."""

import itertools

import torch
from torch import nn

SHAPE = (1, 2, 3)                                       # channel, height, width of a toy image: six pixels


class Linear(nn.Module):
    """logits = W pixels + b, in the dtype of the weights."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight), dtype=weight.dtype) if bias is None else bias)

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


def centred(weight: torch.Tensor) -> Linear:
    """A linear classifier whose logits are all 0 at the grey image 0.5, so that every class has its share of images."""
    return Linear(weight, -0.5 * weight.sum(1))


class Smooth(nn.Module):
    """A curved classifier: the logits of `Linear` on sin(4 * pixel), so that gradients change along the way."""

    def __init__(self, classes: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64):
        super().__init__()
        self.linear = Linear(random_normal(classes, 6, seed=seed, dtype=dtype))

    def forward(self, x):
        return self.linear((4 * x).sin())


class Noisy:
    """A randomised classifier: `model` plus Gaussian noise on the logits, keyed by image, asking and call.

    `of(index)` gives the logits function of some of the images, in any order, as `strong` asks for it.
    """

    def __init__(self, model: nn.Module, scale: float, images=range(100)):
        self.model, self.scale, self.images, self.asked = model, scale, list(images), 0

    def of(self, index):
        self.asked += 1
        calls = itertools.count(1000 * self.asked)

        def logits_fn(x):
            logits, call = self.model(x), next(calls)
            noise = [random_normal(logits.shape[1], seed=1000 * call + self.images[i]) for i in index.tolist()]
            return logits + self.scale * torch.stack(noise).to(logits)
        return logits_fn


def random_images(n: int = 4, seed: int = 0, low: float = 0.0, high: float = 1.0, dtype=torch.float64) -> torch.Tensor:
    """n toy images, uniform between low and high."""
    return low + (high - low) * torch.rand(n, *SHAPE, generator=generator(seed), dtype=dtype)


def random_normal(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
