"""One attacked image as one model sees it: from the records, or attacked and judged on the spot."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from lib.models import MODELS as ALL_MODELS
from lib.results import RESULTS, read_record
from lib.runs import outcomes
from lib.runs.training import dataset_of
from lib.runs.units import device_of
from lib.runs.victims import Victim
from lib.runs.whitebox import ATTACKS, THUMBS, published_attack

MODELS = ("GFZ", "GBZ")             # whose stored pictures are shown without a kernel; with one, every model
SPOKEN = ("marginal", "logit", "kl")


@dataclass(frozen=True)
class Reading:
    """What one detector says of an input. Nats; a score above the threshold is flagged.

    typical: the median score of the clean training images that the threshold was fitted on.
    """

    score: float
    threshold: float
    typical: float

    @property
    def flagged(self) -> bool:
        return self.score > self.threshold


@dataclass(frozen=True, eq=False)
class Case:
    """One image (by its place in the test set) under one attack. clean, attacked: (H, W) uint8. log_joint: nats of each
    class in one prediction with fresh noise, `seen` its best class, which the detectors judge. draws: the classes seen
    in further fresh draws.
    readings: by detector; without the ones that have no meaning for the model.
    """

    model: str
    attack: str
    eps: float
    image: int
    label: int
    clean: np.ndarray
    attacked: np.ndarray
    log_joint: np.ndarray
    draws: np.ndarray
    readings: dict[str, Reading]

    @property
    def seen(self) -> int:
        return int(self.log_joint.argmax())

    @property
    def alarms(self) -> list[str]:
        return [name for name, reading in self.readings.items() if reading.flagged]

    @property
    def verdict(self) -> str:
        """What the attacker got out of this prediction."""
        if self.seen != self.label:
            return "fooled, but flagged" if self.alarms else "fooled and unnoticed"
        return "read right, yet flagged" if self.alarms else "read right"


def readings(model: str, profile: str, seed: int, log_joint: np.ndarray, rule: str = "quantile",
             results: Path | None = None) -> dict[str, Reading]:
    """What the detectors of a model, fitted on its clean record, say of one prediction. log_joint: (class,) nats.

    Empty where the model has no clean record yet.
    """
    fitted, found = outcomes.fitted(model, profile, seed, results), {}
    if not fitted:
        return found
    path = outcomes.clean_path(model, profile, seed, results)
    medians = _medians(path, path.stat().st_mtime_ns, rule)
    scores, seen = torch.from_numpy(np.asarray(log_joint, np.float32))[None], int(np.argmax(log_joint))
    for name in SPOKEN:
        if name == "marginal" and model in outcomes.NO_MARGINAL:
            continue
        detector = fitted[name, rule]
        limit = detector.threshold if name == "marginal" else detector.thresholds[seen].item()
        found[name] = Reading(detector.score(scores).item(), limit, medians[name][0 if name == "marginal" else seen])
    return found


@cache
def _medians(path: Path, _modified: int, rule: str) -> dict[str, list[float]]:
    """By detector, the median score of the clean training images of each class; of all of them for "marginal"."""
    record, found = read_record(path), {}
    scores, label = torch.from_numpy(record["train_log_joint"]), torch.from_numpy(record["train_label"]).long()
    for name in SPOKEN:
        each = outcomes.fit_detectors(path, _modified, outcomes.FPR)[name, rule].score(scores, label)
        parts = [each] if name == "marginal" else [each[label == c] for c in range(scores.shape[1])]
        found[name] = [part.median().item() for part in parts]
    return found


def stored(models: Sequence[str], attacks: Sequence[str], profile: str, seed: int, rule: str = "quantile",
           results: Path | None = None) -> dict[tuple[str, str, int, float], Case]:
    """Cases of the records, by (model, attack, image, eps): the first test images, whose pictures are kept.

    A model or attack without a record has no entries.
    """
    found, folder = {}, Path(results or RESULTS) / profile / "whitebox"
    for model, attack in [(model, attack) for model in models for attack in attacks]:
        for path in sorted(folder.glob(f"{model}_{attack}_seed{seed}_00000-*.npz")):
            record = read_record(path)
            images = [int(i) for i in record["index"][:THUMBS]]
            clean = _pixels(dataset_of(profile).test.images(images))
            for at, cell in enumerate(record.settings["cells"]):
                for i, image in enumerate(images):
                    scores = record["log_joint"][at, i]
                    found[model, attack, image, cell["eps"]] = Case(
                        model, attack, cell["eps"], image, int(record["label"][i]), clean[i],
                        record["thumbs"][at, i, 0], scores,
                        record["predictions"][at, i], readings(model, profile, seed, scores, rule, results))
    return found


def live(model: str, attack: str, eps: float, image: int, profile: str, seed: int, device: str = "auto",
         rule: str = "quantile", results: Path | None = None) -> Case:
    """Attack one test image now, with the published settings at any radius, and judge it as the records do.

    Seconds on a CPU, and a training first where the model has no weights. Raises ValueError for a model or attack that
    there is not, an image that the test set does not have, or a radius outside 0 ... 1.
    """
    for name, known in ((model, ALL_MODELS), (attack, ATTACKS)):
        if name not in known:
            raise ValueError(f"there is no {name!r}; expected one of {', '.join(known)}")
    test = dataset_of(profile).test
    if not 0 <= image < len(test):
        raise ValueError(f"image = {image}; the test set has {len(test)} images, so expected 0 to {len(test) - 1}")
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps}; expected a radius for pixels in [0, 1]")
    victim = Victim.load(model, profile, seed, device_of(device), results)
    x, y = test.images([image]).to(victim.device), test.labels([image]).to(victim.device)
    adversarial = published_attack(victim, attack, eps, x, y, [image], victim.profile.dtype) if eps else x
    grid = victim.profile.eps           # the judging noise of the records, where the radius is one of theirs
    purpose = f"judge/{attack}/{grid.index(eps) if eps in grid else f'eps {eps:g}'}"
    draws, scores = victim.judge(adversarial.cpu(), [image], purpose)
    return Case(model, attack, eps, image, int(y[0]), _pixels(x)[0], _pixels(adversarial)[0], scores[0], draws[0],
                readings(model, profile, seed, scores[0], rule, results))


def _pixels(x: torch.Tensor) -> np.ndarray:
    """(batch, 1, H, W) in [0, 1] to (batch, H, W) uint8."""
    return (x[:, 0] * 255).round().byte().cpu().numpy()
