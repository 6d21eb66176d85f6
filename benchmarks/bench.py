"""The benchmarks as units of work: python -m benchmarks [--profile P] [--unit NAME] [--fresh]

Records of every round are in data/results/<profile>/bench, rows in bench.csv. One thread, unless OMP_NUM_THREADS says
otherwise: two trainings side by side use two cores better than one training does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import gradients, growth, loops, training
from benchmarks.contest import Contest, rows
from benchmarks.subjects import subject
from lib.profiles import profile as profile_of
from lib.results import Record
from lib.runs import units
from lib.runs.networks import network
from lib.runs.victims import first_images


@dataclass(frozen=True)
class Sizes:
    """How much of everything. rounds: timed runs of each contender; dear: of those that take seconds."""

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
    scores: int = 60_000
    growth: tuple[int, ...] = (5, 10, 20, 50, 100)
    plain: tuple[int, ...] = (5, 10, 20)
    samples: tuple[int, ...] = (1, 5, 10, 20)
    classes: tuple[int, ...] = (2, 5, 10, 20)
    matrix: int = 2048          # side of the matrices whose product is the yardstick
    compiled: bool = True       # also try torch.compile, which takes half a minute


SIZES = {"smoke": Sizes(2, 1, 2, 2, 2, 8, 1, 2, 2, (1, 2), (4,), 1, 1000, (5,), (5,), (1,), (2,), 256,
                        False),
         "laptop": Sizes(), "paper": Sizes(images=1000, batch=100, bayes=100, growth=(5, 20, 100, 500))}
GRADIENTS = {"GFZ": "mnist", "GBZ": "mnist", "DFX": "mnist", "GBZ-cifar": "cifar-binary"}


def contests(profile: str, seed: int) -> dict[str, tuple[int, Callable[[torch.device], Contest]]]:
    """Every contest by the name of its unit: how many rounds, and what makes it on a device."""
    s = SIZES[profile_of(profile).name]

    def made(name: str, dataset: str, n: int, **more):
        return lambda device: subject(name, dataset, profile, seed, device, n, **more)

    def grown(device, how, *counts):
        return how(lambda images=growth.BATCH, **more: subject("GFZ", "mnist", profile, seed, device, images, **more), *counts)

    found = {}
    for name, dataset in GRADIENTS.items():
        make = made(name.split("-")[0], dataset, s.images)
        found[f"gradient-{name}"] = (s.dear, lambda device, make=make: gradients.gradient(make(device), s.batch))
    few = made("GFZ", "mnist", s.few)
    found["ideas-GFZ"] = (s.rounds, lambda device: gradients.ideas(few(device), s.batch))
    found["tried-GFZ"] = (4 * s.rounds, lambda device: gradients.tried(few(device), s.compiled))
    found["pgd-CNN"] = (s.rounds, lambda device: loops.small(*_small(profile, seed, s.attacked, device), steps=s.steps))
    found["pgd-GFZ"] = (s.dear, lambda device: loops.bayes(made("GFZ", "mnist", s.bayes)(device), steps=s.steps))
    for i, name in enumerate(("cw-CNN", "spsa-CNN")):
        found[name] = (s.dear, lambda device, i=i: loops.dear(
            *_small(profile, seed, s.few, device), cw_steps=s.cw_steps, spsa_steps=s.spsa[0], samples=s.spsa[1])[i])
    for batch in s.updates:
        found[f"training-GFZ-{batch}"] = (s.rounds, lambda device, batch=batch: training.update("GFZ", batch, device))
    found["training-GAT"] = (s.dear, lambda device: training.detectors(10, s.inner, device, profile))
    found["prediction-GAT"] = (s.rounds, lambda device: training.reading(s.images, 10, device))
    found["fitting"] = (s.rounds, lambda device: training.fitting(s.scores))
    found["growth-images"] = (s.dear, lambda device: grown(device, growth.images, s.growth, s.plain))
    found["growth-samples"] = (s.dear, lambda device: grown(device, growth.samples, s.samples))
    found["growth-classes"] = (s.dear, lambda device: grown(device, growth.classes, s.classes))
    return found


def _small(profile: str, seed: int, images: int, device: torch.device):
    _, x, y, data = first_images(profile_of(profile), 0, images)
    net = network("robust", profile, seed, device)
    return net, x.to(device), y.to(device), {"dataset": data.name, "model": "CNN"}, data.source


def bench(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None, fresh: bool = False,
          only: str | None = None):
    """Rows of every benchmark; a unit is one contest. Metrics: see `benchmarks.contest.rows`."""
    matrix = SIZES[profile_of(profile).name].matrix

    def unit(name: str, rounds: int, make) -> units.Unit:
        return units.Unit(f"{name}_seed{seed}", lambda device: make(device).compute(rounds, device, profile, seed, matrix))
    todo = [unit(name, *how) for name, how in contests(profile, seed).items()]
    return units.ensure("bench", todo, summarise, profile=profile, device=device, results=results, fresh=fresh, only=only,
                        seed=seed)


def summarise(records: list[Record]) -> list[dict]:
    return [row for record in records for row in rows(record)]
