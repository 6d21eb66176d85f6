"""From records of `lib.runs.detection` to rows: accuracy and error at fixed shares of natural rejection."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.detectors.one_vs_rest import Curve, Reject, curve, generative, integrated
from lib.metrics import WORST, wilson
from lib.results import COLUMNS, Record, same

SYSTEMS = ("GAT-integrated", "GAT-generative", "Madry")
REJECTED = (0.0, 0.01, 0.05)        # of natural images; thresholds are fitted on validation images


def reading(record: Record, system: str, offsets: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a system reads in each image of a record, and the score by which it accepts.

    offsets: subtracted from the detectors' logits, one a class (`class_offsets`).
    """
    heads = record["heads"] if offsets is None else record["heads"] - offsets
    if system == "GAT-integrated":
        return integrated(record["f"], heads)
    return generative(record["madry"] if system == "Madry" else heads)


def class_offsets(validation: Record, rejected: float) -> np.ndarray:
    """The logit under which each detector would reject this share of its own class, (class): an ablation of ours.

    Detectors are trained apart, so nothing makes their logits comparable; subtracting this gives them a common zero.
    Raises ValueError naming the classes without an image.
    """
    labels, heads = validation["label"], validation["heads"]
    if missing := sorted(set(range(heads.shape[1])) - set(labels.tolist())):
        raise ValueError(
            f"no validation image has label {missing}; every class needs some to set its threshold: hold out more")
    return np.array([Reject.fit(heads[labels == k, k], rejected).threshold for k in range(heads.shape[1])])


def fitted(validation: Record, system: str, rejected: float, per_class: bool = False
           ) -> Callable[[Record], tuple[np.ndarray, np.ndarray]]:
    """A system at the threshold that rejects this share of validation images, none at 0; or at one threshold a class.

    Returns a function of a record: whether each image is read right, and whether it is accepted.
    """
    offsets = class_offsets(validation, rejected) if per_class else None
    threshold = Reject(0.0) if per_class else Reject.fit(reading(validation, system)[1], rejected)
    if not rejected:
        threshold = Reject(-np.inf)

    def outcome(record: Record) -> tuple[np.ndarray, np.ndarray]:
        read, score = reading(record, system, offsets)
        return read == record["label"], threshold.accepts(score)

    return outcome


def reject_curve(clean: Record, attacked: Record, system: str, n: int | None = None) -> Curve:
    """The exact reject curve of a system under one attack, on its first n images."""
    (read, score), (misread, attacked_score) = reading(clean, system), reading(attacked, system)
    return curve(score, read == clean["label"], attacked_score[:n], (misread != attacked["label"])[:n])


def summarise(records: list[Record]) -> list[dict]:
    """accuracy (13) on natural test images and error (14) under each attack, at thresholds that reject 0, 1 and 5 % of
    validation images. Column detector names the share, and "per class" where each class has a threshold of its own. In
    the worst case an image is lost if any attack on it succeeds, at this radius or a smaller one, whose ball lies
    inside (over the images that all attacks share).
    target_reached: of images pushed towards a random class, the share whose logit of it is as high as natural ones have
    (`reached`), on the attacked system."""
    rows, groups = [], defaultdict(list)
    for record in records:
        groups[(record.settings["variant"], record.settings["seed"])].append(record)
    for group in groups.values():
        same(group, "weights")
        natural = {r.settings["attack"]: r for r in group if not r.settings["loss"]}
        attacks = [r for r in group if r.settings["loss"]]
        if {"clean", "validation"} <= natural.keys():
            rows += [row for system in SYSTEMS for row in _rows(natural, attacks, system)]
            rows += [_key(record, record.settings["system"]) | {"loss": label(record)}
                     | _share("target_reached", reached(natural["clean"], record, record.settings["system"]))
                     for record in attacks if "target" in record.arrays]
    return rows


