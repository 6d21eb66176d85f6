"""Does the published training end elsewhere than a shortened one? Clean accuracy after so many updates, attacks at
the end.

The published schedule (Adam at 1e-4, 120,000 updates of 50 images) is stopped on its way, looked at, and goes on;
beside it stands one cycle to a rate ten times as high over a tenth of the updates, by which some profiles train. A unit
is one model at one stop, so a training that is cut off has told what it knew. Where the profile itself trains as
published, that is one training too, and the shortened one is attacked beside it, from the starts and with the noise of
lib.runs.whitebox. DBX is there because it does not get off the ground in either. Weights of a stop stay beside the
others, in files that no page needs.
Command: python -m lib.runs.schedule --profile laptop
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from lib.metrics import wilson
from lib.models import build
from lib.profiles import PUBLISHED_TRAINING, Training
from lib.profiles import profile as profile_of
from lib.results import RESULTS, Record
from lib.runs import clean, outcomes, units, whitebox
from lib.runs.training import checkpoint, dataset_of, trained
from lib.runs.victims import Victim, blocks, first_images, sampling
from lib.train import fingerprint, fit, initial_weights, load_weights, save_weights

MODELS = ("GFZ", "GBZ", "DBX")
ATTACKED = ("GFZ", "GBZ")
ONCE = 2_000                    # test images that are predicted once at the end of the published training
PUBLISHED, SHORTENED = "published", "shortened"     # which training: `variant` of a row


def recipe(profile: str) -> Training:
    """The published training, as far as the profile follows it."""
    settings = profile_of(profile)
    return replace(PUBLISHED_TRAINING, updates=settings.stops[-1], batch=settings.training_for("GFZ").batch)


def recipe_at(stop: int | None, profile: str) -> dict:
    """What weights say of how they were made after `stop` published updates, or (None) by the shortened training."""
    return asdict(profile_of(profile).shortened) if stop is None else asdict(recipe(profile)) | {"updates": stop}


def weights_at(name: str, stop: int, profile: str, seed: int, results: Path | None, device: torch.device) -> Path:
    """Where the weights after `stop` published updates are; trains on from the last stop if they are not there yet.

    Raises ValueError, naming the file, if the training went past `stop` without leaving its weights.
    """
    training = recipe(profile)
    own = profile_of(profile).training_for(name) == training
    if own and stop == training.updates:
        trained(name, profile, seed, device, results=results)
        return checkpoint(name, profile, seed, "", results)
    path = checkpoint(name, profile, seed, f"{PUBLISHED}-{stop}", results)
    state = checkpoint(name, profile, seed, "" if own else PUBLISHED, results).with_suffix(".state")
    if path.exists():                           # before the lock, which a training that went on may hold for an hour
        return path
    with units.locked(state):                   # one training, whichever of its stops a process is after
        if path.exists():
            return path
        dataset = dataset_of(profile)
        with initial_weights(seed):
            model = build(name, dataset.shape, len(dataset.classes)).to(device)
        for each in (at for at in profile_of(profile).stops if at <= stop):     # units may come in any order
            kept = checkpoint(name, profile, seed, f"{PUBLISHED}-{each}", results)
            if kept.exists():
                continue
            history = fit(model, dataset.train, training, seed=seed, state=state, stop=each, label=f"training {name}")
            if each < training.updates and not np.isnan(history[each]):         # it went past that stop before
                if each < stop:
                    continue
                raise ValueError(
                    f"{state} is past update {each}, whose weights {kept.name} are gone; delete it to train again")
            save_weights(kept, model, recipe_at(each, profile) | {
                "model": name, "seed": seed, "profile": profile, "trained_on": units.device_name(device),
                "bound": float(np.mean(history[max(0, each - 1000):each]))})
        if stop == training.updates:
            state.unlink(missing_ok=True)
    return path


def victim_at(name: str, stop: int | None, profile: str, seed: int, results: Path | None, device: torch.device):
    """A model after `stop` published updates, or (None) at the end of the shortened training, and its bound there."""
    settings, dataset = profile_of(profile), dataset_of(profile)
    if stop is None:
        kind = "" if settings.training_for(name) == settings.shortened else SHORTENED
        trained(name, profile, seed, device, kind, results)
        path = checkpoint(name, profile, seed, kind, results)
    else:
        path = weights_at(name, stop, profile, seed, results, device)
    model = build(name, dataset.shape, len(dataset.classes))
    stated = recipe_at(stop, profile)
    bound = load_weights(path, model, {"model": name, "seed": seed, "updates": stated["updates"]}, stated).get(
        "bound", float("nan"))
    model = model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return Victim(model, settings, seed, device, fingerprint(path)), bound


def settings_for(name: str, attack: str, stop: int | None, profile: str, seed: int) -> dict:
    """What a record says of how it was made; where it comes from is not known yet. stop: as in `victim_at`."""
    sizes = profile_of(profile)
    kind, steps = (SHORTENED, sizes.shortened.updates) if stop is None else (PUBLISHED, stop)
    cells = ([{"attack": "clean", "variant": kind, "steps": steps}] if attack == "clean" else
             [cell | {"variant": f"{kind} {steps}"} for cell in whitebox.cells(sizes, attack)])
    return {"experiment": "schedule", "dataset": sizes.dataset, "model": name, "variant": f"{kind} {steps}",
            "attack": attack, "seed": seed, "attack_seed": seed, "profile": profile,
            "protocol": "strong" if attack == "strong" else "published", "cells": cells,
            "dtype": "float32" if attack == "clean" else sizes.dtype} | sampling(sizes)


def compute(name: str, stop: int | None, profile: str, seed: int, results: Path | None, device: torch.device):
    """The record of `victim_at` on the first test images; at the end of the published training also one draw of more,
    and at the end of a shortened one that is attacked the scores of training images, on which its detectors
    are fitted."""
    settings = profile_of(profile)
    victim, bound = victim_at(name, stop, profile, seed, results, device)
    images, x, y, dataset = first_images(settings, 0, settings.judged_images)
    arrays = outcomes.judged(victim, x[None], x, y, images, "schedule")
    if stop is None and name in ATTACKED and settings.training_for(name) != settings.shortened:
        arrays |= clean.on_train(victim, profile)
    if stop == settings.stops[-1]:
        images, x, y, _ = first_images(settings, 0, min(ONCE, settings.test_images))
        arrays["once_right"] = victim.predict(x, images, "schedule/once")[0].argmax(1) == y.numpy()
    return arrays, settings_for(name, "clean", stop, profile, seed) | {"bound": bound, "data": dataset.source,
                                                                       "weights": victim.weights}


def attacked(name: str, attack: str, first: int, last: int, profile: str, seed: int, results: Path | None,
             device: torch.device):
    """The record of "pgd" or "strong" on test images first <= i < last after the shortened training: the same attack,
    from the same starts with the same noise, as lib.runs.whitebox makes on the profile's own model."""
    settings = profile_of(profile)
    victim = victim_at(name, None, profile, seed, results, device)[0]
    images, x, y, dataset = first_images(settings, first, last)
    batches = zip(*(torch.as_tensor(part).split(victim.batch) for part in (x, y, images)))
    found = torch.cat([whitebox.attack_batch(victim, attack, image.to(device), label.to(device), index.tolist(),
                                             settings.dtype)
                       .cpu() for image, label, index in batches], dim=1)
    arrays = outcomes.judged(victim, found, x, y, images, f"judge/{attack}")
    return arrays, settings_for(name, attack, None, profile, seed) | {"data": dataset.source,
                                                                      "weights": victim.weights}


