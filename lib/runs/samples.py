"""How many samples the Bayes-rule classifier needs: clean accuracy over K, on images that every K sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lib.profiles import profile as profile_of
from lib.results import significant
from lib.runs import outcomes, units
from lib.runs.victims import Victim, first_images

MODELS = ("GFZ", "GFY", "GBZ", "GBY")
SAMPLES = (1, 10, 50)                   # published: 1 in training, 10 in use
IMAGES, DRAWS = 200, 2


def sample_counts(profile: str) -> list[int]:
    """The values of K, as far as ten times what the profile classifies with."""
    return [k for k in SAMPLES if k <= 10 * profile_of(profile).samples]


def settings_for(model: str, seed: int, profile: str) -> dict:
    """What the record of a model says of how it was made; where it comes from is not known yet."""
    return {"experiment": "samples", "dataset": profile_of(profile).dataset, "model": model, "attack": "clean",
            "seed": seed, "protocol": "published", "attack_seed": seed, "profile": profile, "dtype": "float32",
            "cells": [{"attack": "clean", "variant": f"K={k}"} for k in sample_counts(profile)],
            "verdict_draws": DRAWS}


def compute(model: str, seed: int, profile: str, results: Path | None, device: torch.device, first: int = 0,
            last: int = IMAGES):
    """The record of one model: a cell for each K, the classes seen in DRAWS fresh predictions."""
    victim = Victim.load(model, profile, seed, device, results)
    images, x, y, dataset = first_images(victim.profile, first, min(last, victim.profile.judged_images))
    counts = sample_counts(profile)
    logits = [replace(victim, profile=replace(victim.profile, samples=k)).predict(x, images, f"samples/{k}", DRAWS)
              for k in counts]
    nothing = np.zeros((len(counts), len(images)), np.float32)
    arrays = {"index": np.array(images, np.int32), "label": y.numpy().astype(np.int8), "l2": nothing, "linf": nothing,
              "predictions": np.stack([found.argmax(-1).T for found in logits]).astype(np.int8),
              "log_joint": significant(np.stack([found[-1] for found in logits]))}
    return arrays, settings_for(model, seed, profile) | {"data": dataset.source, "weights": victim.weights}


def samples(profile: str = "laptop", seed: int = 0, device: str = "auto", results: Path | None = None,
            fresh: bool = False, only: str | None = None):
    """Rows of clean accuracy with K = 1, 10 and 50 samples a class (variant), for the generative models."""
    todo = [units.Unit(f"{model}_samples_seed{seed}",
                       lambda device, model=model: compute(model, seed, profile, results, device),
                       expected=settings_for(model, seed, profile))
            for model in MODELS]
    return units.ensure("samples", todo, outcomes.summariser(profile, results), profile=profile, device=device,
                        results=results, fresh=fresh, only=only, seed=seed)


if __name__ == "__main__":
    units.main(samples, __doc__)
