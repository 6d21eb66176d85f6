"""The benchmarks as units of work, a unit a contest of a kind on one model: python -m benchmarks [CONTEST ...]
[--fresh]

Records of every round are in data/results/<profile>/bench-<contest>, rows beside them. One thread, unless
OMP_NUM_THREADS says otherwise: two trainings side by side use two cores better than one training does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks import gradients, growth, loops, training
from benchmarks.contest import Contest, rows
from benchmarks.subjects import subject
from lib.profiles import profile as profile_of
from lib.results import Record
from lib.runs import reading, units
from lib.runs.networks import network
from lib.runs.victims import first_images


@dataclass(frozen=True)
class Sizes:
    """How much of everything. rounds: timed runs of each contender; dear: of those that take seconds."""

    models: int = 5             # of GRADIENTS
    rounds: int = 7
    dear: int = 3
    images: int = 100           # of a gradient step
    batch: int = 20             # of them at a time
    few: int = 20               # images where one takes long
    attacked: int = 200         # on the small network
    bayes: int = 5              # attacked deep Bayes images
    steps: int = 40
    cw_steps: int = 200
    spsa: tuple[int, int] = (10, 64)            # steps, samples
    updates: tuple[int, ...] = (50, 200)        # batches
    inner: int = 2              # steps of GAT's inner attack
    detectors: int = 10
    scores: int = 60_000
    growth: tuple[int, ...] = (5, 10, 20, 50, 100)
    plain: tuple[int, ...] = (5, 10, 20)
    samples: tuple[int, ...] = (1, 5, 10, 20)
    classes: tuple[int, ...] = (2, 5, 10, 20)
    matrix: int = 2048          # side of the matrices whose product is the yardstick
    compiled: bool = True       # also try torch.compile, which takes half a minute


SIZES = {
    "smoke": Sizes(models=1, rounds=1, dear=1, images=1, batch=1, few=1, attacked=8, bayes=1, steps=1,
                   cw_steps=2, spsa=(1, 2), updates=(4,), inner=1, detectors=2, scores=1000, growth=(2,), plain=(2,),
                   samples=(1,), classes=(2,), matrix=256, compiled=False),
    "laptop": Sizes(),
    "paper": Sizes(images=1000, batch=100, bayes=100, growth=(5, 20, 100, 500))}
GRADIENTS = (("GFZ", "mnist"), ("DFX", "mnist"), ("GBZ", "mnist"), ("GBZ", "patches"), ("GBZ", "noise"))


def contests(profile: str, seed: int) -> dict[str, dict[str, tuple[int, Callable[[torch.device], Contest]]]]:
    """Every contest, and of it every unit: how many rounds, and what makes it on a device."""
    s = SIZES[profile_of(profile).name]

    def made(name: str, images: int, dataset: str = "mnist", **more):
        return lambda device: subject(name, dataset, profile, seed, device, images, **more)

    def grown(device: torch.device):
        return lambda images=growth.BATCH, **more: made("GFZ", images, **more)(device)

    def small(device: torch.device, images: int):
        _, x, y, data = first_images(profile_of(profile), 0, images)
        net = network("robust", profile, seed, device)
        return net, x.to(device), y.to(device), {"dataset": data.name, "model": "CNN"}, data.source

    few, bayes = made("GFZ", s.few), made("GFZ", s.bayes)
    cw, dear = {"steps": s.cw_steps}, {"steps": s.spsa[0], "samples": s.spsa[1]}
    return {
        "gradient": {f"{model}-{dataset}": (s.dear, lambda device, make=made(model, s.images, dataset):
                                            gradients.gradient(make(device), s.batch))
                     for model, dataset in GRADIENTS[:s.models]},
        "ideas": {"GFZ": (s.rounds, lambda device: gradients.ideas(few(device), s.batch)),
                  "GFZ-pieces": (s.rounds, lambda device: gradients.pieces(few(device), s.batch))},
        "tried": {"GFZ": (2 * s.rounds, lambda device: gradients.tried(few(device), s.compiled))},
        "foresight": {name: (s.dear, lambda device, make=made(name, s.images): gradients.foresight(make(device)))
                      for name in ("GFZ", "GBZ")},
        "pgd": {"CNN": (3 * s.rounds, lambda device: loops.small(*small(device, s.attacked), steps=s.steps)),
                "GFZ": (s.dear, lambda device: loops.bayes(bayes(device), steps=s.steps))},
        "cw": {"CNN": (s.dear, lambda device: loops.cw(*small(device, s.few), **cw))},
        "spsa": {"CNN": (s.dear, lambda device: loops.spsa(*small(device, s.few), **dear))},
        "training": {f"GFZ-{batch}": (s.rounds, lambda device, batch=batch: training.update("GFZ", batch, device))
                     for batch in s.updates} | {
            "GAT": (s.dear, lambda device: training.detectors(s.detectors, s.inner, device, profile))},
        "step": {"GAT": (s.rounds, lambda device: training.step(device, classes=s.detectors))},
        "prediction": {"GAT": (s.rounds, lambda device: training.prediction(s.images, device, s.detectors))},
        "fitting": {"synthetic": (s.rounds, lambda device: training.fitting(s.scores))},
        "growth": {"images": (s.rounds, lambda device: growth.images(grown(device), s.growth, s.plain)),
                   "samples": (s.rounds, lambda device: growth.samples(grown(device), s.samples)),
                   "classes": (s.rounds, lambda device: growth.classes(grown(device), s.classes))},
    }


def bench(contest: str, profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
          fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of one contest, whose experiment is called bench-<contest>. Metrics: see `benchmarks.contest.rows`.

    Raises ValueError for an unknown contest, listing the choices.
    """
    found = contests(profile, seed)
    if contest not in found:
        raise ValueError(f"unknown contest {contest!r}; expected one of {', '.join(found)}")
    matrix = SIZES[profile_of(profile).name].matrix

    def unit(name: str, rounds: int, make) -> units.Unit:
        return units.Unit(f"{name}_seed{seed}",
                          lambda device: make(device).compute(rounds, device, profile, seed, matrix))
    todo = [unit(name, *how) for name, how in found[contest].items()]
    return units.ensure(f"bench-{contest}", todo, summarise, profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


def stored(contest: str, profile: str, seed: int, device: str) -> pd.DataFrame:
    """The same as a page asks for it: at the reading profile what is stored, else timed anew."""
    return reading.rows_of(partial(bench, contest), profile, seed, device, name=f"bench-{contest}")


def summarise(records: list[Record]) -> list[dict]:
    return [row for record in records for row in rows(record)]
