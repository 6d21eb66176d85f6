"""Does it matter that attack gradients are taken in bfloat16? The same PGD with float32 gradients, both judged
in float32."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib import metrics, tables
from lib.profiles import profile as profile_of
from lib.results import RESULTS, read_record
from lib.runs import outcomes, units
from lib.runs.victims import Victim, first_images, sampling
from lib.runs.whitebox import cells, published_attack

MODELS = ("GFZ", "GBZ", "DFX")
IMAGES = 20                                 # the first of those that `whitebox` attacks
RADII = 2                                   # the smallest of the grid: where many and where fewer survive


def settings_for(model: str, eps: float, seed: int, profile: str) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    sizes = profile_of(profile)
    return {"experiment": "precision", "dataset": sizes.dataset, "model": model,
            "variant": f"float32 gradients, eps {eps:g}", "attack": "pgd", "protocol": "published", "seed": seed,
            "attack_seed": seed, "profile": profile, "cells": cells(sizes, "pgd", (eps,)),
            "dtype": "float32"} | sampling(sizes)


def compute(model: str, eps: float, seed: int, profile: str, results: Path | None, device: torch.device, first: int = 0,
            last: int = IMAGES):
    """The record of one model and radius: PGD with the start, noise and judge of `whitebox`."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, first, min(last, victim.profile.images_for("pgd", model)))
    position, found = victim.profile.eps.index(eps), []
    for start in range(0, len(images), victim.batch):
        part = slice(start, start + victim.batch)
        found.append(published_attack(victim, "pgd", eps, x[part].to(device), y[part].to(device), images[part],
                                      "float32").cpu())
    arrays = outcomes.judged(victim, torch.cat(found)[None], x, y, images, "judge/pgd", first_cell=position)
    return arrays, settings_for(model, eps, seed, profile) | {"data": dataset.source, "weights": victim.weights}


def precision(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
              fresh: bool = False, only: str | None = None):
    """Rows of PGD with float32 gradients, to lay beside those of `whitebox`."""
    todo = [units.Unit(f"{model}_pgd_eps{eps:g}_seed{seed}",
                       lambda device, job=(model, eps): compute(*job, seed, profile, results, device),
                       expected=settings_for(model, eps, seed, profile))
            for model in MODELS for eps in profile_of(profile).eps[:RADII]]
    return units.ensure("precision", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


def compared(profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """Accuracy under both kinds of gradient on the same images, and the paired difference with its 95 % interval."""
    lines, folder = [], Path(results or RESULTS) / profile
    for path in sorted((folder / "precision").glob(f"*_seed{seed}.npz")):
        exact = read_record(path)
        model = exact.settings["model"]
        coarse = outcomes.pooled([read_record(p) for p in (folder / "whitebox").glob(f"{model}_pgd_seed{seed}_*.npz")])
        if not coarse:
            continue
        shared, eps = np.isin(coarse[0]["index"], exact["index"]), exact.settings["cells"][0]["eps"]
        position = [cell["eps"] for cell in coarse[0].settings["cells"]].index(eps)
        right = [metrics.correct(exact["predictions"][0], exact["label"]),
                 metrics.correct(coarse[0]["predictions"][position], coarse[0]["label"])[shared]]
        right[0] = right[0][np.isin(exact["index"], coarse[0]["index"])]
        difference, low, high = metrics.paired_difference(*right)
        lines.append({"model": model, "eps": eps, "float32": right[0].mean(),
                      "bfloat16": right[1].mean(), "difference": difference, "low": low, "high": high,
                      "n": len(right[0])})
    return pd.DataFrame(lines, columns=["model", "eps", "float32", "bfloat16", "difference", "low", "high", "n"])


def in_words(found: pd.DataFrame) -> str:
    """What `compared` shows, and what it cannot: the largest difference, and the widest reach of an interval."""
    if found.empty:
        return "Nothing can be said yet."
    at = [f"eps {eps:g}, n = {', '.join(sorted({str(n) for n in part.n}))}" for eps, part in found.groupby("eps")]
    sure = found[(found.low > 0) | (found.high < 0)]
    reach = max(found.high.max(), -found.low.min())
    says = (f"surely different: {tables.listed([f'{row.model} at eps {row.eps:g}' for row in sure.itertuples()])}"
            if len(sure)
            else "no sign that the format matters")
    left = tables.span(found.float32.min(), found.float32.max())
    return (f"The largest difference is {tables.points(found.difference.abs().max())} ({'; '.join(at)}): {says}. "
            f"The limit of this test: differences up to {tables.points(reach)} stay inside its intervals, and it looks "
            f"only at radii where the float32 attack leaves {left}.")


if __name__ == "__main__":
    units.main(precision, __doc__)
