"""From adversarial images to records, and from records to rows: shared by every attack experiment."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import metrics
from lib.detectors import DETECTORS
from lib.results import RESULTS, Record, read_record, read_settings, same, significant

FPR = 0.05
RULES = ("quantile", "alpha")
HALF_STEP = 2.0**-25                    # what may be missing from 1 in float32 and still rounds to 1
NO_MARGINAL = ("DFX", "DBX", "BNN")     # these leave p(x) out: their "marginal" is printed, never interpreted


def judged(victim, adversarial: Tensor, x: Tensor, y: Tensor, images: Sequence[int], purpose: str, thumbs: int = 0,
           first_cell: int = 0) -> dict:
    """The arrays of a record. adversarial: (cell, image, channel, H, W); x, y: the clean images and their labels.

    purpose keys the judging noise, so that it is independent of the attack's; first_cell: the number of the first cell,
    which keys it too.
    """
    predictions, log_joint = zip(*(victim.judge(x_adv, images, f"{purpose}/{cell}")
                                   for cell, x_adv in enumerate(adversarial, first_cell)))
    delta = (adversarial - x).flatten(2)
    arrays = {"index": np.asarray(images, np.int32), "label": y.numpy().astype(np.int8),
              "predictions": np.stack(predictions), "log_joint": significant(np.stack(log_joint)),
              "l2": delta.norm(dim=2).numpy(), "linf": delta.abs().amax(2).numpy()}
    if thumbs:
        arrays["thumbs"] = (adversarial[:, :thumbs] * 255).round().byte().numpy()
    return arrays


@dataclass(frozen=True)
class Pooled:
    """Records of one model, attack and seed, their images side by side."""

    settings: dict
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Pooled":
        """Image axes are joined in the order of the blocks; seconds add up, other origins are listed."""
        records = sorted(records, key=lambda record: int(record["index"][0]))
        settings = dict(records[0].settings)
        if other := [r.path.name for r in records if r.settings["cells"] != settings["cells"]]:
            raise ValueError(f"records {', '.join(other)} hold other attacks than {records[0].path.name}; "
                             "delete the older ones, which are then computed anew")
        for name in ("weights", "data"):
            same(records, name)
        settings["seconds"] = round(sum(r.settings["seconds"] for r in records), 1)
        for name in ("commit", "device", "dtype", "torch"):
            settings[name] = "+".join(dict.fromkeys(r.settings[name] for r in records))
        per_cell = ("predictions", "log_joint", "l2", "linf")
        arrays = {name: np.concatenate([r[name] for r in records], axis=1 if name in per_cell else 0)
                  for name in records[0].arrays if name != "thumbs"}
        if len(np.unique(arrays["index"])) < len(arrays["index"]):
            raise ValueError(f"records {', '.join(r.path.name for r in records)} hold some image twice; "
                             "delete the ones that no longer belong to the profile's blocks")
        return cls(settings, arrays)


def pooled(records: Sequence[Record]) -> list[Pooled]:
    """Records grouped by model, variant, attack, protocol and seed."""
    groups = defaultdict(list)
    for record in records:
        groups[tuple(record.settings.get(k, "") for k in ("model", "variant", "attack", "protocol", "seed"))].append(
            record)
    return [Pooled.of(group) for _, group in sorted(groups.items())]


def clean_path(model: str, profile: str, seed: int, results: Path | None = None) -> Path:
    return Path(results or RESULTS) / profile / "clean" / f"{model}_clean_seed{seed}.npz"


def fitted(model: str, profile: str, seed: int, results: Path | None = None, fpr: float = FPR,
           path: Callable[..., Path] = clean_path) -> dict[tuple[str, str], object]:
    """The detectors of one model by (name, rule), fitted on its clean training scores; empty where it has no
    record yet."""
    found = path(model, profile, seed, results)
    return fit_detectors(found, found.stat().st_mtime_ns, fpr) if found.exists() else {}


def same_weights(group: Pooled, path: Path) -> None:
    """Raises ValueError if the scores in `path`, on which detectors are fitted, are of other weights than a group."""
    fitted_on = read_settings(path).get("weights") if path.exists() else None
    attacked = group.settings.get("weights")
    if fitted_on and attacked and fitted_on != attacked:
        raise ValueError(f"detectors are fitted on {path}, made with weights {fitted_on}, and the records of "
                         f"{group.settings['model']}, {group.settings['attack']}, with {attacked}; delete the "
                         "older ones, which are then computed anew")


@cache
def fit_detectors(path: Path, _modified: int, fpr: float) -> dict[tuple[str, str], object]:
    record = read_record(path)
    if "train_log_joint" not in record.arrays:
        return {}
    scores, labels = torch.from_numpy(record["train_log_joint"]), torch.from_numpy(record["train_label"]).long()
    return {(name, rule): kind.fit(scores, labels, fpr, rule) for name, kind in DETECTORS.items() for rule in RULES}


def summariser(profile: str, results: Path | None = None, path: Callable[..., Path] = clean_path
               ) -> Callable[[list[Record]], list[dict]]:
    """What turns the records of an attack experiment into rows. path: where the scores are that detectors are
    fitted on."""
    def summarise(records: list[Record]) -> list[dict]:
        rows = []
        for group in pooled(records):
            same_weights(group, path(group.settings["model"], profile, group.settings["seed"], results))
            detectors = fitted(group.settings["model"], profile, group.settings["seed"], results, path=path)
            key = {k: group.settings[k]
                   for k in ("experiment", "dataset", "model", "seed", "attack_seed", "profile", "protocol",
                             "commit", "device", "dtype", "torch", "data", "seconds")}
            rows += [key | row for row in [*_accuracy(group), *_grid(group), *_detection(group, detectors),
                                           *_clean(group, detectors)]]
        return rows
    return summarise


def succeeded(attack: str, predictions: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images an attack fooled, (image), and the class that each is read as: what l2 and detection are taken over.

    predictions: (image, draw). As published, one draw decides: the first fresh one. Not for CW, which keeps the
    smallest perturbation that one draw got wrong, and so ends where single draws decide by luck: there it is the
    majority, wrong in at least 6 of 10, and the class is the one seen most often.
    """
    if attack == "cw":
        votes = (predictions[:, :, None] == np.arange(predictions.max(initial=0) + 1)).sum(1)
        return ~metrics.majority(predictions, label), votes.argmax(1)
    return predictions[:, 0] != label, predictions[:, 0].astype(np.int64)


