"""Training updates, detectors side by side, and detectors fitted on many scores."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.contest import Contest, Entry
from lib.detectors import DETECTORS as FITTED
from lib.models import ConvNet, Heads, Noise, build
from lib.profiles import DETECTORS
from lib.runs.heads import AgainstNegatives, fresh

RANDOM = "uniform noise, untrained weights"


def update(name: str, batch: int, device: torch.device) -> Contest:
    """One update of a deep Bayes model: ours, and the same in float32 with channels first, PyTorch's defaults."""
    x, y = _images(batch, device)

    def entry(dtype: str, layout: torch.memory_format) -> Entry:
        model = _model(lambda: build(name)).to(device, memory_format=layout)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

        def run():
            with _coarse(device, dtype):
                objective = model.objective(x, y, Noise("bench", 0, range(batch))).mean()
            optimiser.zero_grad()
            (-objective).backward()
            optimiser.step()
        return Entry(run, dtype)
    entries = {"plain": entry("float32", torch.contiguous_format), "ours": entry("bfloat16", torch.channels_last)}
    key = {"dataset": "mnist", "model": name, "class": f"batch {batch}"}
    return Contest("training", batch, entries, "plain", key, counted=True, source=RANDOM)


def detectors(classes: int, steps: int, device: torch.device, profile: str) -> Contest:
    """One update of GAT's detectors, inner attack included: all stacked, and one after the other.

    steps: of the inner attack, fewer than in training; both ways spend nearly all their time in it.
    """
    settings = DETECTORS[profile]
    inner, batch = replace(settings.inner("linf0.3"), steps=steps), settings.training.batch
    x, y = _images(batch, device)
    every = tuple(range(classes))
    stacked = fresh(every, 0, (1, 28, 28)).to(device, memory_format=torch.channels_last)
    singles = [fresh((k,), 0, (1, 28, 28)).to(device, memory_format=torch.channels_last) for k in every]

    def objective(heads: Heads, own: tuple[int, ...]):
        taught = AgainstNegatives(heads, own, inner, settings.negatives)
        with _coarse(device, "bfloat16"):
            value = taught.objective(x, y, Noise("bench", 0, range(batch))).mean()
        heads.zero_grad()
        value.backward()

    entries = {"one by one": Entry(lambda: [objective(heads, (k,)) for k, heads in enumerate(singles)], "bfloat16"),
               "stacked": Entry(lambda: objective(stacked, every), "bfloat16")}
    key = {"dataset": "mnist", "model": "GAT", "steps": steps, "class": f"batch {batch}"}
    return Contest("training", batch, entries, "one by one", key, counted=True, source=RANDOM)


def reading(images: int, classes: int, device: torch.device) -> Contest:
    """Logits of many images: ten detectors stacked, one by one, and the one softmax network that they replace."""
    x, _ = _images(images, device)
    heads = fresh(tuple(range(classes)), 0, (1, 28, 28)).to(device, memory_format=torch.channels_last)
    singles = [heads.separate(k).to(device, memory_format=torch.channels_last) for k in range(classes)]
    one = _model(lambda: ConvNet(classes)).to(device, memory_format=torch.channels_last)
    entries = {"one softmax network": Entry(torch.no_grad()(lambda: one(x))),
               "ten detectors, stacked": Entry(torch.no_grad()(lambda: heads(x))),
               "ten detectors, one by one": Entry(torch.no_grad()(lambda: [net(x) for net in singles]))}
    return Contest("prediction", images, entries, "one softmax network", {"dataset": "mnist", "model": "GAT"},
                   counted=True, source=RANDOM)


def fitting(images: int, classes: int = 10) -> Contest:
    """The four detectors of the deep Bayes classifiers, fitted on synthetic scores of that many training images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (images,), generator=generator)
    scores = torch.randn(images, classes, generator=generator) * 5 - 100 + 20 * F.one_hot(labels, classes)
    entries = {name: Entry(lambda kind=kind: kind.fit(scores, labels)) for name, kind in FITTED.items()}
    return Contest("fitting", images, entries, source="synthetic scores")


def _images(n: int, device: torch.device):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device), (torch.arange(n) % 10).to(device)


def _model(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def _coarse(device: torch.device, dtype: str):
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()
