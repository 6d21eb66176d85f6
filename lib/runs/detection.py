"""Integrated and generative systems, and Madry's network, under every attack (Yin et al. 2020, Figures 2 and 7).

A record holds what all networks say of the attacked images, so that each system is read from the same records, also
where it was not the one attacked. lib.runs.reject turns them into rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.attacks import (Linf, adam_pgd, aligned, best_by, best_wrong_detector, combined, cross_entropy,
                         detector_margin, margin, switching)
from lib.profiles import DETECTORS, SYSTEMS
from lib.profiles import profile as profile_of
from lib.results import significant
from lib.runs import reject, systems, units
from lib.runs.heads import split
from lib.runs.systems import BATCH, InBfloat16, other_classes, read
from lib.runs.training import dataset_of

STEP_SIZE = 0.01
THUMBS, SAMPLES = 8, 10             # pictures kept of an attack; of one towards a random class, as many as in Figure 3
Nets = dict[str, InBfloat16]        # "f", "heads" and "madry"


@dataclass(frozen=True)
class Attack:
    """loss(nets, y): what is ascended. system: whose decision counts for best iterates (integrated, generative, Madry).

    towards: "" for an untargeted attack; else loss(nets, target), run once towards "every" class, or towards one other
    class that is drawn at "random" for each image. step_size: of 100 steps, pixels in [0, 1].
    """

    loss: Callable
    system: str
    towards: str = ""
    step_size: float = STEP_SIZE


# By the paper's loss numbers; steps of 0.1 are those of the public script; aligned ones after Tramer et al. (2020); the
# last two for Figures 3 and 8.
ATTACKS = {
    "classifier (8)": Attack(lambda n, y: margin(n["f"], y), "GAT-integrated"),
    "detectors (9)": Attack(lambda n, y: best_wrong_detector(n["heads"], y), "GAT-generative"),
    "detectors, cross-entropy": Attack(lambda n, y: cross_entropy(n["heads"], y), "GAT-generative"),
    "detectors, margin": Attack(lambda n, y: detector_margin(n["heads"], y), "GAT-generative"),
    "combined (11)": Attack(lambda n, y: combined(n["f"], n["heads"], y), "GAT-integrated"),
    "combined (11), as coded": Attack(lambda n, y: combined(n["f"], n["heads"], y, True), "GAT-integrated"),
    "switching (12)": Attack(lambda n, y: switching(n["f"], n["heads"], y), "GAT-integrated"),
    "Madry (8)": Attack(lambda n, y: margin(n["madry"], y), "Madry"),
    "Madry, cross-entropy": Attack(lambda n, y: cross_entropy(n["madry"], y), "Madry"),
    "detectors (9), steps of 0.1": Attack(lambda n, y: best_wrong_detector(n["heads"], y), "GAT-generative",
                                          step_size=0.1),
    "switching (12), steps of 0.1": Attack(lambda n, y: switching(n["f"], n["heads"], y), "GAT-integrated",
                                           step_size=0.1),
    "Madry (8), steps of 0.1": Attack(lambda n, y: margin(n["madry"], y), "Madry", step_size=0.1),
    "aligned, integrated": Attack(lambda n, t: aligned(margin(n["f"], t), n["heads"], t), "GAT-integrated", "every"),
    "aligned, generative": Attack(lambda n, t: aligned(detector_margin(n["heads"], t), n["heads"], t),
                                  "GAT-generative", "every"),
    "aligned, Madry": Attack(lambda n, t: aligned(margin(n["madry"], t), n["madry"], t), "Madry", "every"),
    "random class, generative": Attack(lambda n, t: lambda x: n["heads"].picked(x, t), "GAT-generative", "random"),
    "random class, Madry": Attack(lambda n, t: lambda x: n["madry"].picked(x, t), "Madry", "random"),
}
AS_PUBLISHED = ("classifier (8)", "detectors (9)", "combined (11)", "switching (12)", "Madry (8)")      # Figure 2a
CHEAP = ("classifier (8)", "Madry (8)")                         # one network to climb, not eleven
HARDEST = ("detectors (9)", "switching (12)", "Madry (8)")      # also at a larger radius, there with best iterates too
# of the first two, by their best iterates too
RIVALS = ("detectors, cross-entropy", "detectors, margin", "combined (11)", "Madry, cross-entropy")
TOWARDS_EVERY = tuple(name for name, attack in ATTACKS.items() if attack.towards == "every")
LOOKED_AT = (*HARDEST, *RIVALS, "classifier (8)")       # of which every iterate is looked at, too


def decide(nets: Nets, system: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a system reads in an image, and the score by which it accepts, (batch) each."""
    if system == "GAT-integrated":
        predicted = nets["f"](x).argmax(1)
        return predicted, nets["heads"].picked(x, predicted)
    score, predicted = nets["madry" if system == "Madry" else "heads"](x).max(1)
    return predicted, score


def attack_batch(nets: Nets, name: str, x: Tensor, y: Tensor, target: Tensor, eps: float, steps: int, best: bool,
                 classes: int) -> Tensor:
    """Attacked images: the last iterate, or the misread one that the attacked system accepts most readily (by
    these `nets`).

    target: the class that an attack towards a random one goes for, (batch). Of an attack towards every class the result
    is the misread one with the highest score, x if none is.
    """
    attack, ball = ATTACKS[name], Linf(eps)
    step = attack.step_size * 100 / steps

    def score(z):
        predicted, accepted = decide(nets, attack.system, z)
        return torch.where(predicted != y, accepted, -torch.inf)

    def run(loss_fn):
        return adam_pgd(loss_fn, x, ball, steps=steps, step_size=step, keep=best_by(score) if best else None)

    if attack.towards != "every":
        return run(attack.loss(nets, target if attack.towards else y))
    chosen, top = x, torch.full((len(x),), -torch.inf, device=x.device)
    for each in range(classes):
        found = run(attack.loss(nets, torch.full_like(y, each)))
        with torch.no_grad():
            now = score(found)
        chosen, top = torch.where((now > top)[:, None, None, None], found, chosen), torch.maximum(top, now)
    return chosen


