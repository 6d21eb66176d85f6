"""Our attacks beside the same ones of torchattacks and foolbox, and our strong protocol beside AutoAttack.

The victims are two small networks, one trained plainly and one on PGD images, and GFZ and GBZ with their noise held
fixed (one set of draws for all images and calls), since AutoAttack is made for deterministic classifiers. `variant` of
a row says whose attack it is: ours, torchattacks or foolbox. Needs requirements-test.txt.
Command: python -m lib.runs.referee --profile laptop
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lib import metrics
from lib.attacks import Linf, carlini_wagner, cross_entropy, fgsm, mim, pgd, strong
from lib.models import CNN
from lib.profiles import profile as profile_of
from lib.results import Record
from lib.runs import peers, units
from lib.runs.networks import network
from lib.runs.outcomes import pooled
from lib.runs.training import checkpoint
from lib.runs.victims import Victim, blocks, first_images, unit_starts
from lib.train import fingerprint

EPS = {"fgsm": 0.25, "pgd": 0.18, "mim": 0.18, "strong": 0.17}      # where some half of the images survive
STEPS, STEP_SIZE = {"fgsm": 1, "pgd": 40, "mim": 100}, 0.01
CONSTANT, CW_STEPS, LEARNING_RATE, CW_IMAGES = 1.3, 1000, 0.01, 100
FIXED = {"GFZ": 0.15, "GBZ": 0.1}   # of deep Bayes models with fixed noise, and the eps that leaves some right
BY = {"cw": ("ours", "foolbox"), "mim": ("ours", "torchattacks")}  # whose attacks are compared; else all three
AS_MANY = "ours, as many gradients"
CERTAIN = {"draws": 1, "verdict_draws": 1}          # for a classifier without noise


def compare(net: CNN, x: Tensor, y: Tensor, attack: str) -> dict[str, Tensor]:
    """Adversarial images of one published attack at equal settings, by whose it is: ours, torchattacks, foolbox.

    PGD starts from the same random numbers in all three; the others clip them to the box, and ours does not, as
    published.
    """
    if attack == "cw":
        return {"ours": carlini_wagner(net, x, y, c=CONSTANT, steps=CW_STEPS, lr=LEARNING_RATE),
                "foolbox": peers.cw_by_foolbox(net, x, y, c=CONSTANT, steps=CW_STEPS, lr=LEARNING_RATE)}
    eps = EPS[attack]
    loss_fn, ball = cross_entropy(net, y), Linf(eps)
    settings = {"steps": STEPS[attack], "step_size": STEP_SIZE}
    start = ball.random_start(x, torch.Generator().manual_seed(0))
    ours = {"fgsm": lambda: fgsm(loss_fn, x, ball),
            "pgd": lambda: pgd(loss_fn, x, ball, **settings, start=start),
            "mim": lambda: mim(loss_fn, x, ball, **settings)}[attack]()
    theirs = {"torchattacks": peers.by_torchattacks} | ({"foolbox": peers.by_foolbox} if attack != "mim" else {})
    return {"ours": ours} | {name: by(net, x, y, attack, eps=eps, **settings) for name, by in theirs.items()}


def our_strong(net: nn.Module, x: Tensor, y: Tensor, eps: float, images: Sequence[int], steps: int,
               restarts: int) -> Tensor:
    """Adversarial images of our strong protocol. net has no noise, so gradients and verdicts take one call each.
    images: their indices, which key the random starts."""
    starts = torch.stack([unit_starts(x, images, "referee/strong", 0, r) for r in range(restarts)]).sign()
    return strong(lambda index: net, x, y, [Linf(eps)], starts=starts, steps=steps, **CERTAIN)[0]


def compare_strong(net: nn.Module, x: Tensor, y: Tensor, eps: float = EPS["strong"], *,
                   images: Sequence[int] | None = None,
                   steps: int = 100, restarts: int = 2, **settings) -> dict[str, Tensor]:
    """Adversarial images of our strong protocol and of AutoAttack (`settings` as in `peers.autoattack`)."""
    return {"ours": our_strong(net, x, y, eps, images or range(len(x)), steps, restarts),
            "torchattacks": peers.autoattack(net, x, y, eps, steps=steps, **settings)}


class FixedNoise(nn.Module):
    """A deep Bayes classifier with one set of draws for all images and calls: deterministic, as AutoAttack needs it."""

    def __init__(self, victim: Victim, dtype: str):
        super().__init__()
        self.victim, self.model, self.dtype = victim, victim.model, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, class) float32, computed in parts of the size that the profile fixes."""
        parts = x.split(self.victim.batch)
        return torch.cat([self.victim.logits_fn("referee/fixed", [0] * len(part), dtype=self.dtype, fixed=True)(part)
                          for part in parts])


