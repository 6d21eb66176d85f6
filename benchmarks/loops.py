"""Whole attacks: our loop beside four libraries on the very same function, and ours beside a library on the
plain one."""

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import naive, peers
from benchmarks.contest import Contest, Entry
from benchmarks.subjects import Subject
from lib.arithmetic import products
from lib.attacks import Linf, carlini_wagner, cross_entropy, margin, pgd
from lib.attacks import spsa as estimating
from lib.models import Noise, class_scores

EPS, STEP_SIZE = 0.1, 0.01
BARE = "forward and backward alone"
DRIVER = "CleverHans"           # what the public port attacks with


def small(net: nn.Module, x: Tensor, y: Tensor, key: dict, source: str, *, steps: int) -> Contest:
    """PGD on a small network. The reference is what no loop can do without: `steps` forward and backward passes."""
    loss_fn = cross_entropy(net, y)

    def bare():
        for _ in range(steps):
            start = x.detach().requires_grad_()
            torch.autograd.grad(nn.functional.cross_entropy(net(start), y, reduction="sum"), start)
        return x

    def ours():
        start = Linf(EPS).random_start(x, torch.Generator().manual_seed(0))
        return pgd(loss_fn, x, Linf(EPS), steps=steps, step_size=STEP_SIZE, start=start)
    entries = {BARE: Entry(bare), "ours": Entry(ours)}
    for library in peers.installed():
        entries[library] = Entry(partial(peers.pgd, library, net, x, y, eps=EPS, steps=steps, step_size=STEP_SIZE))
    return Contest("pgd", len(x), entries, BARE, key | _ball("pgd", steps), judge=partial(_accuracy, net, y),
                   source=source)


def bayes(subject: Subject, *, steps: int) -> Contest:
    """PGD on a deep Bayes classifier with fresh noise a step: ours, and libraries driving the plain model."""
    plain = Plain(subject.model, subject.noise.shape[0])

    def ours(dtype: str):
        noise = Noise("bench/pgd", 0, range(len(subject.x)))

        def logits(x):
            draws = noise.normal(*subject.noise.shape[:2], subject.noise.shape[3]).to(x).permute(1, 2, 0, 3)
            noise.step += 1
            with products(dtype, x.device):
                return class_scores(subject.model, x, draws).float()
        start = Linf(EPS).random_start(subject.x, torch.Generator().manual_seed(0))
        return pgd(cross_entropy(logits, subject.y), subject.x, Linf(EPS), steps=steps,
                   step_size=STEP_SIZE, start=start)

    def library(name: str):
        subject.model.requires_grad_(True)
        try:
            return peers.pgd(name, plain, subject.x, subject.y, eps=EPS, steps=steps, step_size=STEP_SIZE)
        finally:
            subject.model.requires_grad_(False).zero_grad()
    drivers = [name for name in (DRIVER, "torchattacks") if name in peers.installed()]
    entries = {f"{name} on the plain model": Entry(partial(library, name)) for name in drivers}
    entries |= {"ours, float32": Entry(partial(ours, "float32")),
                "ours, bfloat16": Entry(partial(ours, "bfloat16"), "bfloat16")}
    reference = next(iter(entries)) if drivers else ""
    key = {"dataset": subject.dataset, "model": subject.model.name} | _ball("pgd", steps)
    fixed = partial(class_scores, subject.model, noise=subject.noise)
    return Contest("pgd", len(subject.x), entries, reference, key,
                   judge=partial(_accuracy, fixed, subject.y), source=subject.source)


def cw(net: nn.Module, x: Tensor, y: Tensor, key: dict, source: str, *, steps: int) -> Contest:
    """Carlini and Wagner's attack with one constant on a small network, beside the libraries that have it."""
    settings = {"c": 1.0, "steps": steps, "lr": 0.01}
    entries = {"ours": Entry(partial(carlini_wagner, net, x, y, **settings))}
    entries |= {library: Entry(partial(peers.cw, library, net, x, y, **settings))
                for library in ("foolbox", "CleverHans") if library in peers.installed()}
    return Contest("cw", len(x), entries, "ours", key | {"attack": "cw", "norm": "l2", "steps": steps},
                   judge=partial(_accuracy, net, y), source=source)


def spsa(net: nn.Module, x: Tensor, y: Tensor, key: dict, source: str, *, steps: int, samples: int) -> Contest:
    """SPSA on a small network, beside the one library that has it for PyTorch."""
    entries = {"ours": Entry(lambda: estimating(margin(net, y), x, Linf(EPS), steps=steps, samples=samples,
                                                generator=torch.Generator().manual_seed(0)))}
    if "CleverHans" in peers.installed():
        entries["CleverHans"] = Entry(partial(peers.spsa, net, x, y, eps=EPS, steps=steps, samples=samples))
    return Contest("spsa", len(x), entries, "ours", key | _ball("spsa", steps) | {"draws": samples},
                   judge=partial(_accuracy, net, y), source=source)


class Plain(nn.Module):
    """The plain classifier as a library sees it: a module, with fresh noise at each call."""

    def __init__(self, model: nn.Module, samples: int):
        super().__init__()
        self.model, self.samples = model, samples
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        shape = (self.samples, self.model.classes, len(x), self.model.arch.latent)
        return naive.logits(self.model, x, torch.randn(shape, generator=self.generator).to(x))


def _ball(attack: str, steps: int) -> dict:
    return {"attack": attack, "norm": "linf", "eps": EPS, "steps": steps, "step_size": STEP_SIZE}


@torch.no_grad()
def _accuracy(logits_fn, y: Tensor, x_adv: Tensor) -> float:
    return float((logits_fn(x_adv).argmax(1) == y).double().mean())
