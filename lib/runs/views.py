"""What pages read from the records of lib.runs.detection: reject curves, worst cases, and pictures with their
readings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.detectors.one_vs_rest import Curve, Reject, curve
from lib.metrics import wilson
from lib.profiles import DETECTORS
from lib.results import RESULTS, Record, read_record
from lib.runs.heads import variant_of
from lib.runs.reading import agreement
from lib.runs.reject import WORST, class_logits, fitted, label, reading, reject_curve
from lib.runs.systems import networks, read
from lib.runs.training import checkpoint, dataset_of
from lib.runs.units import device_of
from lib.tables import percent


@dataclass(frozen=True)
class Bench:
    """All records of one system of detectors and one seed. attacks: by words ("switching (12), best iterate")
    and eps."""

    system: str
    natural: dict[str, Record]
    attacks: dict[tuple[str, float], Record]

    @property
    def ready(self) -> bool:
        """Whether natural images are there; without them no threshold can be fitted."""
        return {"clean", "validation"} <= self.natural.keys()

    def at(self, eps: float) -> dict[str, Record]:
        """The attacks at one radius, by their words, in the order of the plan."""
        return {words: record for (words, radius), record in self.attacks.items() if np.isclose(radius, eps)}

    def within(self, eps: float) -> list[Record]:
        """The attacks at one radius and at smaller ones, whose balls lie inside: what a worst case is taken over."""
        return [record for (_, radius), record in self.attacks.items() if radius <= eps + 1e-9]

    def shared(self, eps: float) -> int:
        """How many images all attacks `within` a radius got: the first ones."""
        return min((len(record["label"]) for record in self.within(eps)), default=0)


def bench(system: str, profile: str, seed: int, results: Path | None = None) -> Bench:
    """What is stored of a system, which may be nothing."""
    folder = Path(results or RESULTS) / profile / "detection"
    records = [read_record(path) for path in sorted(folder.glob(f"GAT_{system}_*_seed{seed}.npz"))]
    attacks = {(label(r), r.settings["eps"]): r for r in records if r.settings["loss"]}
    return Bench(system, {r.settings["attack"]: r for r in records if not r.settings["loss"]}, attacks)


def curves(of: Bench, model: str, words, eps: float) -> dict[str, Curve]:
    """Exact reject curves of one of reject.SYSTEMS under the attacks of these words that are stored; WORST among them
    is the worst case over every attack in this ball, and then the others stand on the images of the worst case too."""
    there, found = of.at(eps) if of.ready else {}, {}
    n = of.shared(eps) if WORST in words else None
    for name in words:
        if name in there:
            found[name] = reject_curve(of.natural["clean"], there[name], model, n)
        elif name == WORST and there:
            found[name] = worst_curve(of.natural["clean"], of.within(eps), model)
    return found


def worst_curve(clean: Record, attacked: list[Record], model: str) -> Curve:
    """The reject curve where an image is lost if any attack on it is misread and accepted.

    Over the images that all attacks share: the first ones, of which each attack got as many as its record holds.
    """
    read, score = reading(clean, model)
    top = hardest(attacked, model)
    return curve(score, read == clean["label"], top, top > -np.inf)


def hardest(attacked: list[Record], model: str) -> np.ndarray:
    """The highest score at which any of the attacks makes the system misread an image, (image); minus infinity
    for none.

    Raises ValueError where records do not start with the same images.
    """
    shared = min(len(record["label"]) for record in attacked)
    if any(not np.array_equal(record["index"][:shared], attacked[0]["index"][:shared]) for record in attacked):
        raise ValueError("records hold different images; expected each to start with the same ones")
    found = []
    for record in attacked:
        read, score = reading(record, model)
        found.append(np.where(read != record["label"], score, -np.inf)[:shared])
    return np.max(found, axis=0)


def lost(of: Bench, model: str, words: str, eps: float, rejected: float, per_class: bool = False) -> np.ndarray | None:
    """Which images of an attack a system misreads and accepts, at a threshold of `reject.fitted`; None
    without records."""
    record = of.at(eps).get(words)
    if record is None or not of.ready:
        return None
    right, accepted = fitted(of.natural["validation"], model, rejected, per_class)(record)
    return ~right & accepted


def read_by_others(of: Bench, cases: dict[str, tuple[str, str]], radii=(0.3, 0.4)) -> pd.DataFrame:
    """Images that a system misreads under an attack, and what f makes of them, which was not attacked.

    cases: system -> (the attack on it, a second reader: another of reject.SYSTEMS). A line a system and radius with
    columns misread (share of images), and of the n misread ones: f agrees (f sees the same wrong class), f sees
    the true class, second agrees; second names it. Each share has its 95 % interval in "low ..." and "high ...".
    """
    lines = {}
    for model, (words, second) in cases.items():
        for eps in radii:
            if (record := of.at(eps).get(words)) is not None:
                seen, _ = reading(record, model)
                other, _ = reading(record, second)
                misread, f = seen != record["label"], record["f"].argmax(1)
                hits = {"misread": misread, "f agrees": (f == seen)[misread], "second agrees": (other == seen)[misread],
                        "f sees the true class": (f == record["label"])[misread]}
                line = lines[model, f"{eps:g}"] = {"second": second, "n": int(misread.sum())}
                for name, found in hits.items():
                    share = found.mean() if len(found) else np.nan
                    low, high = wilson(share, len(found)) if len(found) else (np.nan, np.nan)
                    line |= {name: share, f"low {name}": low, f"high {name}": high}
    return pd.DataFrame(lines).T.rename_axis(["model", "eps"]) if lines else pd.DataFrame()


def read_as_target(of: Bench, cases: dict[str, str], eps: float) -> pd.DataFrame:
    """How often images pushed towards a class are read as that class: by whom they were made (model), by whom they are
    read (reader: f, which was not attacked, or one of reject.SYSTEMS), value with low and high, n.

    cases: attacked system -> words of its attack.
    """
    rows = []
    for model, words in cases.items():
        if (record := of.at(eps).get(words)) is not None:
            seen = {reader: reading(record, reader)[0] for reader in cases} | {"f": record["f"].argmax(1)}
            for reader, classes in seen.items():
                share = float((classes == record["target"]).mean())
                low, high = wilson(share, len(classes))
                rows.append({"model": model, "reader": reader, "value": share, "low": low, "high": high,
                             "n": len(classes)})
    return pd.DataFrame(rows, columns=["model", "reader", "value", "low", "high", "n"])


def scores(of: Bench, model: str, words: str, eps: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Winning logits on natural images that are read right, and on attacked ones that are not; None without records."""
    record = of.at(eps).get(words)
    if record is None or not of.ready:
        return None
    clean = of.natural["clean"]
    (right, natural), (seen, attacked) = reading(clean, model), reading(record, model)
    return natural[right == clean["label"]], attacked[seen != record["label"]]