def on_robust(attack: str, profile: str) -> int:
    """How many images an attack on the robust network gets."""
    n = profile_of(profile).images_for("referee", "CNN")
    return min(n, CW_IMAGES) if attack == "cw" else n


def cells(model: str, attack: str, profile: str) -> list[dict]:
    """The key columns of each cell of a record. model: "CNN-plain", "CNN-robust" or a key of FIXED.

    Below the profile `paper` AutoAttack on models with fixed noise is its two gradient attacks, aimed at the three
    likeliest classes: one image would cost 1,900 gradients and 5,000 predictions otherwise. Ours is run a second time
    there, with as many restarts as these attacks make together, so that it takes as many gradients too.
    """
    sizes = profile_of(profile)
    steps, restarts = sizes.steps["strong"], sizes.restarts
    if attack == "clean":
        return [{"attack": "clean"}]
    if model in FIXED:
        (parts, targets), eps = against_fixed(profile), FIXED[model]
        return [{"attack": "clean"}, _ours(eps, steps, restarts), _autoattack(eps, steps, parts, targets),
                _ours(eps, steps, 1 + targets) | {"variant": AS_MANY}]
    if attack == "strong":
        return [_ours(EPS["strong"], steps, restarts), _autoattack(EPS["strong"], steps, peers.STANDARD, 9)]
    return [_published(attack) | {"variant": name} for name in BY.get(attack, ("ours", "torchattacks", "foolbox"))]


def against_fixed(profile: str) -> tuple[tuple[str, ...], int]:
    """The parts of AutoAttack on models with fixed noise, and at how many classes they are aimed."""
    return (peers.STANDARD, 9) if profile == "paper" else (peers.APGD, 3)


def on_network(attack: str, profile: str, seed: int, results: Path | None, device: torch.device) -> tuple[dict, dict]:
    """The record of one attack on the robust network, by each library."""
    sizes = profile_of(profile)
    images, x, y, dataset = first_images(sizes, 0, on_robust(attack, profile))
    net, x, y = network("robust", profile, seed, device, results), x.to(device), y.to(device)
    if attack == "strong":
        found = compare_strong(net, x, y, steps=sizes.steps["strong"], restarts=sizes.restarts, seed=seed,
                               queries=5000 if profile != "smoke" else 10)
    else:
        found = compare(net, x, y, attack)
    settings = settings_for("CNN-robust", attack, profile, seed) | {
        "data": dataset.source, "weights": fingerprint(checkpoint("CNN", profile, seed, "robust", results))}
    return _arrays(net, [found[cell["variant"]] for cell in settings["cells"]], x, y, images), settings


def on_clean(kind: str, profile: str, seed: int, results: Path | None, device: torch.device) -> tuple[dict, dict]:
    """The record of the clean test images of one network."""
    images, x, y, dataset = first_images(profile_of(profile), 0, profile_of(profile).test_images)
    net, x, y = network(kind, profile, seed, device, results), x.to(device), y.to(device)
    settings = settings_for(f"CNN-{kind}", "clean", profile, seed) | {
        "data": dataset.source, "weights": fingerprint(checkpoint("CNN", profile, seed, kind, results))}
    return _arrays(net, [x], x, y, images), settings


