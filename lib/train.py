"""Training by the paper's recipe, resumable, and weights on disk."""

import json
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from lib.arithmetic import serves, used
from lib.captured import update_of
from lib.profiles import Training
from lib.results import atomic


def checksum(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """CRC-32 of names, kinds, shapes, values and header: one flipped bit changes it, and so does any short burst."""
    found = zlib.crc32(json.dumps(dict(header), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), found)
        found = zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), found)
    return f"{found:08x}"


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    with atomic(Path(path)) as temporary:
        save_file(dict(tensors), temporary, metadata=dict(header) | {"crc32": checksum(tensors, header)})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a file of ours. Raises ValueError naming it where it is damaged, or is no such file."""
    with _named(path):
        header = _header(path)
        tensors = load_file(path)
        wanted = header.pop("crc32", _listed(path).get(path.name))
        if wanted is not None and checksum(tensors, header) != wanted:
            raise ValueError(f"checksum {checksum(tensors, header)} instead of {wanted}")
    return tensors, header


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


@contextmanager
def _named(path: Path):
    """Errors of reading it as a ValueError that names the file and the remedy."""
    try:
        yield
    except (SafetensorError, ValueError) as error:      # what is no UTF-8 or no JSON is a ValueError too
        raise ValueError(f"checkpoint {path} cannot be read ({error}); delete that file and train again") from error


def save_weights(path: Path, model: nn.Module, settings: Mapping) -> None:
    """Write float16 weights with their settings in the header, all or nothing; round the model in place to match.

    A dtype is stated as it was used (`lib.arithmetic`). Rounded before any number is computed, so that tracked weights
    and rows belong together.
    """
    device, weights = next(model.parameters()).device, rounded(model)
    if "dtype" in settings:
        settings = {**settings, "dtype": used(settings["dtype"], device)}
    _write(path, weights, {"settings": json.dumps(settings, sort_keys=True)})


def rounded(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model in float16, on the CPU; the model itself is rounded to them."""
    weights = {name: value.detach().half().contiguous().cpu() for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return weights


def load_weights(path: Path, model: nn.Module, expected: Mapping, recipe: Mapping = MappingProxyType({})) -> dict:
    """Load weights into `model` and return their settings.

    expected: settings that must agree, for instance {"model": "GFZ"}. recipe: settings that must agree if the file
    states them; older files do not. Raises ValueError naming the file: as `agree`, for other shapes, or where it is
    damaged.
    """
    weights, header = _read(Path(path))
    settings = json.loads(header.get("settings", "{}"))
    agree(path, settings, expected, recipe)
    try:
        model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(f"checkpoint {path} does not fit the model: {error}") from error
    return settings


def agree(path: Path, settings: Mapping, expected: Mapping, recipe: Mapping = MappingProxyType({})) -> None:
    """Raises ValueError, naming the file and the first disagreement, where the settings of saved weights are others
    than expected, or state another recipe."""
    for key, value in {**expected, **{key: value for key, value in recipe.items() if key in settings}}.items():
        stated = settings.get(key)
        if not (serves(stated, value) if key == "dtype" else stated == value):
            raise ValueError(f"checkpoint {path} has {key} = {stated!r}, expected {value!r}; it belongs to "
                             "another model or setting: name the right file, or delete this one and train again")


def settings_of(path: Path) -> dict:
    """The settings in the header of saved weights, without reading the weights; {} where there is no such file.

    Raises ValueError naming the file where it is damaged.
    """
    if not Path(path).exists():
        return {}
    with _named(path):
        return json.loads(_header(path).get("settings", "{}"))


def fingerprint(path: Path) -> str:
    """The checksum that saved weights state of themselves, "" for weights of before there were any.

    Raises ValueError naming the file where it is damaged.
    """
    with _named(path):
        return _header(path).get("crc32", _listed(path).get(Path(path).name, ""))


def _listed(path: Path) -> dict[str, str]:
    """Checksums by file name, of weights of before they had theirs in the header: crc32.txt beside them."""
    listed = Path(path).with_name("crc32.txt")
    return dict(line.split()[::-1] for line in listed.read_text().splitlines()) if listed.exists() else {}


def fit(model: nn.Module, split, training: Training, *, seed: int, state: Path, save_every: int | None = None,
        label: str = "", stop: int | None = None, attack: Mapping | None = None) -> np.ndarray:
    """Maximise the mean objective of `model` over `split` (lib.data) with Adam. Returns the objective at each update.

    stop: halt after this many updates, with the state written, to look at the model or to keep it; a later call
    goes on.

    Every `save_every` updates (default: as lib.captured has it) all that is needed to go on is written to `state`, and
    a later call with the same arguments resumes there with the same numbers; with other ones, or on another kind of
    device, it raises ValueError.
    attack: what else tells this training from others, where the objective attacks its images. Raises RuntimeError if
    the decoder is dead after a quarter of a long training.
    """
    model.to(memory_format=torch.channels_last)
    step = update_of(model, split, training, seed)
    device = next(model.parameters()).device
    recipe = (asdict(training) | {f"attack.{name}": value for name, value in (attack or {}).items()}
              | {"device": device.type, "products": used(training.dtype, device)})      # noise and rounding are theirs
    start, history = _resume(state, model, step.optimiser, recipe, seed)
    end = training.updates if stop is None else min(stop, training.updates)
    save_every = save_every or step.save_every
    bar, found, done = tqdm(initial=start, total=training.updates, desc=label, disable=None), [], start
    while done < end:
        first, done = done, min(end, (done // step.stride + 1) * step.stride, (done // save_every + 1) * save_every)
        found.append(step(first, done))
        bar.update(done - first)
        if first <= max(2000, training.updates // 4) < done:
            refuse_dead_decoder(model, *step.batch(first))
        if done == end or done % save_every == 0:
            known = torch.cat(found).float().cpu().numpy()
            history[done - len(known):done] = known
            found.clear()
            if done < training.updates:
                _save_state(state, model, step.optimiser, recipe, seed, done, history)
    bar.close()
    return history


@contextmanager
def initial_weights(seed: int):
    """torch's own generator, which makes them, seeded within and put back as it was: the one place where it decides."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)       # torch.manual_seed would seed those of GPUs too
        yield


@torch.no_grad()
def refuse_dead_decoder(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Raise RuntimeError if the decoder answers every image with the same one (it never recovers from that)."""
    if "x" not in getattr(model, "factors", {}):
        return
    z = model.posterior(model.posterior.trunk(x), y).mean
    spread = model.factors["x"](**{"z": z, "y": y} if model.graph.x == "zy" else {"z": z}).mean.std(dim=0).max()
    if spread < 0.01:
        raise RuntimeError(f"the decoder of {model.name} is dead: its images differ by at most {spread:.1e} "
                           "in any pixel; lower the learning rate or lengthen its warm-up")


def _save_state(path, model, optimiser, recipe, seed, update, history) -> None:
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in moments.items()}
    tensors["history"] = torch.from_numpy(history)
    header = {"training": json.dumps(recipe, sort_keys=True), "seed": str(seed), "update": str(update)}
    _write(path, tensors, header)


def _resume(path, model, optimiser, recipe, seed) -> tuple[int, np.ndarray]:
    if not Path(path).exists():
        return 0, np.full(recipe["updates"], np.nan, dtype=np.float32)
    tensors, header = _read(Path(path))
    if header["training"] != json.dumps(recipe, sort_keys=True) or header["seed"] != str(seed):
        raise ValueError(f"{path} belongs to another training ({header['training']}, seed {header['seed']}); delete it")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state, parameters = {}, list(model.parameters())
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            if value.ndim:                          # the layout of the weights, on which rounding depends
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(header["update"]), tensors["history"].numpy()
