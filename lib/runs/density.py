"""Densities from detectors (Yin et al. 2020, appendix F, Figures 19 and 20), by ordinary and by adversarial training.

A network is trained with clean negatives first, then with negatives that are moved to wherever its logit z is largest.
The paper reads e^z, normalised over a grid, as the density of the positives. Numbers for that reading are ours; the
paper has pictures. Command: python -m lib.runs.density --profile laptop
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from lib.models.mlp import MLP
from lib.profiles import DENSITIES, Density, Training
from lib.profiles import profile as profile_of
from lib.results import COLUMNS, RESULTS, Record, read_record, significant, write_record
from lib.runs import units
from lib.runs.likeness import Yardstick
from lib.runs.on_points import Against, PointSet, logits_at
from lib.runs.shapes import Points, draw, grid_points
from lib.train import fit, initial_weights

KINDS = ("gat", "long")                 # negatives attacked after the ordinary updates; clean for as many updates
MODELS = {"gat": "GAT", "long": "ordinary-long"}
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)       # of the later updates, after which a picture is kept
FIRST = 10                              # the update after which the first picture is kept, for the spot check
SPOT = 0.02                             # by which logits of other machines may differ there
MIDDLE = (0.2, 0.8)                     # the part of both axes of the plane that a picture shows


def stops(sizes: Density, kind: str) -> list[int]:
    """The updates after which a picture is kept: of ordinary training only what the adversarial one starts from, and
    the end."""
    later = [sizes.ordinary + round(share * sizes.iterations) for share in (SHARES if kind == "gat" else (0.0, 1.0))]
    return sorted({min(FIRST, sizes.ordinary), *later})


def sizes_of(profile: str, name: str, setting: str = "paper") -> Density:
    """The sizes of one experiment. Raises ValueError for an unknown point set or setting, listing the choices."""
    if (name, setting) not in DENSITIES[profile]:
        known = ", ".join(f"{point_set} ({one})" for point_set, one in DENSITIES[profile])
        raise ValueError(f"no training on {name!r} with setting {setting!r}; expected one of {known}")
    return DENSITIES[profile][name, setting]


def published_sizes(name: str, setting: str = "paper") -> Density:
    """What the sizes of an experiment are measured by: those of the paper's setting where the setting is ours."""
    return DENSITIES["paper"].get((name, setting), DENSITIES["paper"][name, "paper"])


def points_of(profile: str, name: str, seed: int, setting: str = "paper") -> Points:
    """The training set of one experiment."""
    sizes = sizes_of(profile, name, setting)
    return draw(name, seed, sizes.positives, sizes.negatives)


def start(sizes: Density, inputs: int, kind: str, seed: int, device: torch.device) -> Against:
    """The untrained network of a seed, the same for both kinds."""
    with initial_weights(seed):
        net = MLP(inputs, sizes.width, sizes.layers)
    return Against(net, sizes, kind == "gat").to(device)


def recipe(sizes: Density) -> Training:
    """The training as `lib.train.fit` takes it: every point in every update, constant rate."""
    return Training(sizes.ordinary + sizes.iterations, batch=sizes.positives + sizes.negatives, rate=sizes.rate,
                    dtype="float32")


def unit_name(name: str, setting: str, kind: str, seed: int) -> str:
    return f"{name}_{setting}_{kind}_seed{seed}"