def reached(clean: Record, attacked: Record, system: str, share: float = 0.05) -> np.ndarray:
    """Whether the logit of the target class lies above the `share` quantile of that class's natural test
    images, (image).

    Images of a target without natural ones in `clean` count as not reached.
    """
    (own, natural), (target, pushed) = (class_logits(record, system) for record in (clean, attacked))
    floor = np.full(max(own.max(), target.max()) + 1, np.inf)
    for k in np.unique(own):
        floor[k] = Reject.fit(natural[own == k], share).threshold
    return pushed >= floor[target]


def class_logits(record: Record, system: str) -> tuple[np.ndarray, np.ndarray]:
    """A class for each image, its target or else its label, and the logit that a system gives to that class."""
    wanted = record["target" if "target" in record.arrays else "label"].astype(int)
    logits = record["madry" if system == "Madry" else "heads"]
    return wanted, np.take_along_axis(logits, wanted[:, None], axis=1)[:, 0]


def detector_name(rejected: float, per_class: bool = False) -> str:
    """As rows name a threshold: "reject 5%", "reject 5%, per class"."""
    return f"reject {rejected:.0%}" + (", per class" if per_class else "")


def _rows(natural: dict[str, Record], attacks: list[Record], system: str) -> list[dict]:
    rows = []
    for rejected in REJECTED:
        for per_class in (False, True) if rejected and system != "Madry" else (False,):
            detector, outcome = (detector_name(rejected, per_class),
                                 fitted(natural["validation"], system, rejected, per_class))
            right, accepted = outcome(natural["clean"])
            key = _key(natural["clean"], system) | {"detector": detector, "protocol": "published"}
            rows += [key | {"attack": "clean"} | _share("accuracy", right & accepted),
                     key | {"attack": "clean"} | _share("accepted", accepted)]
            lost = {}
            for record in attacks:
                right, accepted = outcome(record)
                rows.append(_key(record, system) | {"detector": detector, "loss": label(record)}
                            | _share("error", ~right & accepted))
                lost.setdefault(record.settings["eps"], []).append(~right & accepted)
            rows += [key | {"attack": "adam-pgd", "norm": "linf", "eps": eps, "loss": WORST, "protocol": "strong"}
                     | _share("error", np.any([one[:min(map(len, found))] for one in found], axis=0))
                     for eps in lost
                     for found in [[one for smaller in lost if smaller <= eps for one in lost[smaller]]]]
    return rows


def _key(record: Record, system: str) -> dict:
    return {k: v for k, v in record.settings.items() if k in COLUMNS} | {"model": system}


def _share(metric: str, hits: np.ndarray) -> dict:
    low, high = wilson(hits.mean(), len(hits))
    return {"metric": metric, "value": float(hits.mean()), "low": low, "high": high, "n": len(hits)}


def cut_to_whole_numbers(records: list[Record], rejected: float = 0.05) -> pd.DataFrame:
    """The integrated system with its logits as they are, and cut towards zero as the authors' script stores them.

    Returns a line an attack: error with exact logits, with whole ones (thresholds fitted alike on each), and the
    largest difference of the two error curves over all shares of rejected validation images that whole numbers
    can reach.
    """
    natural = {r.settings["attack"]: r for r in records if not r.settings["loss"]}
    scores = reading(natural["validation"], "GAT-integrated")[1]
    steps = np.unique(np.trunc(scores))
    lines = {}
    for record in (r for r in records if r.settings["loss"]):
        read, score = reading(record, "GAT-integrated")
        lost, whole = read != record["label"], np.trunc(score)
        exact_at = [np.mean(lost & Reject.fit(scores, np.mean(np.trunc(scores) < t)).accepts(score)) for t in steps]
        whole_at = [np.mean(lost & (whole >= t)) for t in steps]
        lines[label(record)] = {
            "exact": np.mean(lost & Reject.fit(scores, rejected).accepts(score)),
            "whole": np.mean(lost & Reject.fit(np.trunc(scores), rejected).accepts(whole)),
            "largest difference": np.abs(np.subtract(exact_at, whole_at)).max(), "n": len(lost)}
    return pd.DataFrame(lines).T.rename_axis("attack")


def label(record: Record) -> str:
    """An attack in words: its loss, and whether best iterates were taken."""
    return record.settings["loss"] + (", best iterate" if record.settings["best"] else "")
