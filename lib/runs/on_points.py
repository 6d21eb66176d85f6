"""What a density is trained with: points in the form of images of one pixel, and the objective of a detector there."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lib.attacks import Linf, adam_pgd
from lib.models import Noise, stream
from lib.models.mlp import MLP
from lib.profiles import Density
from lib.runs.shapes import Points


class Against(nn.Module):
    """The training objective on points: equation 5 with one detector, its inner maximisation from update `ordinary` on.

    x: points as images of one pixel; y: 1 for positives, 0 for negatives.
    """

    name = "GAT"

    def __init__(self, net: MLP, sizes: Density, attacked: bool):
        super().__init__()
        self.net, self.sizes, self.attacked = net, sizes, attacked

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Minus the binary cross-entropy of each point, in nats, (point). noise: keyed by update."""
        if self.attacked and noise.step >= self.sizes.ordinary:
            x = x.clone()
            x[y == 0] = self.moved(x[y == 0], noise)
        return -F.binary_cross_entropy_with_logits(self.net(x), y.float(), reduction="none")

    def moved(self, x: Tensor, noise: Noise) -> Tensor:
        """Negatives where Adam finds the largest logit in the ball, from a start that is uniform in it, not clipped."""
        inner = self.sizes.inner
        start = stream(f"{noise.purpose}/start", noise.seed, noise.step).random(tuple(x.shape), dtype=np.float32)
        return adam_pgd(self.net, x, Linf(inner.eps), steps=inner.steps, step_size=inner.step_size,
                        start=inner.eps * (2 * torch.from_numpy(start).to(x) - 1))


@dataclass(frozen=True)
class PointSet:
    """Points as `lib.train.fit` takes images: float32, (point, axis, 1, 1)."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, points: Points) -> "PointSet":
        both = np.concatenate([points.positives, points.negatives])
        labels = torch.arange(len(both)) < len(points.positives)
        return cls(as_pixels(both), labels.long())

    def __len__(self) -> int:
        return len(self.y)

    def images(self, index: Tensor) -> Tensor:
        return self.x[index]

    def labels(self, index: Tensor) -> Tensor:
        return self.y[index]


def as_pixels(points: Float[np.ndarray, "point axis"]) -> Tensor:
    """Points as images of one pixel, float32."""
    return torch.from_numpy(points).float()[:, :, None, None]


@torch.no_grad()
def logits_at(net: MLP, points: Float[np.ndarray, "point axis"], batch: int = 20_000) -> Float[np.ndarray, " point"]:
    """Logits at points, float32, `batch` at a time."""
    device = next(net.parameters()).device
    return torch.cat([net(part.to(device)).cpu() for part in as_pixels(points).split(batch)]).numpy()
