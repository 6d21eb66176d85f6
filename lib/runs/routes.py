"""What the page on distances reads from the records of lib.runs.distortion: by aim, and by how the way was searched."""

from pathlib import Path

import numpy as np
import pandas as pd

from lib import tables
from lib.metrics import mean_interval
from lib.results import RESULTS, Record, read_record
from lib.runs.distortion import NEAREST
from lib.runs.training import dataset_of

PUBLISHED, SMALLER, BEST = "published step", "smaller steps", "smaller steps, best iterate"
SEARCHES = (PUBLISHED, SMALLER, BEST)
AIMS = ("random", "untargeted")
EVERY = "nearest of all"        # what the rows of distortion.NEAREST are called
LONG = 1.0          # Adam's rate in the authors' script, in pixels


def search(rows: pd.DataFrame) -> pd.Series:
    """How the way was searched, one of SEARCHES or EVERY for each row of lib.runs.distortion."""
    words = [EVERY if loss == NEAREST else _search(step, protocol)
             for loss, step, protocol in zip(rows.loss, rows.step_size, rows.protocol)]
    return pd.Series(words, rows.index, dtype=object, name="search")


def _search(step_size: float, protocol: str) -> str:
    if protocol == "strong":
        return BEST
    return PUBLISHED if step_size >= LONG else SMALLER


def records(system: str, profile: str, seed: int, results: Path | None = None) -> dict[tuple[str, str], Record]:
    """What is stored of a system, by aim and search, in the order of AIMS and SEARCHES."""
    folder = Path(results or RESULTS) / profile / "distortion"
    found = [read_record(path) for path in folder.glob(f"GAT_{system}_*_seed{seed}.npz")]
    keyed = {(r.settings["loss"], _search(r.settings["step_size"], r.settings["protocol"])): r for r in found}
    return {(aim, how): keyed[aim, how] for aim in AIMS for how in SEARCHES if (aim, how) in keyed}


def distances(system: str, profile: str, seed: int, results: Path | None = None) -> dict[str, tuple]:
    """For `plots.distances`: "random aim, published step" -> (L2 image by image, whether the image got there), on the
    images that every search had, the first ones; last, where there are several, the shortest way of all to each."""
    found = records(system, profile, seed, results)
    shared = min((len(record["l2"]) for record in found.values()), default=0)
    cases = {f"{name(aim)}, {how}": (record["l2"][:shared], record["success"][:shared])
             for (aim, how), record in found.items()}
    if len(cases) > 1:
        far = np.min([np.where(ok, l2, np.inf) for l2, ok in cases.values()], axis=0)
        cases[EVERY] = (far, np.isfinite(far))
    return cases


def unmoved(system: str, profile: str, seed: int, aim: str, how: str,
            results: Path | None = None) -> tuple[int, int, int] | None:
    """Of a search: images that it never moved into another class, images it had, steps in a round. None
    without records."""
    record = records(system, profile, seed, results).get((aim, how))
    if record is None:
        return None
    return int((~record["success"]).sum()), len(record["success"]), int(record.settings["steps"])


def threshold(system: str, profile: str, seed: int, results: Path | None = None) -> float:
    """The logit from which the searches of a system count an image as accepted; NaN without records.

    One for all: fitted on several machines, it may differ in its last digits. Raises ValueError if it differs by more.
    """
    found = [record.settings["threshold"] for record in records(system, profile, seed, results).values()]
    if found and not np.allclose(found, found[0], atol=0.01):
        raise ValueError(f"searches of {system} have different thresholds: {sorted(set(found))}; expected one")
    return found[0] if found else np.nan


def farther(system: str, profile: str, seed: int, results: Path | None = None) -> str:
    """How many images go farther without an aim than with a random one, or nowhere, in a sentence: from the search with
    the fewest such images to the one with the most, among the images that both aims had."""
    found, counts, n = records(system, profile, seed, results), [], []
    for how in SEARCHES:
        if all((aim, how) in found for aim in AIMS):
            n.append(min(len(found[aim, how]["l2"]) for aim in AIMS))
            aimed, free = (np.where(record["success"], record["l2"], np.inf)[:n[-1]]
                           for record in (found[aim, how] for aim in AIMS))
            counts.append(int((free > aimed).sum()))
    if not counts:
        return "No search has rows under both aims in this copy yet."
    count, images = (tables.span(min(each), max(each), "{:.0f}".format) for each in (counts, n))
    return (f"In our searches {count} of {images} images need a longer way without an aim than with a random one, or "
            "are not moved at all.")


def name(aim: str) -> str:
    """An aim in words."""
    return {"random": "random aim", "untargeted": "no aim", NEAREST: "whichever aim"}[aim]