def settings_for(system: str, name: str, eps: float, best: bool, profile: str, seed: int) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    steps, attack = DETECTORS[profile].attack_steps, ATTACKS.get(name)
    return {"experiment": "detection", "dataset": profile_of(profile).dataset, "model": "GAT", "variant": system,
            "seed": seed, "attack": "adam-pgd" if attack else name, "loss": name if attack else "",
            "system": attack.system if attack else "", "norm": "linf", "eps": eps, "steps": steps,
            "step_size": (attack.step_size if attack else STEP_SIZE) * 100 / steps, "best": best, "attack_seed": seed,
            "profile": profile, "protocol": "strong" if best or "aligned" in name else "published",
            "dtype": "bfloat16"}


def compute(load: Callable, system: str, name: str, eps: float, best: bool, n: int, profile: str, seed: int,
            device: torch.device, first: int = 0):
    """The record of one unit: what every network says of test images first <= i < n, attacked. name "clean": not
    attacked; "validation": likewise, the training images kept from the detectors, on which thresholds are fitted.

    load(system, device): the `Nets` in float32, which decide what counts; attacks, and their choice of an iterate, get
    faster copies in bfloat16.
    """
    exact, dataset = load(system, device), dataset_of(profile)
    part = split(profile)[1] if name == "validation" else dataset.test
    index = list(range(first, min(n, len(part))))
    if not index:           # there are no further images
        return {}, settings_for(system, name, eps, best, profile, seed)
    x, y = part.images(index), part.labels(index)
    random = name in ATTACKS and ATTACKS[name].towards == "random"
    target = other_classes("detection", y, index, seed, len(dataset.classes)) if random else y
    steps, fast = DETECTORS[profile].attack_steps, {key: InBfloat16(net) for key, net in exact.items()}
    moved = x if name not in ATTACKS else torch.cat([
        attack_batch(fast, name, *(each.to(device) for each in batch), eps, steps, best, len(dataset.classes)).cpu()
        for batch in zip(*(part.split(BATCH[device.type]) for part in (x, y, target)))])
    arrays = {key: significant(read(net, moved, device)) for key, net in exact.items()}
    arrays |= {"index": np.array(index, np.int32), "label": y.numpy().astype(np.int8),
               "l2": (moved - x).flatten(1).norm(dim=1).numpy(), "linf": (moved - x).flatten(1).abs().amax(1).numpy()}
    if random:
        arrays["target"] = target.numpy().astype(np.int8)
    if name in ATTACKS:
        pictures = max(0, (SAMPLES if random else THUMBS) - first)
        arrays["thumbs"] = (moved[:pictures] * 255).round().byte().numpy()
    return arrays, settings_for(system, name, eps, best, profile, seed) | {"data": dataset.source}


def plan(profile: str, system: str) -> list[tuple[str, float, bool, int]]:
    """Every unit of a system: attack, eps, best iterate or last, images."""
    sizes, eps = DETECTORS[profile].attacked_images, SYSTEMS[system].eps
    of = {kind: [name for name in ATTACKS if ATTACKS[name].towards == kind] for kind in ("", "every", "random")}
    most, cheap = (sizes.get(name, sizes["single"]) for name in ("published", "cheap"))
    wanted = [(name, eps, False, most if name in AS_PUBLISHED else sizes["aligned" if kind else "single"])
              for kind in ("", "every") for name in of[kind]]
    wanted += [(name, eps, True, cheap if name in CHEAP else sizes["single"]) for name in LOOKED_AT]
    farther = [(name, False, sizes["single"]) for name in of["random"]]
    if profile != "smoke":
        farther += [(name, best, sizes["single"]) for name in HARDEST for best in (False, True)]
        farther += [("detectors, margin", False, sizes["single"]),
                    *((name, False, sizes["aligned"]) for name in of["every"])]
    wanted += [(name, round(eps + 0.1, 3), best, n) for name, best, n in farther]
    natural = 100 if profile == "smoke" else 10_000
    return [("clean", 0.0, False, natural), ("validation", 0.0, False, natural), *wanted]


def unit_name(system: str, name: str, eps: float, best: bool, seed: int) -> str:
    words = "".join(c if c.isalnum() else "-" for c in name.lower())
    return "_".join(filter(None, ("GAT", system, "-".join(filter(None, words.split("-"))), f"eps{eps:g}" if eps else "",
                                  "best" if best else "", f"seed{seed}")))


def detection(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
              fresh: bool = False, only: str | None = None):
    """Rows of the reject curves at fixed shares of rejected natural images, for every system and attack."""
    profile_of(profile)
    load = systems.networks(profile, seed, results)       # as many units ask for the same twelve networks
    todo = [systems.growing(unit_name(system, name, eps, best, seed), n,
                            settings_for(system, name, eps, best, profile, seed), partial(load, system),
                            partial(compute, load, system, name, eps, best, n, profile, seed),
                            system, profile, seed, results)
            for system, classes in DETECTORS[profile].systems.items()
            if len(classes) == 10 and SYSTEMS[system].norm == "linf" for name, eps, best, n in plan(profile, system)]
    return units.ensure("detection", todo, reject.summarise, profile=profile, device=device, results=results,
                        fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(detection, __doc__)
