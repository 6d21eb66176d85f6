"""The same attacks by CleverHans 4.0.0 and ART 1.20.1, as functions from images to adversarial images.

torchattacks and foolbox are in `lib.runs.peers`, since the referee needs them too. A library that is not installed is
left out: requirements-bench.txt has them all.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from lib.runs.peers import by_foolbox, by_torchattacks, cw_by_foolbox

LIBRARIES = {"torchattacks": "torchattacks", "foolbox": "foolbox", "CleverHans": "cleverhans", "ART": "art"}


def installed() -> list[str]:
    """The libraries that are there, by the names of the rows."""
    return [name for name, module in LIBRARIES.items() if find_spec(module) is not None]


def pgd(library: str, model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, step_size: float) -> Tensor:
    """40-step PGD and the like from a random start in the l-infinity ball."""
    settings = {"eps": eps, "steps": steps, "step_size": step_size}
    if library in ("torchattacks", "foolbox"):
        by = by_torchattacks if library == "torchattacks" else by_foolbox
        return by(model, x, y, "pgd", **settings)
    return {"CleverHans": _by_cleverhans, "ART": _by_art}[library](model, x, y, **settings)


def _by_cleverhans(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, step_size: float) -> Tensor:
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent
    return _seeded(lambda: projected_gradient_descent(model, x, eps, step_size, steps, float("inf"), clip_min=0,
                                                      clip_max=1, y=y, sanity_checks=False))


def _by_art(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, step_size: float) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    wrapped = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0, 1),
                                device_type="gpu" if x.is_cuda else "cpu")
    attack = ProjectedGradientDescentPyTorch(wrapped, eps=eps, eps_step=step_size, max_iter=steps, num_random_init=1,
                                             batch_size=len(x), verbose=False)
    return _seeded(lambda: torch.from_numpy(attack.generate(x.cpu().numpy(), y.cpu().numpy())).to(x))


def cw(library: str, model: nn.Module, x: Tensor, y: Tensor, *, c: float, steps: int, lr: float) -> Tensor:
    """Carlini and Wagner's l2 attack with one fixed c, by foolbox or CleverHans."""
    if library == "foolbox":
        return cw_by_foolbox(model, x, y, c=c, steps=steps, lr=lr)
    from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    return carlini_wagner_l2(model, x, classes, y=y, lr=lr, initial_const=c, binary_search_steps=1,
                             max_iterations=steps)


def spsa(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, steps: int, samples: int) -> Tensor:
    """SPSA by CleverHans, which takes one image at a time."""
    from cleverhans.torch.attacks.spsa import spsa as attack
    return _seeded(lambda: attack(model, x, eps, steps, y=y, clip_min=0, clip_max=1, spsa_samples=samples,
                                  sanity_checks=False))


def _seeded(attack: Callable[[], Tensor]) -> Tensor:
    """Both libraries draw from the global generators: leave torch's as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return attack().detach()
