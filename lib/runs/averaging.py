"""Is a classifier's noise its defence? The same attack with gradients averaged over ever more draws, and without noise.

A Bayes-rule classifier by importance sampling draws its samples of z anew at each call. An attack that climbs the mean of
too few draws climbs noise, and what then survives is no robustness. So the first start of the strong protocol is made at
one radius with 1, 4, 16 and 64 draws a gradient, judged by fresh draws; and once on each image's draws held fixed, judged
by these same draws and by fresh ones.
Command: python -m lib.runs.averaging --profile laptop
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib import metrics
from lib.attacks import Linf, strong
from lib.profiles import Profile
from lib.profiles import profile as profile_of
from lib.results import RESULTS, Record, read_record
from lib.runs import outcomes, units
from lib.runs.referee import FIXED
from lib.runs.victims import Victim, blocks, first_images, unit_starts

NO_NOISE = "fixed"              # instead of a number of draws: one set of draws for each image and all calls


def ways(profile: Profile) -> tuple[int | str, ...]:
    """Over how many draws gradients are averaged, and NO_NOISE."""
    return (*profile.averaged, NO_NOISE)


def compute(model: str, way: int | str, first: int, last: int, profile: str, seed: int, results: Path | None,
            device: torch.device) -> tuple[dict, dict]:
    """The record of one way on test images first <= i < last; of NO_NOISE also fixed_right, (image): whether the draws
    that were attacked read it correctly still."""
    victim, fixed = Victim.load(model, profile, seed, device, results), way == NO_NOISE
    sizes, purpose = victim.profile, f"averaging/{way}"
    images, x, y, dataset = first_images(sizes, first, last)
    found, held, steps = [], [], sizes.steps["strong"]
    for start in range(0, len(images), victim.batch):
        part = slice(start, start + victim.batch)
        clean, label, index = x[part].to(device), y[part].to(device), images[part]
        corner = unit_starts(clean, index, "strong/start", seed, 0).sign()
        found.append(strong(victim.logits_fn_of(purpose, index, dtype=sizes.dtype, fixed=fixed), clean, label,
                            [Linf(FIXED[model])], starts=corner[None], steps=steps, draws=1 if fixed else way,
                            verdict_draws=1 if fixed else sizes.draws, check=max(1, steps // 4)))
        if fixed:
            with torch.no_grad():
                held.append((victim.logits_fn(purpose, index, fixed=True)(found[-1][0]).argmax(1) == label).cpu())
    arrays = outcomes.judged(victim, torch.cat(found, dim=1).cpu(), x, y, images, "judge/averaging")
    if fixed:
        arrays["fixed_right"] = torch.cat(held).numpy()
    cell = {"attack": "pgd", "norm": "linf", "eps": FIXED[model], "steps": steps, "loss": "margin to a class",
            "restarts": 1, "draws": 1 if fixed else way, "variant": NO_NOISE if fixed else ""}
    return arrays, {"experiment": "averaging", "dataset": dataset.name, "model": model, "variant": str(way),
                    "attack": "pgd", "protocol": "strong", "seed": seed, "attack_seed": seed, "profile": profile,
                    "cells": [cell], "dtype": sizes.dtype, "data": dataset.source, "weights": victim.weights}


def averaging(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
              fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of accuracy by the draws a gradient is averaged over (draws; variant "fixed": without noise)."""
    sizes = profile_of(profile)
    todo = [units.Unit(f"{model}_{way}{'' if way == NO_NOISE else 'draws'}_seed{seed}_{first:05d}-{last:05d}",
                       lambda device, job=(model, way, first, last): compute(*job, profile, seed, results, device))
            for model in FIXED for way in ways(sizes) for first, last in blocks(sizes, "averaging", model)]
    return units.ensure("averaging", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


def compared(profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """A line a model and way of attack: accuracy on fresh draws with low and high, n; "fixed noise": that on the draws
    attacked; and how much less than one draw leaves (lost, lost low, lost high), paired over the images of both."""
    folder, groups = Path(results or RESULTS) / profile / "averaging", {}
    found = outcomes.pooled([read_record(path) for path in sorted(folder.glob(f"*_seed{seed}_*.npz"))])
    for group in found:
        groups[group.settings["model"], group.settings["variant"]] = group
    lines = []
    for (model, way), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] == NO_NOISE, len(item[0][1]), item[0][1])):
        right, one = _right(group), groups.get((model, "1"))
        line = {"model": model, "eps": group.settings["cells"][0]["eps"], "draws": way, "accuracy": right.mean(), "n": len(right)}
        line["low"], line["high"] = metrics.wilson(right.mean(), len(right))
        if way == NO_NOISE:
            line["fixed noise"] = float(group["fixed_right"].mean())
        if one is not None and way != "1":
            shared = np.intersect1d(one["index"], group["index"])
            line["lost"], line["lost low"], line["lost high"] = metrics.paired_difference(
                *(_right(each)[np.isin(each["index"], shared)] for each in (one, group)))
        lines.append(line)
    return pd.DataFrame(lines, columns=["model", "eps", "draws", "accuracy", "low", "high", "n", "fixed noise", "lost",
                                        "lost low", "lost high"])


def _right(group: Record | outcomes.Pooled) -> np.ndarray:
    """Share of fresh draws that read each image correctly, (image)."""
    return metrics.correct(group["predictions"][0], group["label"])


if __name__ == "__main__":
    units.main(averaging, __doc__)
