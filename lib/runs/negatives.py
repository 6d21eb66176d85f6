"""What the detectors of Yin et al. (2020) are taught: their own class against attacked images of all others."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attacks import adam_pgd, ball
from lib.attacks.norms import length
from lib.models import Heads, Noise, stream
from lib.models.decoder import working_dtype
from lib.profiles import Inner


class AgainstNegatives(nn.Module):
    """Detectors with their training objective: equation 5, all inner attacks in one loop.

    classes: which class each detector is for. In an update detector k takes the images of its class as positives, and
    as negatives the first `negatives` others, moved to where they look most like class k (raw logit, random start that
    is not clipped to the box, last iterate). Nothing that detector k sees depends on which others are trained with it.
    """

    name = "GAT"

    def __init__(self, heads: Heads, classes: tuple[int, ...], inner: Inner, negatives: int):
        super().__init__()
        self.heads, self.classes, self.inner, self.negatives = heads, classes, inner, negatives

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Minus the mean binary cross-entropy of each detector, in nats, (detector).

        Adam does not see that the mean over detectors divides each gradient by their number. noise: keyed by update.
        Raises ValueError where a class, or everything else, is missing from the batch.
        """
        own = [(y == k).nonzero()[:, 0] for k in self.classes]
        others = [(y != k).nonzero()[:self.negatives, 0] for k in self.classes]
        for k, mine, rest in zip(self.classes, own, others):
            if not len(mine) or len(rest) < self.negatives:
                raise ValueError(f"a batch of {len(y)} images holds {len(mine)} of class {k} and {len(rest)} others; "
                                 f"expected at least 1 and {self.negatives}: use larger batches or fewer negatives")
        attacked = self.perturbed(x[torch.stack(others)], noise)
        padded = nn.utils.rnn.pad_sequence(own, batch_first=True)                   # detector positive
        counts = torch.tensor([len(mine) for mine in own], device=x.device)
        real = torch.arange(padded.shape[1], device=x.device) < counts[:, None]
        logits = self.heads(torch.cat([attacked, x[padded]], dim=1)).T              # detector image
        wrong = F.softplus(logits[:, :self.negatives]).sum(1)
        missed = (F.softplus(-logits[:, self.negatives:]) * real).sum(1)
        return -(wrong + missed) / (self.negatives + counts)

    def perturbed(self, x: Tensor, noise: Noise) -> Tensor:
        """Negatives of each detector, (detector, image, channel, H, W), where its logit is largest in the ball."""
        start = torch.stack([self.start(x[0].shape, k, noise) for k in self.classes]).to(x)
        attack = partial(adam_pgd, ball=ball(self.inner.norm, self.inner.eps), steps=self.inner.steps,
                         step_size=self.inner.step_size)
        if self.heads.in_turn(x.device):       # the maps of one detector stay in the cache, those of ten do not
            frozen = self.heads.frozen(working_dtype(self.heads.stacked["0_weight"]))
            return torch.stack([attack(logit, own, start=first) for logit, own, first in zip(frozen, x, start)])
        found = attack(lambda flat: self.heads(flat.view_as(x)).T.flatten(), x.flatten(0, 1), start=start.flatten(0, 1))
        return found.view_as(x)

    def start(self, shape: tuple[int, ...], k: int, noise: Noise) -> Tensor:
        """Uniform in the l-infinity ball; for L2 a Gaussian direction and a radius uniform in [0, eps] (protocol)."""
        rng = stream(f"{noise.purpose}/start", noise.seed, noise.step, k)
        if self.inner.norm == "linf":
            return self.inner.eps * (2 * torch.from_numpy(rng.random(tuple(shape), dtype=np.float32)) - 1)
        direction = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
        radius = self.inner.eps * torch.from_numpy(rng.random((shape[0], 1, 1, 1), dtype=np.float32))
        return radius * direction / length(direction)
