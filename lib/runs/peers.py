"""The same attacks by torchattacks 3.5.1 and foolbox 3.3.4, as functions from images to adversarial images.

Both are wanted by the referee and the tests alone: requirements-test.txt installs them. Their settings are named here
as ours are. Two of their attacks are other algorithms, and left out: torchattacks' CW, whose arctanh is infinite at
black and white pixels, which then never move, and which takes 0 for the best other logit where all others are negative;
and foolbox's momentum method, which adds up gradients without dividing each by its size.
"""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn

APGD = ("apgd-ce", "apgd-t")
STANDARD = (*APGD, "fab-t", "square")


def by_torchattacks(model: nn.Module, x: Tensor, y: Tensor, attack: str, *, eps: float, steps: int, step_size: float,
                    seed: int = 0) -> Tensor:
    """fgsm, pgd (from a random start, clipped to the box) or mim in the l-infinity ball of radius eps."""
    peer = _library("torchattacks")
    made = {"fgsm": lambda: peer.FGSM(model, eps=eps),
            "pgd": lambda: peer.PGD(model, eps=eps, alpha=step_size, steps=steps, random_start=True),
            "mim": lambda: peer.MIFGSM(model, eps=eps, alpha=step_size, steps=steps, decay=1.0)}[attack]()
    return _seeded(lambda: made(x, y), seed)


def by_foolbox(model: nn.Module, x: Tensor, y: Tensor, attack: str, *, eps: float, steps: int, step_size: float,
               seed: int = 0) -> Tensor:
    """fgsm or pgd (from a random start, clipped to the box) in the l-infinity ball of radius eps."""
    peer = _library("foolbox")
    made = {"fgsm": lambda: peer.attacks.LinfFastGradientAttack(),
            "pgd": lambda: peer.attacks.LinfProjectedGradientDescentAttack(
                abs_stepsize=step_size, steps=steps, random_start=True)}[attack]()
    return _seeded(lambda: made(_bounded(peer, model), x, y, epsilons=eps)[1], seed)


def cw_by_foolbox(model: nn.Module, x: Tensor, y: Tensor, *, c: float, steps: int, lr: float) -> Tensor:
    """Carlini and Wagner's l2 attack with one fixed c; the clean image where it finds nothing (foolbox: zeros)."""
    peer = _library("foolbox")
    attack = peer.attacks.L2CarliniWagnerAttack(binary_search_steps=1, steps=steps, stepsize=lr, confidence=0,
                                                initial_const=c, abort_early=False)
    found = attack.run(_bounded(peer, model), x, y)
    return torch.where((found == 0).flatten(1).all(1)[:, None, None, None], x, found)


def autoattack(model: nn.Module, x: Tensor, y: Tensor, eps: float, *, parts: tuple[str, ...] = STANDARD,
               steps: int = 100, targets: int = 9, queries: int = 5000, seed: int = 0) -> Tensor:
    """AutoAttack (Croce and Hein 2020) in the l-infinity ball, from the parts that torchattacks has of it.

    Put together here, since torchattacks' own AutoAttack leaves its parts at 10 steps, where the authors take 100.
    parts: the standard four, or APGD alone, where an image costs too much for 5,000 queries. targets: classes aimed at,
    the likeliest first. An image that one part breaks is left out of the next.
    """
    peer = _library("torchattacks")
    common = {"norm": "Linf", "eps": eps, "seed": seed}
    gradient = common | {"steps": steps}
    makers = {"apgd-ce": lambda: peer.APGD(model, **gradient, loss="ce"),
              "apgd-t": lambda: peer.APGDT(model, **gradient, n_classes=targets + 1),
              "fab-t": lambda: peer.FAB(model, **gradient, multi_targeted=True, n_classes=targets + 1),
              "square": lambda: peer.Square(model, **common, n_queries=queries)}
    return _seeded(lambda: peer.MultiAttack([makers[part]() for part in parts])(x, y), seed)


def _bounded(peer, model: nn.Module):
    return peer.PyTorchModel(model, bounds=(0, 1), device=next(model.parameters()).device)


def _seeded(attack: Callable[[], Tensor], seed: int) -> Tensor:
    """Both libraries draw from torch's global generator (torchattacks also seeds it): leave it as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return attack().detach()


def _library(name: str):
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed, and the referee compares our attacks with it: "
                          "pip install -r requirements-test.txt") from error