def scores_path(model: str, profile: str, seed: int, results: Path | None = None) -> Path:
    """The record with the scores that detectors of the shortened training are fitted on."""
    return Path(results or RESULTS) / profile / "schedule" / f"{model}_{SHORTENED}_seed{seed}.npz"


def summariser(profile: str, results: Path | None):
    """Rows of accuracy and detection as of every experiment, and of the bound, nats an image over the last
    1,000 updates."""
    shortened = outcomes.summariser(profile, results, path=scores_path)
    published = outcomes.summariser(profile, results, path=lambda *_: Path("no scores"))    # those are of others

    def summarise(records: list[Record]) -> list[dict]:
        rows = [row for kind, of in ((SHORTENED, shortened), (PUBLISHED, published))
                for row in of([record for record in records if record.settings["variant"].startswith(kind)])]
        for record in records:
            s = record.settings
            key = {k: s[k]
                   for k in ("experiment", "dataset", "model", "seed", "profile", "protocol", "commit", "device",
                             "dtype", "torch", "data", "seconds")} | s["cells"][0]
            if not np.isnan(s.get("bound", np.nan)):    # weights of before it was kept with them, or an attack
                rows.append(key | {"metric": "bound", "value": s["bound"]})
            if "once_right" in record.arrays:
                right = record["once_right"]
                low, high = wilson(right.mean(), len(right))
                rows.append(key | {"metric": "accuracy", "variant": f"{s['cells'][0]['variant']}, one draw",
                                   "value": right.mean(), "low": low, "high": high, "n": len(right)})
        return rows
    return summarise


def schedule(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
             fresh: bool = False, only: str | None = None):
    """Rows of clean accuracy and bound by training (variant) and its length so far (steps: updates), and of published
    PGD and the strong protocol at the end of the shortened one (variant: with its length; steps: of the attack)."""
    stops = [None, *profile_of(profile).stops]
    todo = [units.Unit(f"{name}_{SHORTENED if stop is None else f'{PUBLISHED}-{stop:06d}'}_seed{seed}",
                       lambda device, job=(name, stop): compute(*job, profile, seed, results, device),
                       expected=settings_for(name, "clean", stop, profile, seed))
            for name in MODELS for stop in stops]
    # where the profile itself trains like this, whitebox has it
    todo += [units.Unit(f"{name}_{SHORTENED}-{attack}_seed{seed}_{first:05d}-{last:05d}",
                        lambda device, job=(name, attack, first, last): attacked(*job, profile, seed, results, device),
                        expected=settings_for(name, attack, None, profile, seed))
             for name in ATTACKED if profile_of(profile).training_for(name) != profile_of(profile).shortened
             for attack in ("pgd", "strong")
             for first, last in blocks(profile_of(profile), attack, name)]
    return units.ensure("schedule", todo, summariser(profile, results), profile=profile, device=device, results=results,
                        fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(schedule, __doc__)
