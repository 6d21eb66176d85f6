"""Train the detectors of Yin et al. (2020) on MNIST, one against the rest, and choose a checkpoint of each."""

from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lib.arithmetic import BFLOAT16, products
from lib.attacks import adam_pgd, ball
from lib.data import Split
from lib.locks import once
from lib.metrics import auc
from lib.models import ConvNet, Heads, stream
from lib.profiles import DETECTORS, Inner
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, RESULTS, Record
from lib.runs import units
from lib.runs.negatives import AgainstNegatives
from lib.runs.training import checkpoint, dataset_of
from lib.train import fit, initial_weights, load_weights, rounded, save_weights


def split(profile: str) -> tuple[Split, Split]:
    """Training and validation images: a random cut of the training set, the same for every seed and class."""
    train, held = dataset_of(profile).train, DETECTORS[profile].held_out
    order = torch.from_numpy(stream("gat/split", 0).permutation(len(train)))
    return Split(train.x[order[held:]], train.y[order[held:]]), Split(train.x[order[:held]], train.y[order[:held]])


def validation_auc(heads: Heads, classes: tuple[int, ...], profile: str, inner: Inner) -> list[float]:
    """AUC of each detector on validation images: its class against attacked others (zero start, as published).

    With fewer steps than published they span two radii, in L2 too, where Adam then crosses the ball in the first of
    them: there it is a coarse attack, by which checkpoints of one training are compared and nothing else.
    """
    settings, (_, held) = DETECTORS[profile], split(profile)
    found = []
    for position, k in enumerate(classes):
        inside, outside = (held.y == k).nonzero()[:, 0], (held.y != k).nonzero()[:settings.validation_images, 0]
        index = torch.full((len(outside),), position)
        step = inner.step_size if settings.steps is None else 2 * inner.eps / settings.validation_steps

        def logit(x, index=index):
            with products(BFLOAT16, x.device):
                return heads.picked(x, index[:len(x)])

        device = heads.stacked["0_weight"].device
        attacked = adam_pgd(logit, held.images(outside).to(device), ball(inner.norm, inner.eps),
                            steps=settings.validation_steps, step_size=step)
        with torch.no_grad():
            scores = [heads.picked(x.to(device), torch.full((len(x),), position)).cpu().numpy()
                      for x in (held.images(inside), attacked)]
        found.append(auc(-scores[0], -scores[1]))
    return found


def variant_of(system: str, k: int) -> str:
    return f"{system}-class{k}"


def _train(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None, device: torch.device):
    """Train detectors of some classes; keep a rounded copy of each candidate with its validation AUC; choose.

    Raises ValueError, naming the files, if the training went past a candidate that was not kept.
    """
    settings, inner, dataset = DETECTORS[profile], DETECTORS[profile].inner(system), dataset_of(profile)
    state = state_of(system, classes, profile, seed, results)
    if not state.exists():
        clear(state)    # candidates without it: of a clearing cut short, or of another training
    heads = fresh(classes, seed, dataset.shape).to(device)
    taught, total = AgainstNegatives(heads, classes, inner, settings.negatives), settings.training.updates
    stops = np.unique(np.linspace(total / 2, total, settings.candidates).round().astype(int)).tolist()
    for stop in stops:                              # also where all are kept already: for the history
        history = fit(taught, split(profile)[0], settings.training, seed=seed, state=state, stop=stop,
                      label=f"training {system}, classes {classes}", save_every=100,
                      attack=asdict(inner) | {"negatives": settings.negatives})
        kept = state.with_suffix(f".{stop}.partial")
        if not kept.exists():
            if stop < total and not np.isnan(history[stop]):
                raise ValueError(f"{state} is past update {stop}, whose weights {kept.name} are gone; delete "
                                 f"{state.name} and {state.stem}.*.partial to train again")
            copy = deepcopy(heads)
            rounded(copy)
            save_weights(kept, copy, {"auc": validation_auc(copy, classes, profile, inner)})
    return choose(stops, state, classes, profile, seed, system, results), history


def recipe_of(system: str, profile: str) -> dict:
    """What the weights of a detector say of how they were made, besides their update."""
    settings, inner = DETECTORS[profile], DETECTORS[profile].inner(system)
    training = asdict(settings.training)
    return {"of_updates": training.pop("updates"), "negatives": settings.negatives, "inner_eps": inner.eps,
            "inner_steps": inner.steps, "inner_step_size": inner.step_size} | training


def state_of(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None) -> Path:
    """Where a training that was cut off goes on from; its candidates lie beside it as <stem>.<update>.partial."""
    inner = DETECTORS[profile].inner(system)        # in the name, so that no training goes on under another attack
    name = f"{system}-{inner.steps}x{inner.step_size:g}-classes{'-'.join(map(str, classes))}"
    return checkpoint("GAT", profile, seed, name, results).with_suffix(".state")


def clear(state: Path) -> None:
    """Remove a state and then its candidates: in the other order, cut short, the state would be past what is gone."""
    state.unlink(missing_ok=True)
    for candidate in state.parent.glob(f"{state.stem}.*.partial"):
        candidate.unlink(missing_ok=True)


