"""Train the eight classifiers of Li et al. (2019), or load them."""

import os
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from lib import data
from lib.locks import once
from lib.models import MODELS, build
from lib.profiles import PUBLISHED_TRAINING, Training
from lib.profiles import profile as profile_of
from lib.results import RESULTS, ROOT, Record
from lib.runs import units
from lib.train import fit, initial_weights, load_weights, save_weights, settings_of

CHECKPOINTS = ROOT / "data" / "checkpoints"


def checkpoint(name: str, profile: str, seed: int, variant: str = "", results: Path | None = None) -> Path:
    """Where the weights of a model are. Those of `smoke`, or of other results, stay beside the results."""
    run = "-".join(filter(None, (profile_of(profile).dataset, name, profile, variant, f"seed{seed}"))) + ".safetensors"
    folder = Path(results or RESULTS)
    elsewhere = profile == "smoke" or folder.resolve() != (ROOT / "data" / "results").resolve()
    return (folder / profile / "checkpoints" if elsewhere else CHECKPOINTS) / run


def dataset_of(profile: str) -> data.Dataset:
    """The images of a profile, read once a process."""
    return _dataset(profile_of(profile).dataset, os.environ.get("BOOK_DATA"))


@lru_cache(maxsize=1)
def _dataset(name: str, _folder: str | None) -> data.Dataset:
    return data.load(name)


def trained(name: str, profile: str, seed: int, device: torch.device, variant: str = "", results: Path | None = None):
    """A trained model in evaluation mode on `device`. Trains it, with its record, where there are no weights yet.

    Weights must not be changed: the last model is kept and handed out again.
    """
    path, unit = checkpoint(name, profile, seed, variant, results), unit_name(name, seed, variant)

    def train() -> None:
        record = Path(results or RESULTS) / profile / "training" / f"{unit}.npz"
        training(profile, seed, str(device), results, fresh=record.exists(), only=unit)

    once(path, train)
    return _loaded(path, path.stat().st_mtime_ns, name, profile, seed, device, recipe_of(name, profile, variant))


def recipe_of(name: str, profile: str, variant: str = "") -> Training:
    """How a model is trained: as the profile says, or by variant "published" or "shortened"."""
    settings = profile_of(profile)
    return {"": settings.training_for(name), "published": PUBLISHED_TRAINING, "shortened": settings.shortened}[variant]


@lru_cache(maxsize=1)
def _loaded(path: Path, _modified: int, name: str, profile: str, seed: int, device: torch.device, recipe: Training):
    dataset = dataset_of(profile)
    with torch.device("meta"):                      # shapes alone: no time is lost on initial weights
        model = build(name, dataset.shape, len(dataset.classes))
    asked = {"updates": recipe.updates, "batch": recipe.batch, "rate": recipe.rate, "schedule": recipe.schedule}
    load_weights(path, model, {"model": name, "seed": seed, "profile": profile} | asked,
                 asdict(recipe) | {"dataset": dataset.name})
    return model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def unit_name(name: str, seed: int, variant: str = "") -> str:
    return "_".join(filter(None, (name, variant, f"seed{seed}")))


def settings_for(name: str, profile: str, seed: int, variant: str = "") -> dict:
    """What record and weights of a training say of how it was made; where they come from is not known yet."""
    return {"experiment": "training", "dataset": profile_of(profile).dataset, "model": name, "variant": variant,
            "seed": seed, "profile": profile, "protocol": "published"} | asdict(recipe_of(name, profile, variant))


def _train(name: str, profile: str, seed: int, recipe: Training, variant: str, results: Path | None,
           device: torch.device):
    dataset = dataset_of(profile)
    path = checkpoint(name, profile, seed, variant, results)
    with initial_weights(seed):
        model = build(name, dataset.shape, len(dataset.classes)).to(device)
    state = path.with_suffix(".state")
    with units.locked(state):                       # lib.runs.schedule may be at it too, and leave state or weights
        known, resumed = _ends(name, profile, seed, recipe, results), state.exists()
        if not known:
            history = fit(model, dataset.train, recipe, seed=seed, state=state, label=f"training {name}")
    if known:
        load_weights(known[recipe.updates], model, {"model": name, "seed": seed, "updates": recipe.updates},
                     asdict(recipe))
    settings = settings_for(name, profile, seed, variant) | {"data": dataset.source}
    if known:
        told = {stop: settings_of(weights) for stop, weights in known.items()}
        where = {k: v for k, v in told[recipe.updates].items() if k in ("bound", "trained_on")}
        save_weights(path, model, settings | where)
        return {"update": np.array(list(told)), "bound": np.array([t["bound"] for t in told.values()], np.float32)}, (
            settings | {"trained_by": "lib.runs.schedule"})
    save_weights(path, model,
                 settings | {"bound": float(np.mean(history[-1000:])), "trained_on": units.device_name(device)})
    every = max(1, recipe.updates // 200)
    curve = history[:len(history) // every * every].reshape(-1, every).mean(1)
    return {"update": np.arange(1, len(curve) + 1) * every, "bound": curve.astype(np.float32)}, (
        settings | ({"resumed": True} if resumed else {}))


def _ends(name: str, profile: str, seed: int, recipe: Training, results: Path | None) -> dict[int, Path]:
    """The weights that lib.runs.schedule left of this very training on its way and at its end, by update; {} unless it
    has ended: what is trained once is not trained again."""
    if recipe != PUBLISHED_TRAINING:
        return {}
    stops = (*profile_of(profile).stops[:-1], recipe.updates)
    found = {stop: checkpoint(name, profile, seed, f"published-{stop}", results) for stop in stops}
    return {stop: path for stop, path in found.items() if path.exists()} if found[recipe.updates].exists() else {}


def summarise(records: list[Record]) -> list[dict]:
    """The bound that training ended with (mean over its last twentieth), and how long it took."""
    rows = []
    for record in records:
        s = record.settings
        key = {k: s[k] for k in ("experiment", "dataset", "model", "variant", "seed", "profile", "protocol", "commit",
                                 "device", "dtype", "torch", "data", "seconds")}
        last = record["bound"][-max(1, len(record["bound"]) // 20):]
        rows.append(key | {"metric": "bound", "value": float(last.mean()), "steps": s["updates"]})
        if not {"trained_by", "resumed"} & set(s):  # else the seconds are those of a copy, or of the last part
            rows.append(key | {"metric": "seconds", "value": s["seconds"], "steps": s["updates"]})
    return rows


def training(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
             fresh: bool = False, only: str | None = None):
    """Rows of training: for each model the final bound (nats an image) and the seconds it took.

    A unit is one model; with `only` also "<model>_published_seed<n>", the published 120,000 updates at any profile,
    and "<model>_shortened_seed<n>".
    """
    variants = ["", *(variant for variant in ("published", "shortened") if only is not None and f"_{variant}_" in only)]
    todo = [units.Unit(unit_name(name, seed, variant),
                       lambda device, job=(name, variant): _train(job[0], profile, seed,
                                                                  recipe_of(job[0], profile, job[1]),
                                                                  job[1], results, device),
                       done=partial(Path.unlink,
                                    checkpoint(name, profile, seed, variant, results).with_suffix(".state"),
                                    missing_ok=True),
                       expected=settings_for(name, profile, seed, variant))
            for variant in variants for name in MODELS]
    return units.ensure("training", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


if __name__ == "__main__":
    units.main(training, __doc__)