def target_scores(of: Bench, model: str, words: str, eps: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Logits of their own class on natural images, and of the target on images pushed towards it; None
    without records."""
    record = of.at(eps).get(words)
    if record is None or not of.ready:
        return None
    return class_logits(of.natural["clean"], model)[1], class_logits(record, model)[1]


def as_likely(natural: np.ndarray, attacked: np.ndarray, share: float = 0.05) -> tuple[float, float, float, int]:
    """Share of attacked images whose winning logit lies above the `share` quantile of natural ones; low, high, n."""
    if not len(attacked):
        return np.nan, np.nan, np.nan, 0
    above = Reject.fit(natural, share).accepts(attacked)
    return (float(above.mean()), *wilson(above.mean(), len(above)), len(above))


def pictures(of: Bench, clean: np.ndarray, cases: dict[str, tuple[str, str, float]], rejected: float = 0.01) -> dict:
    """Arguments of `plots.grid`: the first test images, unselected, and what attacks made of them, a row each, named
    also by the share of all its images that deceive: a few pictures may by chance hold none or hold nothing else.

    clean: (image, H, W) in [0, 1]. cases: row name -> (system, attack, eps). The caption says what the attacked system
    reads, in brackets if it refuses the image, and what f reads; a red frame marks what the system misreads
    and accepts.
    rejected: share of validation images that the threshold refuses. Where all attacks go towards a class, the same in
    all rows, columns name it.
    """
    found = {row: (model, of.at(eps)[words]) for row, (model, words, eps) in cases.items() if words in of.at(eps)}
    count = min((len(record["thumbs"]) for _, record in found.values()), default=0)
    images, captions, flagged, rows = [list(clean[:count])], [[""] * count], [[False] * count], ["test image"]
    for row, (model, record) in found.items():
        seen, f = reading(record, model)[0], record["f"].argmax(1)
        accepted = fitted(of.natural["validation"], model, rejected)(record)[1] if of.ready else seen == seen
        deceived = accepted & (seen != record["label"])
        images.append(list(record["thumbs"][:count, 0]))
        captions.append([f"{a}, f: {b}" if passed else f"({a}), f: {b}"
                         for a, b, passed in zip(seen[:count], f, accepted)])
        flagged.append(deceived[:count].tolist())
        rows.append(f"{row}\n{percent(deceived.mean(), 0)} of {len(deceived)}")
    first = next(iter(found.values()))[1] if found else None
    columns = [f"a {k}" for k in first["label"][:count]] if found else []
    if found and all("target" in record.arrays for _, record in found.values()):
        columns = [f"{own} to {k}" for own, k in zip(first["label"][:count], first["target"])]
    return {"images": images, "rows": rows if found else [], "columns": columns,
            "captions": captions, "flagged": flagged}


def spot_check(system: str, profile: str, seed: int, device: str, images: int = 4, results: Path | None = None) -> str:
    """Read the first test images again with the weights of the record: one line says if the logits agree."""
    clean, target = bench(system, profile, seed, results).natural.get("clean"), device_of(device)
    weights = [checkpoint("GAT", profile, seed, variant_of(system, k), results)
               for k in DETECTORS[profile].systems[system]]
    weights += [checkpoint(name, profile, 0, "", results) for name in ("f", "Madry")]
    if clean is None or not all(path.exists() for path in weights):
        return agreement({}, images)
    x = dataset_of(profile).test.images(slice(0, images))
    nets = networks(profile, seed, results)(system, target)
    return agreement({name: (read(net, x, target), clean[name][:images]) for name, net in nets.items()}, images)
