"""Whole attacks: our loop beside four libraries on the very same function, and ours beside a library on the plain one."""

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import naive, peers
from benchmarks.contest import Contest, Entry
from benchmarks.subjects import Subject
from lib.attacks import Linf, carlini_wagner, cross_entropy, margin, pgd, spsa
from lib.models import Noise, class_scores

EPS, STEP_SIZE = 0.1, 0.01
BARE = "forward and backward alone"


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
    """PGD on a deep Bayes classifier with fresh noise a step: ours, and torchattacks driving the plain model."""
    plain = Plain(subject.model, subject.noise.shape[0])

    def ours(dtype: str):
        noise = Noise("bench/pgd", 0, range(len(subject.x)))

        def logits(x):
            draws = noise.normal(*subject.noise.shape[:2], subject.noise.shape[3]).to(x).permute(1, 2, 0, 3)
            noise.advance()
            with torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                return class_scores(subject.model, x, draws).float()
        start = Linf(EPS).random_start(subject.x, torch.Generator().manual_seed(0))
        return pgd(cross_entropy(logits, subject.y), subject.x, Linf(EPS), steps=steps, step_size=STEP_SIZE, start=start)

    def library():
        subject.model.requires_grad_(True)
        try:
            return peers.pgd("torchattacks", plain, subject.x, subject.y, eps=EPS, steps=steps, step_size=STEP_SIZE)
        finally:
            subject.model.requires_grad_(False)
    name = "torchattacks on the plain model"
    entries = {"ours, float32": Entry(partial(ours, "float32")), "ours, bfloat16": Entry(partial(ours, "bfloat16"), "bfloat16")}
    if "torchattacks" in peers.installed():
        entries = {name: Entry(library)} | entries
    key = {"dataset": subject.dataset, "model": subject.model.name} | _ball("pgd", steps)
    fixed = partial(class_scores, subject.model, noise=subject.noise)
    return Contest("pgd", len(subject.x), entries, name if name in entries else "", key,
                   judge=partial(_accuracy, fixed, subject.y), source=subject.source)


def dear(net: nn.Module, x: Tensor, y: Tensor, key: dict, source: str, *, cw_steps: int, spsa_steps: int,
         samples: int) -> list[Contest]:
    """CW and SPSA on a small network, beside the libraries that have them."""
    cw = {"c": 1.0, "steps": cw_steps, "lr": 0.01}
    entries = {"ours": Entry(partial(carlini_wagner, net, x, y, **cw))}
    entries |= {library: Entry(partial(peers.cw, library, net, x, y, **cw))
                for library in ("foolbox", "CleverHans") if library in peers.installed()}
    judge = partial(_accuracy, net, y)
    found = [Contest("cw", len(x), entries, "ours", key | {"attack": "cw", "norm": "l2", "steps": cw_steps}, judge=judge,
                     source=source)]
    entries = {"ours": Entry(lambda: spsa(margin(net, y), x, Linf(EPS), steps=spsa_steps, samples=samples,
                                          generator=torch.Generator().manual_seed(0)))}
    if "CleverHans" in peers.installed():
        entries["CleverHans"] = Entry(partial(peers.spsa, net, x, y, eps=EPS, steps=spsa_steps, samples=samples))
    return [*found, Contest("spsa", len(x), entries, "ours", key | _ball("spsa", spsa_steps) | {"draws": samples},
                            judge=judge, source=source)]


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
