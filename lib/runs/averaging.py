"""Is a classifier's noise its defence? The same attack with gradients averaged over ever more draws, and without noise.

A Bayes-rule classifier by importance sampling draws its samples of z anew at each call. An attack that climbs the mean
of too few draws climbs noise, and what then survives is no robustness. So the first start of the strong protocol is
made at one radius with 1, 4, 16 and 64 draws a gradient, judged by fresh draws; and once on each image's draws held
fixed, judged by these same draws and by fresh ones.
Command: python -m lib.runs.averaging --profile laptop
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib import metrics, tables
from lib.attacks import Linf, strong
from lib.profiles import Profile
from lib.profiles import profile as profile_of
from lib.results import RESULTS, read_record
from lib.runs import outcomes, units
from lib.runs.referee import FIXED
from lib.runs.victims import Victim, blocks, first_images, sampling, unit_starts

NO_NOISE = "fixed"              # instead of a number of draws: one set of draws for each image and all calls


def ways(profile: Profile) -> tuple[int | str, ...]:
    """Over how many draws gradients are averaged, and NO_NOISE."""
    return (*profile.averaged, NO_NOISE)


def settings_for(model: str, way: int | str, profile: str, seed: int) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    sizes, fixed = profile_of(profile), way == NO_NOISE
    cell = {"attack": "pgd", "norm": "linf", "eps": FIXED[model], "steps": sizes.steps["strong"],
            "loss": "margin to a class", "restarts": 1, "draws": 1 if fixed else way,
            "variant": NO_NOISE if fixed else ""}
    return {"experiment": "averaging", "dataset": sizes.dataset, "model": model, "variant": str(way), "attack": "pgd",
            "protocol": "strong", "seed": seed, "attack_seed": seed, "profile": profile, "cells": [cell],
            "dtype": sizes.dtype} | sampling(sizes)


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
                            verdict_draws=1 if fixed else sizes.draws))
        if fixed:
            with torch.no_grad():
                held.append((victim.logits_fn(purpose, index, fixed=True)(found[-1][0]).argmax(1) == label).cpu())
    arrays = outcomes.judged(victim, torch.cat(found, dim=1).cpu(), x, y, images, "judge/averaging")
    if fixed:
        arrays["fixed_right"] = torch.cat(held).numpy()
    return arrays, settings_for(model, way, profile, seed) | {"data": dataset.source, "weights": victim.weights}


def averaging(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
              fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of accuracy by the draws a gradient is averaged over (draws; variant "fixed": without noise)."""
    sizes = profile_of(profile)
    todo = [units.Unit(f"{model}_{way}{'' if way == NO_NOISE else 'draws'}_seed{seed}_{first:05d}-{last:05d}",
                       lambda device, job=(model, way, first, last): compute(*job, profile, seed, results, device),
                       expected=settings_for(model, way, profile, seed))
            for model in FIXED for way in ways(sizes) for first, last in blocks(sizes, "averaging", model)]
    return units.ensure("averaging", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


def compared(profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """A line a model and way of attack, of what is stored: columns model, eps, draws (as text; or NO_NOISE), value
    (accuracy on fresh draws), low, high, n; held: of NO_NOISE the accuracy on the draws attacked; lost, lost_low,
    lost_high: how much less is left than after gradients of one draw, paired over the shared images."""
    folder = Path(results or RESULTS) / profile / "averaging"
    groups = {(group.settings["model"], group.settings["variant"]): group
              for group in outcomes.pooled([read_record(path) for path in sorted(folder.glob(f"*_seed{seed}_*.npz"))])}
    order = [*map(str, profile_of(profile).averaged), NO_NOISE]
    lines = []
    for model, way in sorted(groups, key=lambda key: (key[0], order.index(key[1]))):
        group, one = groups[model, way], groups.get((model, order[0]))
        right = metrics.correct(group["predictions"][0], group["label"])
        low, high = metrics.wilson(right.mean(), len(right))
        line = {"model": model, "eps": group.settings["cells"][0]["eps"], "draws": way,
                "value": right.mean(), "low": low, "high": high, "n": len(right)}
        if way == NO_NOISE:
            line["held"] = float(group["fixed_right"].mean())
        if one is not None and way != order[0]:
            shared = np.intersect1d(one["index"], group["index"])
            pair = [metrics.correct(g["predictions"][0], g["label"])[np.isin(g["index"], shared)] for g in (one, group)]
            line |= dict(zip(("lost", "lost_low", "lost_high"), metrics.paired_difference(*pair)))
        lines.append(line)
    return pd.DataFrame(lines,
                        columns=["model", "eps", "draws", "value", "low", "high", "n", "held", "lost", "lost_low",
                                 "lost_high"])


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """`compared` as text: accuracy on fresh draws, on the draws attacked, and points lost against one draw. May
    be empty."""
    lines = {(f"{line.model}, eps {line.eps:g}", line.draws): {
        "on fresh draws": tables.cell(line), "on those attacked": tables.percent(line.held), "n": line.n,
        "points lost": tables.interval(line.lost, line.lost_low, line.lost_high, tables.bare_points)}
        for line in found.itertuples()}
    return pd.DataFrame(lines).T.rename_axis(["", "draws a gradient"]) if lines else pd.DataFrame()


def in_words(found: pd.DataFrame) -> str:
    """What `compared` says of each model: whether images made on fixed draws deceive fresh ones, and what averaging
    over more draws than one is worth."""
    said = []
    for model, lines in found.groupby("model"):
        averaged, fixed = lines[lines.draws != NO_NOISE], lines[lines.draws == NO_NOISE]
        if len(fixed):
            line = fixed.iloc[0]
            said.append(f"Of {line.n} images made on {model}'s fixed draws these draws read "
                        f"{tables.percent(line.held)} right, and fresh draws {tables.cell(line)}.")
        more = averaged[averaged.lost.notna()]
        if len(more):
            each = [f"{line.draws} draws {tables.interval(line.lost, line.lost_low, line.lost_high, tables.points)}, "
                    f"n {line.n}" for line in more.itertuples()]
            sure = more.draws[more.lost_low > 0].tolist()
            said.append(f"What gradients averaged over more draws than one take off {model}'s accuracy: "
                        f"{'; '.join(each)}; surely more than nothing: {tables.listed(sure, 'none of them')}.")
        elif len(averaged):
            said.append(f"Of {model} there are no records of other numbers of draws yet.")
    return " ".join(said) or "There are no records of other numbers of draws yet."


if __name__ == "__main__":
    units.main(averaging, __doc__)
