"""How well a detector tells its class from others pushed towards it: AUC (Yin et al. 2020, Tables 1, 6, 8 to 12)."""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.attacks import adam_pgd, ball, pgd
from lib.metrics import auc as area
from lib.metrics import auc_interval
from lib.models import stream
from lib.profiles import DETECTORS, SYSTEMS, namesake
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, Record, same, significant
from lib.runs import units
from lib.runs.heads import trained_heads
from lib.runs.systems import BATCH, InBfloat16, growing, read
from lib.runs.training import dataset_of


ATTACK = ("norm", "eps", "steps", "step_size", "restarts", "attack_seed")      # columns that an attack fills


@dataclass(frozen=True)
class Test:
    """An attack on a detector. optimiser: "adam" on the perturbation, or "normgrad", steps along sign or direction.

    restarts: 0 starts at the image (published); else as many random starts, and of each image the largest logit counts.
    """

    norm: str
    eps: float
    steps: int
    step_size: float
    optimiser: str = "adam"
    restarts: int = 0

    @property
    def name(self) -> str:
        start = f"_{self.restarts}starts" if self.restarts else ""
        return f"{self.optimiser}_{self.norm}-{self.eps:g}_{self.steps}x{self.step_size:g}{start}"


def main_test(system: str, profile: str, ball_of: str | None = None) -> Test:
    """The attack of Table 6: 200 steps (2 at smoke) in the ball that the system was trained in, or in that
    of another."""
    inner = SYSTEMS[namesake(ball_of or system)]
    return Test(inner.norm, inner.eps, 2 if profile == "smoke" else 200, inner.step_size)


def training_test(system: str, profile: str) -> Test:
    """The attack that a system was trained with, from one random start."""
    inner = DETECTORS[profile].inner(system)
    return Test(inner.norm, inner.eps, inner.steps, inner.step_size, restarts=1)


def tests(profile: str, system: str, k: int) -> dict[Test, int]:
    """Every test of detector k of a system, with how many negatives it gets."""
    settings, main = DETECTORS[profile], main_test(system, profile)
    sizes = settings.auc_images
    found, trained = {main: sizes.get(system, sizes["main"])}, training_test(system, profile)
    if trained.step_size > main.step_size:      # longer steps than published: what they taught may end with them
        found[trained] = found[main]
    if k not in settings.further.get(system, ()):
        return found
    tenfold = replace(main, steps=2000, step_size=main.step_size / 2)
    others = [replace(main, optimiser="normgrad"), *(replace(main, restarts=n) for n in settings.restarts),
              *(replace(main, step_size=main.step_size * factor) for factor in (0.2, 5))]
    balls = [main_test(system, profile, other) for other in SYSTEMS if other != system]
    long = [tenfold] if profile != "paper" else [tenfold, replace(tenfold, optimiser="normgrad")]
    return (found | dict.fromkeys(long, sizes["long"]) | dict.fromkeys(others, sizes["others"])
            | dict.fromkeys(balls, sizes["balls"]))


def attacked(heads, x: Tensor, position: int, test: Test, images: list[int], seed: int) -> Tensor:
    """Negatives pushed towards detector `position`: the last iterate, and of restarts that with the largest logit."""
    index, fast = torch.full((len(x),), position, device=x.device), InBfloat16(heads)
    body = ball(test.norm, test.eps)
    ascend = adam_pgd if test.optimiser == "adam" else pgd
    best, top = x, torch.full((len(x),), -torch.inf, device=x.device)
    for restart in range(max(1, test.restarts)):
        start = random_start(x, test, images, seed, restart) if test.restarts else 0.0
        found = ascend(lambda z: fast.picked(z, index), x, body, steps=test.steps, step_size=test.step_size,
                       start=start)
        with torch.no_grad():
            logit = heads.picked(found, index)
        best, top = torch.where((logit > top)[:, None, None, None], found, best), torch.maximum(top, logit)
    return best


def random_start(x: Tensor, test: Test, images: list[int], seed: int, restart: int) -> Tensor:
    """Uniform in the l-infinity ball; for L2 a Gaussian direction and a uniform radius. Keyed by image."""
    draws = [stream(f"auc/{test.name}", seed, restart, i) for i in images]
    if test.norm == "linf":
        unit = np.stack([2 * rng.random(tuple(x.shape[1:]), dtype=np.float32) - 1 for rng in draws])
    else:
        unit = np.stack([rng.standard_normal(tuple(x.shape[1:]), dtype=np.float32) for rng in draws])
        radius = [rng.random(dtype=np.float32) / np.linalg.norm(u) for rng, u in zip(draws, unit)]
        unit *= np.stack(radius)[:, None, None, None]
    return torch.from_numpy(test.eps * unit).to(x)


