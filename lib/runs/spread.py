"""How much of a difference between two models is the luck of their trainings? PGD and MIM on trainings of other seeds.

A training seed draws the initial weights, the order of the images and the noise. All trainings of a model that are
compared are equally long: as long as the profile's own, or, where it says so, of the shortened training, which costs a
tenth (`Profile.spread_on`). Published PGD and MIM on the same test images, at two radii: one at which many models are
in mid-range that match p(x, y), and one for those that model p(y | x); the clean images are judged with them.
Command: python -m lib.runs.spread --profile laptop
"""

from collections.abc import Iterable
from functools import reduce
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib import metrics, tables
from lib.models import MODELS
from lib.profiles import DECODERS
from lib.profiles import profile as profile_of
from lib.results import RESULTS, read_record
from lib.runs import outcomes, units, whitebox
from lib.runs.training import checkpoint, recipe_of, trained
from lib.runs.victims import Victim, blocks, first_images, sampling
from lib.runs.withstood import GENERATIVE
from lib.train import fingerprint

ATTACKS = ("pgd", "mim")


def training_of(model: str, profile: str) -> str:
    """Which training of a model is repeated, as lib.runs.training names it: "" (the profile's own) or "shortened"."""
    settings = profile_of(profile)
    longer = settings.training_for(model).updates > settings.shortened.updates
    return settings.spread_on if model in DECODERS and longer else ""


def cells(profile: str, model: str) -> list[dict]:
    """The key columns of each cell of a unit: the clean images, then both attacks at each radius."""
    settings, grid = profile_of(profile), profile_of(profile).spread_eps
    variant = f"{recipe_of(model, profile, training_of(model, profile)).updates} updates"
    attacked = [cell for attack in ATTACKS for cell in whitebox.cells(settings, attack, grid)]
    return [cell | {"variant": variant} for cell in [{"attack": "clean"}, *attacked]]


def settings_for(model: str, profile: str, seed: int) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    sizes = profile_of(profile)
    return {"experiment": "spread", "dataset": sizes.dataset, "model": model, "variant": training_of(model, profile),
            "attack": "pgd, mim", "protocol": "published", "seed": seed, "attack_seed": seed, "profile": profile,
            "cells": cells(profile, model), "dtype": sizes.dtype} | sampling(sizes)


def compute(model: str, first: int, last: int, profile: str, seed: int, results: Path | None, device: torch.device
            ) -> tuple[dict, dict]:
    """The record of one model on test images first <= i < last."""
    kind = training_of(model, profile)
    net, path = trained(model, profile, seed, device, kind, results), checkpoint(model, profile, seed, kind, results)
    victim = Victim(net, profile_of(profile), seed, device, fingerprint(path))
    images, x, y, dataset = first_images(victim.profile, first, last)
    grid, dtype, found = victim.profile.spread_eps, victim.profile.dtype, []
    for start in range(0, len(images), victim.batch):
        part = slice(start, start + victim.batch)
        clean, label = x[part].to(device), y[part].to(device)
        found.append(torch.stack([clean, *(
            whitebox.published_attack(victim, attack, eps, clean, label, images[part], dtype)
            for attack in ATTACKS for eps in grid)]).cpu())
    arrays = outcomes.judged(victim, torch.cat(found, dim=1), x, y, images, "judge/spread")
    return arrays, settings_for(model, profile, seed) | {"data": dataset.source, "weights": victim.weights}