def _share(metric: str, values: np.ndarray, **more) -> dict:
    values = np.asarray(values, float)
    mean = float(values.mean()) if len(values) else np.nan
    low, high = metrics.wilson(min(1.0, mean), len(values))
    return {"metric": metric, "value": mean, "low": low, "high": high, "n": len(values), **more}


def _accuracy(group: Pooled):
    label = group["label"]
    for cell, predictions, l2 in zip(group.settings["cells"], group["predictions"], group["l2"]):
        yield cell | _share("accuracy", metrics.correct(predictions, label))
        yield cell | _share("accuracy_majority", metrics.majority(predictions, label))
        if cell["attack"] != "clean":
            success, _ = succeeded(cell["attack"], predictions, label)
            mean, low, high = metrics.mean_interval(l2[success]) if success.any() else (np.nan,) * 3
            yield cell | {"metric": "l2", "value": mean, "low": low, "high": high, "n": int(success.sum())}
    if "zero_gradient" in group.arrays:
        yield {"attack": "clean", "loss": "cross-entropy"} | _share("zero_gradient", group["zero_gradient"])


def _grid(group: Pooled):
    """What needs all radii of an image: accuracy for eps up to each, and the smallest eps that succeeds."""
    cells = group.settings["cells"]
    if "eps" not in cells[0] or len({cell["eps"] for cell in cells}) < 2:     # one radius is no grid
        return
    grid = [cell["eps"] for cell in cells]
    right = group["predictions"] == group["label"][:, None]
    carried = group.settings["protocol"] == "strong"
    for cell, upto in zip(cells, metrics.survival(right, carried)):
        yield cell | _share("accuracy_upto", upto)
    smallest = metrics.min_eps(right, grid, grid[-1] + metrics.EPS_FILL, carried)
    mean, low, high = metrics.mean_interval(smallest)
    common = {k: cells[0][k] for k in ("attack", "norm", "steps", "loss", "restarts", "draws", "variant")
              if k in cells[0]}
    yield common | {"metric": "min_eps", "value": mean, "low": low, "high": high, "n": len(smallest)}


def _detection(group: Pooled, detectors: dict):
    """Over the successes, with scores from a draw that did not judge them, as published; corrected rates and the
    faulty KL rate."""
    for cell, predictions, log_joint in zip(group.settings["cells"], group["predictions"], group["log_joint"]):
        if cell["attack"] == "clean":
            continue
        success, predicted = succeeded(cell["attack"], predictions, group["label"])
        scores, accepted = torch.from_numpy(log_joint), defaultdict(lambda: np.ones(len(predicted), bool))
        for (name, rule), detector in detectors.items():
            flags = detector.flags(scores, torch.from_numpy(predicted)).numpy()
            rates = metrics.detection_rates(flags, predicted, success)
            yield cell | {"detector": f"{rule}-micro"} | _share(f"detect_{name}", flags[success])
            yield cell | {"detector": f"{rule}-macro", "metric": f"detect_{name}", "value": rates["macro"],
                          "n": rates["n"]}
            if name == "kl":
                yield cell | {"detector": f"{rule}-faulty", "metric": "detect_kl", "n": rates["n"],
                              "value": _faulty(detector, scores, predicted, success)}
            if name != "tv" and not (name == "marginal" and group.settings["model"] in NO_MARGINAL):
                accepted[rule] &= ~flags
                if name != "kl":
                    accepted[f"{rule}-likelihood"] &= ~flags        # by marginal and logit alone, as the paper argues
        for rule, quiet in accepted.items():
            yield cell | {"detector": rule} | _share("joint_success", success & quiet)


def _faulty(detector, scores: Tensor, predicted: np.ndarray, success: np.ndarray) -> float:
    """The KL rate that the published script prints, which scores the wrong inputs."""
    if not success.any():
        return np.nan
    rows, classes = metrics.kl_index_fault(predicted, success)
    flags = detector.flags(scores[rows], torch.from_numpy(classes)).numpy()
    return metrics.detection_rates(flags, classes, np.ones(len(classes), bool))["macro"]


def _clean(group: Pooled, detectors: dict):
    """On clean images: accuracy of one draw, saturation of the float32 softmax, false-positive rates on train
    and test."""
    if group.settings["experiment"] != "clean":
        return
    log_joint, label = group["test_log_joint"], group["test_label"].astype(np.int64)
    one_draw = {"attack": "clean", "variant": "one-draw"}
    yield one_draw | _share("accuracy", log_joint.argmax(1) == label)
    missing = -np.expm1(torch.from_numpy(log_joint).double().log_softmax(1).numpy()[np.arange(len(label)), label])
    yield one_draw | _share("saturated", missing <= HALF_STEP)      # not of a float32 softmax: it differs by machine
    for (name, rule), detector in detectors.items():
        for part in ("train", "test"):
            flags = detector.flags(torch.from_numpy(group[f"{part}_log_joint"])).numpy()
            yield {"attack": "clean", "variant": part, "detector": f"{rule}-micro"} | _share(f"fpr_{name}", flags)