def train(name: str, setting: str, kind: str, profile: str, seed: int, folder: Path, device: torch.device,
          yardstick: Yardstick, until: int | None = None) -> dict[str, np.ndarray]:
    """Train, and keep a picture and its numbers at each of `stops`, (stop, ...) each.

    Resumes where an earlier call was cut off: state and pictures lie in `folder` until the unit has its record. until:
    take only the stops up to this update.
    """
    sizes, points = sizes_of(profile, name, setting), yardstick.points
    state = folder / f"{unit_name(name, setting, kind, seed)}.state"
    if not state.exists():
        clear(state)    # pictures without it: of a clearing cut short, or of another training
    taught, data = start(sizes, points.shape.dimension, kind, seed, device), PointSet.of(points)
    found, history, chosen = [], np.zeros(0), [stop for stop in stops(sizes, kind) if until is None or stop <= until]
    for stop in chosen:
        kept = state.with_suffix(f".{stop}.partial")
        if not kept.exists():
            history = fit(taught, data, recipe(sizes), seed=seed, state=state, save_every=500, stop=stop,
                          label=f"{name} ({setting}, {kind})", attack=asdict(sizes.inner) if kind == "gat" else None)
            if np.isfinite(history[stop:]).any():
                raise ValueError(f"the picture after update {stop} is gone, and {state} is past it; delete that state "
                                 "and the pictures beside it, and run again: this training is made anew")
            found.append(picture(taught.net, yardstick, sizes.picture) | {"update": np.array(stop, np.int32)})
            write_record(kept, found[-1], {}) if stop != chosen[-1] else None
        else:
            found.append(read_record(kept).arrays)
    every = max(1, len(history) // 200)
    curve = -history[:len(history) // every * every].reshape(-1, every).mean(1)
    return {key: np.stack([one[key] for one in found]) for key in found[0]} | {"loss": curve.astype(np.float32)}


def clear(state: Path) -> None:
    """Remove a state and then its pictures: in the other order, cut short, some would be taken too late."""
    state.unlink(missing_ok=True)
    for kept in state.parent.glob(f"{state.stem}.*.partial"):
        kept.unlink(missing_ok=True)


def picture(net: MLP, yardstick: Yardstick, side: int) -> dict[str, np.ndarray]:
    """Logits on the grid that is kept (in the plane its MIDDLE, to six bits: it is only looked at), and their measures
    on the yardstick's own."""
    dimension = yardstick.points.shape.dimension
    logits = logits_at(net, pictured(dimension, side)).reshape([side] * dimension)
    measured = logits_at(net, grid_points(dimension, yardstick.side))
    return ({"logits": significant(logits, 6).astype(np.float16) if dimension > 1 else logits.astype(np.float32)}
            | yardstick.density(measured) | yardstick.accepted(measured))


def pictured(dimension: int, side: int) -> Float[np.ndarray, "point axis"]:
    """The points of a picture: all of the line, the MIDDLE of the plane."""
    return grid_points(dimension, side, MIDDLE if dimension > 1 else (0, 1))


def settings_for(name: str, setting: str, kind: str, profile: str, seed: int) -> dict:
    """What the record of a training says of how it was made."""
    sizes = sizes_of(profile, name, setting)
    sides = {key: value for key, value in asdict(sizes).items() if key not in ("inner", "side", "picture", "seeds")}
    return {"experiment": "density", "dataset": name, "variant": setting, "kind": kind, "seed": seed,
            "profile": profile, "protocol": "published", "dtype": "float32",
            "data": "drawn from the density"} | asdict(sizes.inner) | sides


def _unit(name: str, setting: str, kind: str, profile: str, seed: int, folder: Path) -> units.Unit:
    def compute(device: torch.device):
        sizes, points = sizes_of(profile, name, setting), points_of(profile, name, seed, setting)
        yardstick = Yardstick.of(points, sizes.side)
        arrays = train(name, setting, kind, profile, seed, folder, device, yardstick)
        exact = np.log(np.maximum(yardstick.truth, 1e-300))
        arrays |= {f"truth_{key}": value for key, value in yardstick.density(exact).items()}
        return arrays, settings_for(name, setting, kind, profile, seed) | {"n": len(exact)}
    name_of_unit = unit_name(name, setting, kind, seed)
    return units.Unit(name_of_unit, compute, done=partial(clear, folder / f"{name_of_unit}.state"),
                      expected=settings_for(name, setting, kind, profile, seed))


def summarise(records: list[Record]) -> list[dict]:
    """Likeness to the truth after training, a row a metric (`Yardstick`); column class: the blob that a row is about.

    model: "GAT"; "ordinary" (its clean updates alone); "ordinary-long" (clean for as many updates); "truth" (the same
    measures of the true density itself: what a perfect estimate would get). n: points of the grid. Metric "size" of
    "GAT": how much of the published updates, or of the published width if that is less, the training had.
    """
    rows = []
    for record in records:
        settings, own = record.settings, MODELS[record.settings["kind"]]
        key = {name: settings[name] for name in COLUMNS if name in settings} | {"attack": "pgd", "model": own}
        clean = key | dict.fromkeys(("norm", "eps", "steps", "step_size"), "") | {"attack": "clean"}
        measured = [name for name in record.arrays if name not in ("logits", "loss", "update") and "truth_" not in name]
        last = {name: record[name][-1] for name in measured}
        rows += _rows(key if settings["kind"] == "gat" else clean, last)
        published = published_sizes(settings["dataset"], settings["variant"])
        if settings["kind"] == "gat":                   # what is read from the same unit takes no time of its own
            at = record["update"].tolist().index(settings["ordinary"])
            truth = {name.removeprefix("truth_"): record[name] for name in record.arrays if "truth_" in name}
            rows += _rows(key, {"size": min(settings["iterations"] / published.iterations,
                                            settings["width"] / published.width)})
            rows += _rows(clean | {"model": "ordinary", "seconds": ""}, {name: record[name][at] for name in measured})
            rows += _rows(clean | {"model": "truth", "seconds": ""}, truth)
    return rows


def _rows(key: dict, found: dict) -> list[dict]:
    return [key | {"metric": name, "value": float(value), "class": str(k) if np.ndim(values) else ""}
            for name, values in found.items() for k, value in enumerate(np.atleast_1d(values))]


def density(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
            fresh: bool = False, only: str | None = None) -> pd.DataFrame:
    """Rows of every point set and setting; seeds `seed` and on where the profile wants several.

    A unit is one training: a point set, a setting, a kind and a seed. Ordinary ones of full length are for the paper's
    setting alone.
    """
    folder = Path(results or RESULTS) / profile_of(profile).name / "density"
    todo = [_unit(name, setting, kind, profile, s, folder) for kind in KINDS
            for (name, setting), sizes in DENSITIES[profile].items() for s in range(seed, seed + sizes.seeds)
            if kind == "gat" or setting == "paper"]
    return units.ensure("density", todo, summarise, profile=profile, device=device, results=results, fresh=fresh,
                        only=only)


if __name__ == "__main__":
    units.main(density, __doc__)
