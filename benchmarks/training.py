"""Training updates, detectors side by side, and detectors fitted on many scores."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.contest import Contest, Entry
from lib.arithmetic import BFLOAT16, products
from lib.attacks import cross_entropy, input_gradient
from lib.detectors import DETECTORS as FITTED
from lib.models import ConvNet, Heads, Noise, build
from lib.profiles import DETECTORS
from lib.runs.heads import AgainstNegatives, fresh

GAT = {"dataset": "mnist", "model": "GAT"}
RANDOM = "uniform noise, untrained weights"


def update(name: str, batch: int, device: torch.device) -> Contest:
    """One update of a deep Bayes model: ours, and the same in float32 with channels first, PyTorch's defaults."""
    x, y = _images(batch, device)
    first = _model(lambda: build(name))

    def entry(dtype: str, layout: torch.memory_format) -> Entry:
        model = deepcopy(first).to(device, memory_format=layout)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

        def run():
            with products(dtype, device):
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
        with products(BFLOAT16, device):
            value = taught.objective(x, y, Noise("bench", 0, range(batch))).mean()
        heads.zero_grad()
        value.backward()

    entries = {"one by one": Entry(lambda: [objective(heads, (k,)) for k, heads in enumerate(singles)], "bfloat16"),
               "stacked": Entry(lambda: objective(stacked, every), "bfloat16")}
    key = GAT | {"steps": steps, "class": f"batch {batch}"}
    return Contest("training", batch, entries, "one by one", key, counted=True, source=RANDOM)


def step(device: torch.device, classes: int, many: int = 128, few: int = 30) -> Contest:
    """One step of the inner attack as Yin et al. (2020), appendix E, count it: the input gradient of one network on
    `many` images, against that of each detector on `few`. float32, as theirs."""
    one, heads, singles = _networks(classes, device)
    x, y = _images(many, device)
    each = x[:few].expand(classes, -1, -1, -1, -1)

    def together():
        flat = each.flatten(0, 1)
        return input_gradient(lambda flat: heads(flat.view_as(each)).T.flatten(), flat)

    entries = {f"one network, {many} images":
               Entry(lambda: input_gradient(cross_entropy(one, y % classes), x), images=1),
               "one by one": Entry(lambda: [input_gradient(lambda x, net=net: net(x)[:, 0], x[:few])
                                            for net in singles],
                                   images=1),
               "stacked": Entry(together, images=1)}
    return Contest("step", 1, entries, f"one network, {many} images",
                   GAT | {"class": f"{classes} detectors, {few} images each"}, counted=True, source=RANDOM)


def prediction(images: int, device: torch.device, classes: int) -> Contest:
    """Logits of many images: detectors stacked, one by one, and the one softmax network that they replace."""
    one, heads, singles = _networks(classes, device)
    x, _ = _images(images, device)
    entries = {"one network": Entry(torch.no_grad()(lambda: one(x))),
               "one by one": Entry(torch.no_grad()(lambda: [net(x) for net in singles])),
               "stacked": Entry(torch.no_grad()(lambda: heads(x)))}
    return Contest("prediction", images, entries, "one network", GAT | {"class": f"{classes} detectors"}, counted=True,
                   source=RANDOM)


@lru_cache(maxsize=1)
def _networks(classes: int, device: torch.device) -> tuple[ConvNet, Heads, list[ConvNet]]:
    """A softmax network, and detectors of the same layout stacked and one by one; untrained, without gradients."""
    heads = fresh(tuple(range(classes)), 0, (1, 28, 28))
    nets = [_model(lambda: ConvNet(classes)), heads, *(heads.separate(k) for k in range(classes))]
    one, heads, *singles = (net.to(device, memory_format=torch.channels_last).requires_grad_(False) for net in nets)
    return one, heads, singles


def fitting(images: int, classes: int = 10) -> Contest:
    """The four detectors of the deep Bayes classifiers, fitted on synthetic scores of that many training images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (images,), generator=generator)
    scores = torch.randn(images, classes, generator=generator) * 5 - 100 + 20 * F.one_hot(labels, classes)
    entries = {name: Entry(lambda kind=kind: kind.fit(scores, labels)) for name, kind in FITTED.items()}
    return Contest("fitting", images, entries, source="synthetic scores")


def _images(n: int, device: torch.device):
    return (torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device),
            (torch.arange(n) % 10).to(device))


def _model(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()