def spread(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
           fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of accuracy on clean images and under PGD and MIM after trainings with `seed` and those that follow it."""
    sizes = profile_of(profile)
    todo = [units.Unit(f"{model}_seed{s}_{first:05d}-{last:05d}",
                       lambda device, job=(model, first, last, profile, s): compute(*job, results, device),
                       expected=settings_for(model, profile, s))
            for s in range(seed, seed + sizes.repeats) for model in MODELS
            for first, last in blocks(sizes, "spread", model)]
    return units.ensure("spread", todo, summariser(profile, results), profile=profile, device=device, results=results,
                        fresh=fresh, only=only)


def summariser(profile: str, results: Path | None = None):
    """Rows of accuracy and mean l2; no detectors are fitted, since training images are not scored here."""
    return outcomes.summariser(profile, results, path=lambda *_: Path("no scores"))


def shares(profile: str, results: Path | None = None) -> dict[tuple, dict[int, pd.Series]]:
    """Of what is stored: (attack, eps) and model -> seed -> share of draws that read each image right, by image."""
    folder = Path(results or RESULTS) / profile / "spread"
    found: dict[tuple, dict[int, pd.Series]] = {}
    for group in outcomes.pooled([read_record(path) for path in sorted(folder.glob("*.npz"))]):
        right = metrics.correct(group["predictions"], group["label"])
        for cell, values in zip(group.settings["cells"], right):
            key = cell["attack"], cell.get("eps", 0.0), group.settings["model"]
            found.setdefault(key, {})[group.settings["seed"]] = pd.Series(values, group["index"]).sort_index()
    return found


def by_seed(profile: str, results: Path | None = None) -> pd.DataFrame:
    """A line a model, attack and eps: the accuracy after each training (columns: seeds), on the images that all of
    them got (n); by_trainings: the standard deviation of the trainings around their mean; by_chance: what it would be
    if all trainings were equally good, from how unlike they read the same images (a two-way analysis of variance).
    Only where there are at least two trainings."""
    lines = {}
    for (attack, eps, model), seeds in shares(profile, results).items():
        table = pd.DataFrame(seeds).dropna()
        if table.shape[1] > 1:
            unlike = table.sub(table.mean(axis=1), axis=0) - table.mean() + table.to_numpy().mean()
            freedom = max(1, len(table) - 1) * (table.shape[1] - 1)
            lines[model, attack, eps] = table.mean().to_dict() | {
                "by_chance": float(np.sqrt((unlike.to_numpy() ** 2).sum() / freedom / len(table))),
                "by_trainings": table.mean().std(ddof=1), "n": len(table)}
    order = {model: place for place, model in enumerate(MODELS)}
    keys = sorted(lines, key=lambda key: (order[key[0]], ("clean", *ATTACKS).index(key[1]), key[2]))
    return pd.DataFrame([lines[key] for key in keys],
                        index=pd.MultiIndex.from_tuples(keys, names=["model", "attack", "eps"]))


def orders(profile: str, results: Path | None = None) -> pd.DataFrame:
    """Every two models under each attack at each radius: does the better one win whichever trainings meet?

    Columns: attack, eps, better, worse; difference: of their means over trainings; least: of the meeting that is worst
    for the better one; meetings: how many pairs of trainings there are; always: least above 0. All on the images that
    both have. Of differences below a point nothing is asked: they are left out.
    """
    found, lines = shares(profile, results), []
    for attack, eps in dict.fromkeys(key[:2] for key in found if key[0] != "clean"):
        there = [model for model in MODELS if len(found.get((attack, eps, model), ())) > 1]
        for pair in combinations(there, 2):
            one, two = _together(pd.DataFrame(found[attack, eps, model]) for model in pair)
            sign = 1 if one.mean() >= two.mean() else -1
            gaps = sign * (one.to_numpy()[:, None] - two.to_numpy()[None])
            if abs(gaps.mean()) >= 0.01:
                better, worse = pair[::sign]
                lines.append({"attack": attack, "eps": eps, "better": better, "worse": worse,
                              "difference": gaps.mean(), "least": gaps.min(), "meetings": gaps.size,
                              "always": bool(gaps.min() > 0)})
    return pd.DataFrame(lines, columns=["attack", "eps", "better", "worse", "difference", "least", "meetings",
                                        "always"])


def _together(tables_of: Iterable[pd.DataFrame]) -> list[pd.Series]:
    """The accuracy after each training (index: seed) of several models, on the images that all trainings of all got."""
    tables_of = [table.dropna() for table in tables_of]
    shared = reduce(pd.Index.intersection, (table.index for table in tables_of))
    return [table.loc[shared].mean() for table in tables_of]


def families(profile: str, results: Path | None = None) -> pd.DataFrame:
    """The worst training of a generative model beside the best of any other model, under each attack at each radius.

    Columns: attack, eps, generative, other (accuracies), which (the two models), trainings (how many there are of the
    one and of the other), n (images that all of them got). Only where both families have models trained twice.
    """
    found, lines = shares(profile, results), []
    for attack, eps in dict.fromkeys(key[:2] for key in found if key[0] != "clean"):
        there = [model for model in MODELS if len(found.get((attack, eps, model), ())) > 1]
        warm, cool = ([model for model in there if (model in GENERATIVE) == side] for side in (True, False))
        if warm and cool:
            all_of = [pd.DataFrame(found[attack, eps, model]) for model in (*warm, *cool)]
            means = dict(zip((*warm, *cool), _together(all_of)))
            low = min(warm, key=lambda model: means[model].min())
            high = max(cool, key=lambda model: means[model].max())
            n = len(reduce(pd.Index.intersection, (table.dropna().index for table in all_of)))
            lines.append({"attack": attack, "eps": eps, "generative": means[low].min(), "other": means[high].max(),
                          "which": (low, high), "n": n,
                          "trainings": tuple(sum(len(means[m]) for m in side) for side in (warm, cool))})
    return pd.DataFrame(lines, columns=["attack", "eps", "generative", "other", "which", "n", "trainings"])


def lengths_in_words(profile: str) -> str:
    """How long the trainings are that are compared: "12,000 updates of GFZ and GBZ (of 120,000) and 6,000 of DFX"."""
    lengths: dict[tuple[int, int], list[str]] = {}
    for model in MODELS:
        own, repeated = (recipe_of(model, profile, kind).updates for kind in ("", training_of(model, profile)))
        lengths.setdefault((repeated, own), []).append(model)
    return tables.listed([f"{updates:,} updates of {tables.listed(models)}"
                          + (f", instead of their {own:,}" if own != updates else "")
                          for (updates, own), models in sorted(lengths.items(), reverse=True)])


def gaps_in_words(profile: str, results: Path | None = None) -> str:
    """How far apart the trainings of one model are."""
    table = by_seed(profile, results)
    if table.empty:
        return "There are no rows yet after trainings of other seeds."
    attacked = table[table.index.get_level_values("attack") != "clean"]
    seeds = [name for name in attacked if isinstance(name, int)]
    gap = (attacked[seeds].max(axis=1) - attacked[seeds].min(axis=1)).sort_values()
    model, attack, eps = gap.index[-1]
    return (f"at most {tables.points(gap.iloc[-1])} ({model} under {attack.upper()} at {eps:g}), half of the time at "
            f"most {tables.points(gap.median())}")


def parted(profile: str, results: Path | None = None) -> pd.DataFrame:
    """`orders` and `families` as text, a line an attack and eps. May be empty."""
    order, sides, lines = orders(profile, results), families(profile, results), {}
    for (attack, eps), pairs in order.groupby(["attack", "eps"], sort=False):
        lines[attack.upper(), f"{eps:g}"] = {"orders kept": f"{int(pairs.always.sum())} of {len(pairs)} pairs"}
    for line in sides.itertuples():
        cells = lines.setdefault((line.attack.upper(), f"{line.eps:g}"), {})
        cells["worst generative"] = f"{tables.percent(line.generative)} ({line.which[0]})"
        cells["best other"] = f"{tables.percent(line.other)} ({line.which[1]})"
        cells["n"] = line.n
    return pd.DataFrame(lines).T.rename_axis(["attack", "eps"]) if lines else pd.DataFrame()


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """`by_seed` as text. May be empty."""
    seeds = [name for name in found if isinstance(name, int)]
    lines = {key: {f"seed {s}": tables.percent(line[s]) for s in seeds if pd.notna(line[s])} | {
        "trainings differ by": tables.bare_points(line.by_trainings),
        "chance alone would": tables.bare_points(line.by_chance), "n": int(line.n)} for key, line in found.iterrows()}
    table = pd.DataFrame(lines).T
    return table.rename_axis(found.index.names) if lines else table


if __name__ == "__main__":
    units.main(spread, __doc__)