def changes(system: str, profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """How much shorter the way gets by a change of search, a line for each pair of searches of one aim that are stored;
    then by dropping the aim, a line for each search that both aims have.

    Columns: shorter (mean over images on which both succeed, in L2), low, high (95 %, paired), n (such images).
    """
    found = records(system, profile, seed, results)
    pairs = {(name(aim), change): ((aim, before), (aim, after)) for aim in AIMS for before, after, change in (
        (PUBLISHED, SMALLER, "a tenth of the step"), (SMALLER, BEST, "every iterate looked at"),
        (PUBLISHED, BEST, "both"))}
    pairs |= {("from random to none", how): tuple((aim, how) for aim in AIMS) for how in SEARCHES}
    lines = {words: _shorter(found[a], found[b]) for words, (a, b) in pairs.items() if a in found and b in found}
    return pd.DataFrame(lines).T.rename_axis(["aim", "change"]).astype({"n": int}) if lines else pd.DataFrame()


def most_in_words(pairs: pd.DataFrame) -> str:
    """Which kind of change shortens the way most, by `changes`: dropping the aim, the iterates or the step."""
    if pairs.empty:
        return "No two searches have rows in this copy yet."
    aim, change = (pairs.index.get_level_values(level) for level in ("aim", "change"))
    kinds = {"dropping the aim": aim == "from random to none",
             "looking at every iterate": change == "every iterate looked at",
             "a tenth of the step": change == "a tenth of the step"}
    found = {words: pairs[there] for words, there in kinds.items() if there.any()}
    form, said = lambda value: tables.number(value, 1).replace("-", "−"), []
    for words, lines in sorted(found.items(), key=lambda one: -one[1].shorter.mean()):
        ends = tables.span(lines.shorter.min(), lines.shorter.max(), form)
        sure = "every interval above zero" if (lines.low > 0).all() else (
            "no interval above zero" if not (lines.low > 0).any() else "not every interval above zero")
        n = tables.span(float(lines.n.min()), float(lines.n.max()), "{:.0f}".format)
        said.append(f"{words} by {ends} ({sure}, n {n})")
    return f"What shortens the way, the most first: {'; '.join(said)}."


def _shorter(a: Record, b: Record) -> dict[str, float]:
    n = min(len(a["l2"]), len(b["l2"]))
    both = a["success"][:n] & b["success"][:n]
    shorter, low, high = mean_interval((a["l2"][:n] - b["l2"][:n])[both].astype(float))
    return {"shorter": shorter, "low": low, "high": high, "n": int(both.sum())}


def pictures(system: str, profile: str, seed: int, results: Path | None = None) -> dict:
    """Arguments of `plots.grid`: the first test images and the closest accepted ones, a row for each aim and search.

    The caption is what the generative system reads there, and the distance; an image that never got there is left out.
    """
    found = records(system, profile, seed, results)
    if not found:
        return {"images": [], "rows": [], "columns": []}
    count = min(len(record["thumbs"]) for record in found.values())
    test = dataset_of(profile).test
    images, captions = [list(test.images(slice(0, count))[:, 0].numpy())], [[""] * count]
    for record in found.values():
        ok, read = record["success"][:count], record["heads"].argmax(1)
        images.append([record["thumbs"][i, 0] if ok[i] else None for i in range(count)])
        captions.append([f"{read[i]}, {record['l2'][i]:.2f}" if ok[i] else "" for i in range(count)])
    return {"images": images,
            "rows": ["test image", *(f"{name(aim)}, {how}".replace(", ", ",\n") for aim, how in found)],
            "columns": [f"a {int(label)}" for label in test.labels(slice(0, count))], "captions": captions}


def spot_check(system: str, profile: str, seed: int, results: Path | None = None) -> str:
    """Whether the stored pictures lie as far from their test images as the record says, in a sentence.

    Pictures are rounded to 256 levels, each pixel by at most 1/510: the distance may differ by the length of that.
    """
    found, wrong = records(system, profile, seed, results), []
    for (aim, how), record in found.items():
        thumbs = record["thumbs"].astype(np.float64) / 255
        clean = dataset_of(profile).test.images(slice(0, len(thumbs))).numpy().astype(np.float64)
        again = np.sqrt(((thumbs - clean) ** 2).sum((1, 2, 3)))
        far = np.abs(again - record["l2"][:len(thumbs)])
        wrong += [f"{name(aim)}, {how}"] if (far > np.sqrt(clean[0].size) / 510 + 1e-4).any() else []
    if not found:
        return "Nothing to compare: there are no records yet."
    if wrong:
        return f"Stored pictures DIFFER from the record: {'; '.join(wrong)}."
    return f"Pictures of {len(found)} records lie as far from their test images as the records say."
