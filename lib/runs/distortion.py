"""How far an image must move until the generative system accepts it as another class (Yin et al. 2020, Table 2)."""

import functools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.attacks import best_wrong_detector, smallest_change
from lib.detectors.one_vs_rest import Reject
from lib.metrics import mean_interval, wilson
from lib.models import Heads
from lib.profiles import DETECTORS, SYSTEMS
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, Record, same
from lib.runs import systems, units
from lib.runs.heads import split, trained_heads
from lib.runs.systems import InBfloat16, other_classes, read
from lib.runs.training import dataset_of

NATURAL = 0.95                      # of natural images are accepted at the threshold
FIT_IMAGES = 2_000                  # validation images that it is fitted on
QUANTILES = (0.25, 0.5, 0.75)
PICTURES = 4                        # kept of a search
NEAREST = "nearest"                 # loss of the rows that take the shortest way of all, image by image


@dataclass(frozen=True)
class Protocol:
    """aim: "random" (one random wrong class an image, as the code does) or "untargeted" (equation 15 as written).

    step_size: Adam's rate, pixels in [0, 1]. best: every iterate counts, not the last of a round alone.
    """

    aim: str
    rounds: int
    steps: int
    step_size: float
    best: bool


def protocols(profile: str) -> dict[Protocol, int]:
    """The published inner optimiser, then smaller steps, then every iterate looked at as well; images for each."""
    if profile == "smoke":
        return {Protocol(aim, 2, 2, step, best): 4 for aim in ("random", "untargeted")
                for step, best in ((1.0, False), (0.1, False), (0.1, True))}
    rounds, steps = (20, 1000) if profile == "paper" else (10, 200)
    sizes = DETECTORS[profile].attacked_images
    return {Protocol(aim, rounds, steps, step, best): sizes["distortion" if aim == "random" else "untargeted"]
            for aim in ("random", "untargeted") for step, best in ((1.0, False), (0.1, False), (0.1, True))}


def threshold(heads: Heads, profile: str, device: torch.device) -> float:
    """The largest logit that 95 % of validation images reach (the paper fits it on test images)."""
    held = split(profile)[1]
    scores = read(heads, held.images(list(range(min(FIT_IMAGES, len(held))))), device).max(1)
    return Reject.fit(scores, 1 - NATURAL).threshold


def settings_for(system: str, protocol: Protocol, profile: str, seed: int) -> dict:
    """What the record of a unit says of how it was made; where it comes from is not known yet."""
    return {"experiment": "distortion", "dataset": profile_of(profile).dataset, "model": "GAT-generative",
            "variant": system, "attack": "adam-bisection", "norm": "l2", "rounds": protocol.rounds,
            "steps": protocol.steps, "step_size": protocol.step_size, "loss": protocol.aim, "seed": seed,
            "attack_seed": seed, "profile": profile, "protocol": "strong" if protocol.best else "published",
            "dtype": "bfloat16"}


def compute(fitted: Callable, system: str, protocol: Protocol, n: int, profile: str, seed: int, device: torch.device,
            first: int = 0):
    """The record of one unit: for each of test images first <= i < n, the distance and what the system says there.

    fitted(system, device): its detectors and the threshold of `threshold`.
    """
    (heads, accept), dataset = fitted(system, device), dataset_of(profile)
    fast = InBfloat16(heads)
    index = list(range(first, min(n, len(dataset.test))))
    if not index:           # there are no further images
        return {}, settings_for(system, protocol, profile, seed)
    x, y = dataset.test.images(index), dataset.test.labels(index)
    target = other_classes("distortion", y, index, seed, len(dataset.classes))

    def nearest(x: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        def success(z):
            top, predicted = heads(z).max(1)
            return (predicted != y) & (top >= accept)       # as `Reject.accepts`
        score = best_wrong_detector(fast, y) if protocol.aim == "untargeted" else lambda z: fast.picked(z, target)
        found = smallest_change(score, success, x, rounds=protocol.rounds, steps=protocol.steps,
                                step_size=protocol.step_size, best_iterate=protocol.best)
        return tuple(each.cpu() for each in found)

    batches = zip(*(part.split(systems.BATCH[device.type]) for part in (x, y, target)))
    found, ok = map(torch.cat, zip(*(nearest(*(each.to(device) for each in batch)) for batch in batches)))
    arrays = {"index": np.array(index, np.int32), "label": y.numpy().astype(np.int8), "success": ok.numpy(),
              "l2": (found - x).flatten(1).norm(dim=1).numpy(), "heads": read(heads, found, device),
              "target": target.numpy().astype(np.int8),
              "thumbs": (found[:max(0, PICTURES - first)] * 255).round().byte().numpy()}
    return arrays, settings_for(system, protocol, profile, seed) | {"threshold": accept, "data": dataset.source}


def summarise(records: list[Record]) -> list[dict]:
    """success: share of images with any; l2: mean over successes, as published; l2_quantile: over all images, those
    without success being farther than any other (blank where it falls among them); column detector says which quantile.

    Where several searches of a system are stored, its rows with loss "nearest" take of each image that all of them had
    (the first ones) the shortest way that any of them found.
    """
    rows, groups = [], defaultdict(list)
    for record in records:
        key = {name: record.settings[name] for name in COLUMNS if name in record.settings}
        rows += _rows(key, record["success"], record["l2"])
        groups[record.settings["variant"], record.settings["seed"]].append(record)
    for found in groups.values():
        same(found, "weights")
        if len(found) > 1:
            shared = min(len(record["l2"]) for record in found)
            far = np.min([np.where(r["success"], r["l2"], np.inf)[:shared] for r in found], axis=0)
            alike = {name: found[0].settings[name] for name in COLUMNS if name in found[0].settings
                    and all(record.settings.get(name) == found[0].settings[name] for record in found)}
            rows += _rows(alike | {"loss": NEAREST, "protocol": "strong"}, np.isfinite(far), far)
    return rows


def _rows(key: dict, ok: np.ndarray, l2: np.ndarray) -> list[dict]:
    l2, (low, high) = l2.astype(float), wilson(ok.mean(), len(ok))
    rows = [key | {"metric": "success", "value": float(ok.mean()), "low": low, "high": high, "n": len(ok)}]
    if ok.any():
        mean, low, high = mean_interval(l2[ok])
        rows.append(key | {"metric": "l2", "value": mean, "low": low, "high": high, "n": int(ok.sum())})
    for q in QUANTILES:
        value = np.quantile(np.where(ok, l2, np.inf), q, method="inverted_cdf")
        rows.append(key | {"metric": "l2_quantile", "detector": f"{q:.0%}", "n": len(ok),
                           "value": float(value) if np.isfinite(value) else np.nan})
    return rows


def distortion(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
               fresh: bool = False, only: str | None = None):
    """Rows of the mean L2 distortion under both aims and both ways of looking, for every whole system."""
    profile_of(profile)

    @functools.cache
    def fitted(system, device):
        heads = trained_heads(system, profile, seed, device, results)
        return heads, threshold(heads, profile, device)

    todo = [systems.growing(f"GAT_{system}_{p.aim}_{p.steps}x{p.step_size:g}{'_best' if p.best else ''}_seed{seed}", n,
                            settings_for(system, p, profile, seed), functools.partial(fitted, system),
                            functools.partial(compute, fitted, system, p, n, profile, seed),
                            system, profile, seed, results, names=())
            for system, classes in DETECTORS[profile].systems.items()
            if len(classes) == 10 and SYSTEMS[system].norm == "linf" for p, n in protocols(profile).items()]
    return units.ensure("distortion", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


if __name__ == "__main__":
    units.main(distortion, __doc__)
