"""FGSM, PGD and MIM as published, on every classifier of Li et al. (2019), and what lib.runs.strong does on a batch."""

from pathlib import Path

import numpy as np
import torch

from lib.attacks import Linf, cross_entropy, fgsm, input_gradient, mim, pgd, strong
from lib.models import MODELS
from lib.profiles import Profile
from lib.profiles import profile as profile_of
from lib.runs import outcomes, units
from lib.runs.victims import Victim, blocks, first_images, sampling, unit_starts

ATTACKS = ("fgsm", "pgd", "mim")
STEP_SIZE = 0.01                    # published, whatever eps is
THUMBS = 4                          # adversarial images kept as pictures, from the first block


def cells(profile: Profile, attack: str, grid: tuple[float, ...] | None = None) -> list[dict]:
    """The key columns of each cell of a unit: its settings, one entry an eps. grid: other radii than the profile's."""
    steps = profile.steps[attack]
    if attack == "strong":
        return [{"attack": "pgd", "norm": "linf", "eps": eps, "steps": steps,       # of no one length: blank step_size
                 "loss": "margin to a class, cross-entropy", "restarts": profile.restarts,
                 "draws": profile.gradient_draws}
                for eps in profile.strong_eps]
    return [{"attack": attack, "norm": "linf", "eps": eps, "steps": steps,
             "step_size": eps if attack == "fgsm" else STEP_SIZE,
             "loss": "cross-entropy", "restarts": 1, "draws": 1} for eps in grid or profile.eps]


def published_attack(victim: Victim, attack: str, eps: float, x, y, images, dtype: str) -> torch.Tensor:
    """One published attack on one batch, with the published settings (protocol: true labels, fresh noise a step)."""
    purpose = f"{attack}/{eps:g}"
    loss_fn = cross_entropy(victim.logits_fn(purpose, images, dtype=dtype), y)
    steps = victim.profile.steps[attack]
    if attack == "fgsm":
        return fgsm(loss_fn, x, Linf(eps))
    if attack == "pgd":
        start = eps * unit_starts(x, images, purpose, victim.seed)
        return pgd(loss_fn, x, Linf(eps), steps=steps, step_size=STEP_SIZE, start=start)
    return mim(loss_fn, x, Linf(eps), steps=steps, step_size=STEP_SIZE)


def strong_attack(victim: Victim, x, y, images, dtype: str) -> torch.Tensor:
    """The strong protocol on one batch, from random corners of the ball: an adversarial image for each eps, (eps,
    batch, ...)."""
    profile = victim.profile
    starts = torch.stack(
        [unit_starts(x, images, "strong/start", victim.seed, r) for r in range(profile.restarts)]).sign()
    return strong(victim.logits_fn_of("strong", images, dtype=dtype), x, y, [Linf(eps) for eps in profile.strong_eps],
                  starts=starts, steps=profile.steps["strong"], draws=profile.gradient_draws,
                  verdict_draws=profile.draws, check=max(1, profile.steps["strong"] // 4))


def attack_batch(victim: Victim, attack: str, x, y, images, dtype: str) -> torch.Tensor:
    """Adversarial images for every cell, (cell, batch, ...)."""
    if attack == "strong":
        return strong_attack(victim, x, y, images, dtype)
    return torch.stack([published_attack(victim, attack, eps, x, y, images, dtype) for eps in victim.profile.eps])


def zero_gradients(victim: Victim, x, y, images) -> np.ndarray:
    """Per image, whether the float32 cross-entropy of the clean image has a gradient of exactly zero, (batch)."""
    loss_fn = cross_entropy(victim.logits_fn("zero-gradient", images), y)
    return (input_gradient(loss_fn, x).flatten(1) == 0).all(1).cpu().numpy()


def settings_for(model: str, attack: str, seed: int, profile: str) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    sizes, kind = profile_of(profile), "strong" if attack == "strong" else "whitebox"
    return {"experiment": kind, "dataset": sizes.dataset, "model": model, "attack": attack,
            "protocol": "strong" if kind == "strong" else "published", "seed": seed, "attack_seed": seed,
            "profile": profile, "cells": cells(sizes, attack), "dtype": sizes.dtype} | sampling(sizes)


def compute(model: str, attack: str, seed: int, first: int, last: int, profile: str, results: Path | None,
            device: torch.device) -> tuple[dict, dict]:
    """The record of one unit: one attack on one model, on test images first <= i < last."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, first, last)
    found, zero = [], []
    for start in range(0, len(images), victim.batch):
        part = slice(start, start + victim.batch)
        clean, label = x[part].to(device), y[part].to(device)
        found.append(attack_batch(victim, attack, clean, label, images[part], victim.profile.dtype).cpu())
        if attack == "fgsm":
            zero.append(zero_gradients(victim, clean, label, images[part]))
    adversarial = torch.cat(found, dim=1)
    arrays = outcomes.judged(victim, adversarial, x, y, images, f"judge/{attack}", thumbs=THUMBS if first == 0 else 0)
    if zero:
        arrays["zero_gradient"] = np.concatenate(zero)
    return arrays, settings_for(model, attack, seed, profile) | {"data": dataset.source, "weights": victim.weights}


def units_of(attacks, profile: str, seed: int, results: Path | None) -> list[units.Unit]:
    """A unit for each model, attack and block of test images. attacks: some of ATTACKS, or "strong"
    (lib.runs.strong)."""
    return [units.Unit(f"{model}_{attack}_seed{seed}_{first:05d}-{last:05d}",
                       lambda device, job=(model, attack, seed, first, last): compute(*job, profile, results, device),
                       expected=settings_for(model, attack, seed, profile))
            for model in MODELS for attack in attacks
            for first, last in blocks(profile_of(profile), attack, model)]


def whitebox(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
             fresh: bool = False, only: str | None = None):
    """Rows of FGSM, PGD and MIM under the published protocol, over the eps grid, with detection rates."""
    return units.ensure("whitebox", units_of(ATTACKS, profile, seed, results), outcomes.summariser(profile, results),
                        profile=profile, device=device, results=results, fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(whitebox, __doc__)