def unit_name(system: str, k: int, profile: str, seed: int, test: Test | None = None) -> str:
    """Of a test of detector k; without one, of its main test."""
    return f"GAT_{system}_class{k}_{(test or main_test(system, profile)).name}_seed{seed}"


def settings_for(system: str, k: int, test: Test, profile: str, seed: int) -> dict:
    """What the record of a test says of how it was made; where it comes from is not known yet."""
    return {"experiment": "auc", "dataset": profile_of(profile).dataset, "model": "GAT", "variant": system, "class": k,
            "attack": test.optimiser, "norm": test.norm, "eps": test.eps, "steps": test.steps,
            "step_size": test.step_size, "restarts": test.restarts, "seed": seed, "attack_seed": seed,
            "profile": profile, "protocol": "published", "dtype": "bfloat16"}


def compute(system: str, k: int, test: Test, n: int, profile: str, seed: int, results: Path | None,
            device: torch.device, first: int = 0):
    """The record of one test: logits of all test images of class k, and of others first <= i < n before and after
    the attack."""
    heads, dataset = trained_heads(system, profile, seed, device, results, classes=(k,)), dataset_of(profile)
    inside, outside = (dataset.test.y == k).nonzero()[:, 0], (dataset.test.y != k).nonzero()[first:n, 0]
    if not len(outside):    # there are no further images
        return {}, settings_for(system, k, test, profile, seed)
    x = dataset.test.images(outside)
    moved = torch.cat([attacked(heads, part.to(device), 0, test, index.tolist(), seed).cpu()
                       for part, index in zip(x.split(BATCH[device.type]), outside.split(BATCH[device.type]))])
    arrays = {"natural": significant(read(heads, dataset.test.images(inside), device)[:, 0]),
              "index": outside.numpy().astype(np.int32), "others": significant(read(heads, x, device)[:, 0]),
              "attacked": significant(read(heads, moved, device)[:, 0]),
              "label": dataset.test.y[outside].numpy().astype(np.int8)}
    return arrays, settings_for(system, k, test, profile, seed) | {"data": dataset.source}


def summarise(records: list[Record]) -> list[dict]:
    """auc under each attack (n: negatives); auc_clean, on those of the main attack before it (attack "clean")."""
    rows, detectors = [], defaultdict(list)
    for record in records:
        detectors[tuple(record.settings[name] for name in ("variant", "class", "seed"))].append(record)
    for group in detectors.values():
        same(group, "weights")                      # rows of one detector are compared with each other
    for record in records:
        key = {name: record.settings[name] for name in COLUMNS if name in record.settings}
        low, high = auc_interval(-record["natural"], -record["attacked"])
        rows.append(key | {"metric": "auc", "value": area(-record["natural"], -record["attacked"]), "low": low,
                           "high": high, "n": len(record["attacked"])})
        if record.settings["unit"] == unit_name(*(record.settings[name] for name in ("variant", "class", "profile",
                                                                                        "seed"))):
            rows.append(key | dict.fromkeys(ATTACK, "") | {
                "attack": "clean", "metric": "auc_clean", "value": area(-record["natural"], -record["others"]),
                "n": len(record["others"])})
    return rows


def auc(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None, fresh: bool = False,
        only: str | None = None):
    """Rows of the AUC of every detector under the attack of Table 6, and of some (`further`) under further ones."""
    profile_of(profile)
    todo = [growing(unit_name(system, k, profile, seed, test), n, settings_for(system, k, test, profile, seed),
                    partial(trained_heads, system, profile, seed, results=results, classes=(k,)),
                    partial(compute, system, k, test, n, profile, seed, results),
                    system, profile, seed, results, classes=(k,), names=())
            for system, classes in DETECTORS[profile].systems.items() for k in classes
            for test, n in tests(profile, system, k).items()]
    return units.ensure("auc", todo, summarise, profile=profile, device=device, results=results, fresh=fresh, only=only,
                        seed=seed)


if __name__ == "__main__":
    units.main(auc, __doc__)
