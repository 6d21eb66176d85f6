"""The l2 attack of Carlini and Wagner over five constants c, as published (Figure 5 of Li et al. 2019)."""

from pathlib import Path

import torch

from lib.attacks import carlini_wagner
from lib.models import MODELS
from lib.profiles import profile as profile_of
from lib.runs import outcomes, units
from lib.runs.victims import Victim, blocks, first_images, sampling

LEARNING_RATE = 0.01
THUMBS = 10


def settings_for(model: str, seed: int, profile: str) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    sizes = profile_of(profile)
    cells = [{"attack": "cw", "norm": "l2", "variant": f"c={c:g}", "steps": sizes.steps["cw"],
              "step_size": LEARNING_RATE, "loss": "margin", "restarts": 1, "draws": 1} for c in sizes.constants]
    return {"experiment": "carlini", "dataset": sizes.dataset, "model": model, "attack": "cw", "seed": seed,
            "protocol": "published", "attack_seed": seed, "profile": profile, "cells": cells,
            "dtype": sizes.dtype} | sampling(sizes)


def compute(model: str, seed: int, first: int, last: int, profile: str, results: Path | None, device: torch.device):
    """The record of one unit: every c on test images first <= i < last."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, first, last)
    steps, found = victim.profile.steps["cw"], []
    for start in range(0, len(images), victim.batch):
        part = slice(start, start + victim.batch)
        clean, label = x[part].to(device), y[part].to(device)
        found.append(torch.stack([
            carlini_wagner(victim.logits_fn(f"cw/{c:g}", images[part], dtype=victim.profile.dtype), clean, label, c=c,
                           steps=steps, lr=LEARNING_RATE).cpu() for c in victim.profile.constants]))
    arrays = outcomes.judged(victim, torch.cat(found, dim=1), x, y, images, "judge/cw",
                             thumbs=THUMBS if first == 0 else 0)
    return arrays, settings_for(model, seed, profile) | {"data": dataset.source, "weights": victim.weights}


def carlini(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
            fresh: bool = False, only: str | None = None):
    """Rows of CW, a set for each c: accuracy on fresh draws and by their majority; l2 and detection rates over the
    images that the majority misreads (`outcomes.succeeded`), which is stricter than the single draw of the paper."""
    todo = [units.Unit(f"{model}_cw_seed{seed}_{first:05d}-{last:05d}",
                       lambda device, job=(model, seed, first, last): compute(*job, profile, results, device),
                       expected=settings_for(model, seed, profile))
            for model in MODELS for first, last in blocks(profile_of(profile), "cw", model)]
    return units.ensure("carlini", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(carlini, __doc__)