def choose(stops: list[int], state: Path, classes: tuple[int, ...], profile: str, seed: int, system: str,
           results: Path | None) -> dict[str, np.ndarray]:
    """Write for each detector the candidate of the best validation AUC (the later of equals)."""
    heads = fresh(classes, seed, dataset_of(profile).shape)
    files = [state.with_suffix(f".{stop}.partial") for stop in stops]
    scores = np.array([load_weights(file, heads, {})["auc"] for file in files])
    best = len(stops) - 1 - scores[::-1].argmax(axis=0)
    for position, k in enumerate(classes):
        load_weights(files[best[position]], heads, {})
        save_weights(checkpoint("GAT", profile, seed, variant_of(system, k), results), heads.separate(position),
                     {"model": "GAT", "variant": system, "class": k, "seed": seed, "profile": profile,
                      "updates": stops[best[position]], "validation_auc": float(scores[best[position], position])}
                     | recipe_of(system, profile))
    return {"candidate": np.array(stops, np.int32), "validation_auc": scores,
            "chosen": np.array(stops)[best].astype(np.int32)}


def fresh(classes: tuple[int, ...], seed: int, shape: tuple[int, ...]) -> Heads:
    """Untrained detectors; the first weights of detector k depend on seed and k alone."""
    nets = []
    for k in classes:
        with initial_weights(1000 * seed + k):
            nets.append(ConvNet(1, shape))
    return Heads(nets)


def unit_name(system: str, classes: tuple[int, ...], seed: int) -> str:
    return f"GAT_{system}_classes{'-'.join(map(str, classes))}_seed{seed}"


def settings_for(system: str, profile: str, seed: int) -> dict:
    """What the record of a training says of how it was made; where it comes from is not known yet."""
    sizes, inner = DETECTORS[profile], DETECTORS[profile].inner(system)
    return {"experiment": "heads", "dataset": profile_of(profile).dataset, "model": "GAT", "variant": system,
            "seed": seed, "profile": profile, "protocol": "published", "negatives": sizes.negatives,
            "candidates": sizes.candidates} | asdict(inner) | asdict(sizes.training)


def _unit(system: str, classes: tuple[int, ...], profile: str, seed: int, results: Path | None) -> units.Unit:
    def compute(device: torch.device):
        found, history = _train(system, classes, profile, seed, results, device)
        every = max(1, DETECTORS[profile].training.updates // 100)
        curve = history[:len(history) // every * every].reshape(-1, every).mean(1)
        arrays = found | {"update": np.arange(1, len(curve) + 1) * every, "objective": curve.astype(np.float32),
                          "class": np.array(classes, np.int8)}
        return arrays, settings_for(system, profile, seed) | {"data": dataset_of(profile).source}
    return units.Unit(unit_name(system, classes, seed), compute, expected=settings_for(system, profile, seed),
                      done=partial(clear, state_of(system, classes, profile, seed, results)))


def groups(profile: str, system: str) -> list[tuple[int, ...]]:
    """Which detectors one unit trains together: a whole system at `paper` (a GPU), else one, for cores to share."""
    classes = DETECTORS[profile].systems[system]
    return [classes] if profile == "paper" else [(k,) for k in classes]


def summarise(records: list[Record]) -> list[dict]:
    """Validation AUC of the chosen checkpoint (steps: its update), and the seconds that the unit took."""
    rows = []
    for record in records:
        s = record.settings
        key = {name: s[name] for name in COLUMNS if name in s and name not in ("steps", "step_size")}
        for position, k in enumerate(record["class"].tolist()):
            chosen = int(record["chosen"][position])
            best = record["validation_auc"][record["candidate"] == chosen, position].item()
            rows.append(key | {"class": k, "metric": "validation_auc", "value": best, "steps": chosen})
        rows.append(key | {"class": "-".join(map(str, record["class"])), "metric": "seconds", "value": s["seconds"],
                           "steps": s["updates"]})
    return rows


def heads(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
          fresh: bool = False, only: str | None = None):
    """Rows of the training of every system: the chosen checkpoint of each detector, its validation AUC, the seconds."""
    profile_of(profile)
    todo = [_unit(system, classes, profile, seed, results)
            for system in DETECTORS[profile].systems for classes in groups(profile, system)]
    return units.ensure("heads", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only, seed=seed)


def trained_heads(system: str, profile: str, seed: int, device: torch.device, results: Path | None = None,
                  classes: tuple[int, ...] | None = None) -> Heads:
    """The detectors of a system (or of some classes), in evaluation mode. Trains what has no weights yet."""
    wanted = DETECTORS[profile].systems[system] if classes is None else classes
    nets = []
    for k in wanted:
        path = checkpoint("GAT", profile, seed, variant_of(system, k), results)
        if not path.exists():
            unit = unit_name(system, next(g for g in groups(profile, system) if k in g), seed)
            record = Path(results or RESULTS) / profile / "heads" / f"{unit}.npz"
            gone = record.exists()          # asked before waiting: what another process finishes meanwhile is not lost
            once(path, partial(heads, profile, seed, str(device), results, fresh=gone, only=unit),
                 shared=record.with_suffix(".weights"))             # one training may make those of several classes
        with torch.device("meta"):                  # shapes alone: no time is lost on initial weights
            nets.append(ConvNet(1, dataset_of(profile).shape))
        load_weights(path, nets[-1], {"model": "GAT", "variant": system, "class": k, "seed": seed, "profile": profile},
                     recipe_of(system, profile))
    return Heads(nets).to(device).eval().requires_grad_(False)


if __name__ == "__main__":
    units.main(heads, __doc__)
