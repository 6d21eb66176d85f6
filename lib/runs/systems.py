"""What is attacked in the second paper: the classifier f, the detectors beside it, and Madry's network."""

import functools
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.arithmetic import BFLOAT16, products
from lib.locks import once
from lib.models import ConvNet, Heads, stream
from lib.profiles import DETECTORS
from lib.results import Record
from lib.runs.growth import of_weights
from lib.runs.heads import trained_heads, variant_of
from lib.runs.networks import OnAttacked
from lib.runs.training import checkpoint, dataset_of
from lib.runs.units import Unit
from lib.train import fingerprint, fit, initial_weights, load_weights, save_weights

CHUNK = 500             # images predicted together
BATCH = {"cpu": 100, "cuda": 2_000}     # images attacked together
NAMES = ("f", "Madry")  # the natural classifier, and the robust one


def classifier(name: str, profile: str, seed: int, device: torch.device, results: Path | None = None) -> ConvNet:
    """f or "Madry", in evaluation mode, trained where there are no weights yet. ValueError for another name.

    Both see all training images, also those that the detectors are validated on (as published).
    """
    if name not in NAMES:
        raise ValueError(f"unknown classifier {name!r}; expected one of {', '.join(NAMES)}")
    path, dataset, settings = checkpoint(name, profile, seed, "", results), dataset_of(profile), DETECTORS[profile]
    recipe = settings.classifier if name == "f" else settings.robust
    expected = {"model": name, "seed": seed, "profile": profile, "updates": recipe.updates}
    stated = asdict(recipe) | {"dataset": dataset.name}
    inner = settings.robust_inner
    attack = {} if name == "f" else {"inner_eps": inner.eps, "inner_steps": inner.steps,
                                     "inner_step_size": inner.step_size, "ramp": settings.robust_ramp}

    def train() -> None:
        with initial_weights(seed):
            net = ConvNet(len(dataset.classes), dataset.shape, "glorot" if name == "f" else "madry").to(device)
        taught = net if name == "f" else OnAttacked(net, settings.robust_inner, settings.robust_ramp)
        fit(taught, dataset.train, recipe, seed=seed, state=path.with_suffix(".state"), label=f"training {name}",
            attack=attack, save_every=500)
        save_weights(path, net, expected | attack | stated)
        path.with_suffix(".state").unlink(missing_ok=True)

    once(path, train)
    with torch.device("meta"):
        net = ConvNet(len(dataset.classes), dataset.shape)
    load_weights(path, net, expected, stated | attack)
    return net.to(device).eval().requires_grad_(False)


def weights_of(system: str, profile: str, seed: int, results: Path | None = None,
               classes: tuple[int, ...] | None = None, names: tuple[str, ...] = NAMES) -> str:
    """One checksum of the weights of a system's detectors (or of some classes') and of `names`, to tell records of one
    training from those of another. The weights must be there."""
    chosen = DETECTORS[profile].systems[system] if classes is None else classes
    files = [checkpoint("GAT", profile, seed, variant_of(system, k), results) for k in chosen]
    files += [checkpoint(name, profile, 0, "", results) for name in names]
    return f"{zlib.crc32(' '.join(map(fingerprint, files)).encode()):08x}"


def signed(found: tuple[dict, dict], *weights, **which) -> tuple[dict, dict]:
    """What a unit computes, its settings with the checksum of `weights_of`."""
    arrays, settings = found
    return arrays, settings | {"weights": weights_of(*weights, **which)}


def growing(name: str, images: int, expected: dict, compute: Callable, *weights, **which) -> Unit:
    """A unit of so many images whose record grows where they become more (`lib.runs.growth`).

    compute(device, first): the record from image `first` on. The further arguments are those of `weights_of`. A record
    grows only with its own weights, which must be there.
    """
    def further(device: torch.device, record: Record) -> tuple[dict, dict]:
        try:
            of_weights(record, weights_of(*weights, **which))
        except FileNotFoundError as error:      # to train anew takes hours, and seldom ends at the same weights
            raise ValueError(f"record {record.path} cannot grow, for its weights are not here ({error}); put them "
                             "back, or compute all records of these networks anew (no --unit, but --fresh)") from error
        return signed(compute(device, len(record["index"])), *weights, **which)
    return Unit(name, lambda device: signed(compute(device, 0), *weights, **which), images, grow=further,
                expected=expected)


@dataclass(frozen=True)
class InBfloat16:
    """A network as attacks see it: its products in bfloat16 (`lib.arithmetic`), its logits in float32."""

    net: Heads | ConvNet

    def __call__(self, x: Tensor) -> Tensor:
        with products(BFLOAT16, x.device):
            return self.net(x)

    def picked(self, x: Tensor, index: Tensor) -> Tensor:
        with products(BFLOAT16, x.device):
            return self.net.picked(x, index)


def networks(profile: str, seed: int, results: Path | None = None) -> Callable[[str, torch.device], dict]:
    """A loader: load(system, device) gives {"f", "heads", "madry"} in float32, reading each file once for all
    its calls."""
    @functools.cache
    def load(system: str, device: torch.device) -> dict[str, ConvNet | Heads]:
        return {"f": classifier("f", profile, 0, device, results),
                "heads": trained_heads(system, profile, seed, device, results),
                "madry": classifier("Madry", profile, 0, device, results)}
    return load


def other_classes(purpose: str, y: Tensor, index: list[int], seed: int, classes: int) -> Tensor:
    """A class other than the true one for each image, drawn at random; keyed by purpose, seed and image."""
    draws = [int(stream(f"{purpose}/target", seed, i).integers(classes - 1)) for i in index]
    return (y + 1 + torch.tensor(draws, device=y.device)) % classes


@torch.no_grad()
def read(net: Callable[[Tensor], Tensor], x: Tensor, device: torch.device) -> np.ndarray:
    """Logits of many images in float32, (image, output)."""
    return torch.cat([net(part.to(device)).cpu() for part in x.split(CHUNK)]).numpy()
