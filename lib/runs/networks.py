"""Two small deterministic networks on which attacks are tested: one trained plainly, one on PGD images."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib import data
from lib.attacks import Linf, cross_entropy, pgd
from lib.locks import once
from lib.models import CNN, Noise
from lib.profiles import Inner, Training
from lib.profiles import profile as profile_of
from lib.runs.training import checkpoint
from lib.train import fit, initial_weights, load_weights, save_weights

TRAINING = Training(updates=1200, batch=100, rate=2e-3, schedule="one-cycle")
RAMP = 0.3                                   # of the training, over which the radius grows
INNER = Inner("linf", 0.1, 7, 2.5 * 0.1 / 7)    # trained at 0.3 or 0.4 they hide their gradients, and test no attack


class OnAttacked(nn.Module):
    """A network whose training objective is log p(y | x') at a PGD image x' of the current weights (Madry et al. 2018).

    inner: the attack, in l-infinity, from a uniform start in the ball. ramp: over how many updates radius and step grow
    from 0 to their full size; a short training at a high rate stays constant without. 0 is as published: full size from
    the first update on, and the start cut to the pixel box.
    """

    def __init__(self, net: nn.Module, inner: Inner, ramp: float):
        super().__init__()
        self.net, self.inner, self.ramp = net, inner, ramp

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """In nats, (batch). noise: keyed by the update."""
        grown = min(1.0, (noise.step + 1) / self.ramp) if self.ramp else 1.0
        eps = self.inner.eps * grown
        start = eps * (2 * noise.uniform(*x.shape[1:]).to(x) - 1)
        if not self.ramp:
            start = (x + start).clamp(0, 1) - x
        x_adv = pgd(cross_entropy(self.net, y), x, Linf(eps), steps=self.inner.steps,
                    step_size=self.inner.step_size * grown, start=start)
        return -F.cross_entropy(self.net(x_adv), y, reduction="none")


def network(kind: str, profile: str, seed: int, device: torch.device, results: Path | None = None) -> CNN:
    """The "plain" or the "robust" network, trained where there are no weights yet (the robust one: some minutes)."""
    path = checkpoint("CNN", profile, seed, kind, results)
    dataset = data.load(profile_of(profile).dataset)
    recipe = replace(TRAINING, updates=20) if profile == "smoke" else TRAINING
    settings = {"model": "CNN", "variant": kind, "seed": seed, "profile": profile, "updates": recipe.updates}
    attack = {"inner_steps": INNER.steps, "inner_step_size": INNER.step_size, "ramp": RAMP} if kind == "robust" else {}
    stated = asdict(recipe) | {"dataset": dataset.name, "eps": INNER.eps if kind == "robust" else 0.0} | attack

    def train() -> None:
        with initial_weights(seed):
            net = CNN(dataset.shape, len(dataset.classes)).to(device)
        taught = net if kind == "plain" else OnAttacked(net, INNER, RAMP * recipe.updates)
        fit(taught, dataset.train, recipe, seed=seed, state=path.with_suffix(".state"), label=f"training {kind} CNN",
            attack={} if kind == "plain" else asdict(INNER) | {"ramp": RAMP})
        save_weights(path, net, settings | stated)
        path.with_suffix(".state").unlink(missing_ok=True)

    once(path, train)
    with torch.device("meta"):
        net = CNN(dataset.shape, len(dataset.classes))
    load_weights(path, net, settings, stated)
    return net.to(device).eval().requires_grad_(False)