def on_fixed(model: str, first: int, last: int, profile: str, seed: int, results: Path | None,
             device: torch.device) -> tuple[dict, dict]:
    """The record of our strong protocol and AutoAttack on one deep Bayes model with fixed noise."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, first, last)
    x, y, steps, restarts = x.to(device), y.to(device), victim.profile.steps["strong"], victim.profile.restarts
    parts, targets = against_fixed(profile)
    net, eps = FixedNoise(victim, victim.profile.dtype), FIXED[model]
    found = {"clean": x} | compare_strong(net, x, y, eps, images=images, steps=steps, restarts=restarts, parts=parts,
                                          targets=targets, seed=seed)
    found[AS_MANY] = our_strong(net, x, y, eps, images, steps, 1 + targets)
    settings = settings_for(model, "strong", profile, seed) | {"data": dataset.source, "weights": victim.weights}
    return _arrays(FixedNoise(victim, "float32"), found.values(), x, y, images), settings


def _published(attack: str) -> dict:
    common = {"attack": attack, "restarts": 1, "draws": 1}
    if attack == "cw":
        return common | {"norm": "l2", "steps": CW_STEPS, "step_size": LEARNING_RATE, "loss": f"margin, c={CONSTANT:g}"}
    return common | {"norm": "linf", "eps": EPS[attack], "steps": STEPS[attack], "loss": "cross-entropy",
                     "step_size": EPS[attack] if attack == "fgsm" else STEP_SIZE}


def _ours(eps: float, steps: int, restarts: int) -> dict:
    return {"attack": "pgd", "variant": "ours", "norm": "linf", "eps": eps, "steps": steps,
            "loss": "margin to a class, cross-entropy", "restarts": restarts, "draws": 1}


def _autoattack(eps: float, steps: int, parts: tuple[str, ...], targets: int) -> dict:
    return {"attack": "autoattack", "variant": "torchattacks", "norm": "linf", "eps": eps, "steps": steps,
            "loss": f"{'+'.join(parts)}, {targets} targets", "restarts": 1, "draws": 1}


@torch.no_grad()
def _arrays(net: nn.Module, found: Iterable[Tensor], x: Tensor, y: Tensor, images) -> dict[str, np.ndarray]:
    found = torch.stack(list(found))
    delta = (found - x).flatten(2).cpu()
    predictions = torch.stack([net(x_adv).argmax(1) for x_adv in found])[..., None]
    return {"index": np.asarray(images, np.int32), "label": y.cpu().numpy().astype(np.int8),
            "predictions": predictions.cpu().numpy().astype(np.int8),
            "l2": delta.norm(dim=2).numpy(), "linf": delta.abs().amax(2).numpy()}


def settings_for(model: str, attack: str, profile: str, seed: int) -> dict:
    """What a record says of how it was made; where it comes from is not known yet."""
    sizes = profile_of(profile)
    return {"experiment": "referee", "dataset": sizes.dataset, "model": model, "attack": attack, "seed": seed,
            "attack_seed": seed, "profile": profile, "cells": cells(model, attack, profile),
            "protocol": "strong" if attack == "strong" else "published",
            "dtype": sizes.dtype if model in FIXED else "float32"}


def summarise(records: list[Record]) -> list[dict]:
    """Accuracy of every cell, and the mean l2 over the images that it moved and that are misread then.

    An image that was misread before the attack counts too, where the attack moved it all the same.
    """
    rows = []
    for group in pooled(records):
        key = {k: group.settings[k] for k in ("experiment", "dataset", "model", "seed", "attack_seed", "profile",
                                              "protocol", "commit", "device", "dtype", "torch", "data", "seconds")}
        for cell, predicted, l2 in zip(group.settings["cells"], group["predictions"][..., 0], group["l2"]):
            right = predicted == group["label"]
            low, high = metrics.wilson(right.mean(), len(right))
            rows.append(key | cell | {"metric": "accuracy", "value": right.mean(), "low": low, "high": high,
                                      "n": len(right)})
            moved = ~right & (l2 > 1e-4)
            if cell["attack"] != "clean" and moved.any():
                mean, low, high = metrics.mean_interval(l2[moved])
                rows.append(key | cell | {"metric": "l2", "value": mean, "low": low, "high": high,
                                          "n": int(moved.sum())})
    return rows


def referee(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
            fresh: bool = False, only: str | None = None):
    """Rows of the comparison: accuracy under each attack by ours, torchattacks and foolbox, and under AutoAttack."""
    common = (profile, seed, results)
    todo = [units.Unit(f"CNN-{kind}_clean_seed{seed}", lambda device, kind=kind: on_clean(kind, *common, device),
                       profile_of(profile).test_images, expected=settings_for(f"CNN-{kind}", "clean", profile, seed))
            for kind in ("plain", "robust")]
    todo += [units.Unit(f"CNN-robust_{attack}_seed{seed}",
                        lambda device, attack=attack: on_network(attack, *common, device), on_robust(attack, profile),
                        expected=settings_for("CNN-robust", attack, profile, seed))
             for attack in (*STEPS, "cw", "strong")]
    todo += [units.Unit(f"{model}_strong_seed{seed}_{first:05d}-{last:05d}",
                        lambda device, job=(model, first, last): on_fixed(*job, *common, device),
                        expected=settings_for(model, "strong", profile, seed))
             for model in FIXED for first, last in blocks(profile_of(profile), "referee", model)]
    return units.ensure("referee", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


if __name__ == "__main__":
    units.main(referee, __doc__)
