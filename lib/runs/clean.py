"""Predictions on clean images: accuracy, and the training scores that the detectors are fitted on."""

from pathlib import Path

import numpy as np
import torch

from lib.models import MODELS, stream
from lib.profiles import profile as profile_of
from lib.results import significant
from lib.runs import outcomes, units
from lib.runs.training import dataset_of
from lib.runs.victims import Victim, first_images, sampling


def fit_images(profile: str) -> np.ndarray:
    """Which training images the detectors are fitted on: a fixed random choice (all of them in `paper`)."""
    settings = profile_of(profile)
    order = stream("detectors/images", 0).permutation(len(dataset_of(profile).train))
    return np.sort(order[:settings.fit_images])


def on_test(victim: Victim, images: list[int], x: torch.Tensor, y: torch.Tensor, judged: int) -> dict[str, np.ndarray]:
    """One prediction of each of these test images, and repeated draws of the first `judged` of them."""
    arrays = outcomes.judged(victim, x[None, :judged], x[:judged], y[:judged], images[:judged], "judge/clean")
    return arrays | {"test_index": np.array(images, np.int32), "test_label": y.numpy().astype(np.int8),
                     "test_log_joint": significant(victim.predict(x, images, "clean/test")[0])}


def on_train(victim: Victim, profile: str) -> dict[str, np.ndarray]:
    """One prediction of the training images on which detectors are fitted."""
    train, chosen = dataset_of(profile).train, fit_images(profile)
    scores = victim.predict(train.images(chosen.tolist()), chosen.tolist(), "clean/train")[0]
    return {"train_index": chosen.astype(np.int32), "train_label": train.y[chosen].numpy().astype(np.int8),
            "train_log_joint": significant(scores)}


def settings_for(model: str, seed: int, profile: str) -> dict:
    """What the record of a model says of how it was made; where it comes from is not known yet."""
    sizes = profile_of(profile)
    return {"experiment": "clean", "dataset": sizes.dataset, "model": model, "attack": "clean", "seed": seed,
            "protocol": "published", "attack_seed": seed, "profile": profile, "dtype": "float32",
            "cells": [{"attack": "clean"}], "fit_images": sizes.fit_images} | sampling(sizes)


def compute(model: str, seed: int, profile: str, results: Path | None, device: torch.device):
    """The record of one model: a prediction of every test and training image, repeated draws on the first
    test images."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, 0, victim.profile.test_images)
    arrays = on_test(victim, images, x, y, victim.profile.judged_images) | on_train(victim, profile)
    return arrays, settings_for(model, seed, profile) | {"data": dataset.source, "weights": victim.weights}


def clean(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
          fresh: bool = False, only: str | None = None):
    """Rows of clean accuracy (one draw on many images, ten on fewer) and of the detectors' false-positive rates."""
    todo = [units.Unit(unit(model, seed), lambda device, model=model: compute(model, seed, profile, results, device),
                       profile_of(profile).test_images, expected=settings_for(model, seed, profile))
            for model in MODELS]
    return units.ensure("clean", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


def unit(model: str, seed: int) -> str:
    return f"{model}_clean_seed{seed}"


if __name__ == "__main__":
    units.main(clean, __doc__)
