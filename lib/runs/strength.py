"""What further attacks take off the AUC of the main test, compared on the same images (Yin et al. 2020, Tables 1,
8, 10)."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from lib import metrics, published
from lib.profiles import DETECTORS, SHORT_STEPS, SYSTEMS, namesake
from lib.results import RESULTS, Record, read_record, select
from lib.runs.auc import Test, main_test
from lib.runs.heads import trained_heads, variant_of
from lib.runs.reading import agreement
from lib.runs.systems import read
from lib.runs.training import checkpoint, dataset_of
from lib.runs.units import device_of
from lib.tables import MISSING, listed, number, percent

PRINTED = {"longer": "1", "normgrad": "8", "restarts": "10"}    # kind -> table that prints the test


def test_of(record: Record) -> Test:
    """The attack of a record of lib.runs.auc."""
    s = record.settings
    return Test(s["norm"], s["eps"], s["steps"], s["step_size"], s["attack"], s["restarts"])


def kind_of(test: Test, system: str, profile: str) -> str:
    """How a test differs from the main one: "main", "longer", "normgrad", "restarts", "training" (`auc.training_test`,
    the one test with a single random start), "other ball" or "step size"."""
    main = main_test(system, profile)
    if test == main:
        return "main"
    if (test.norm, test.eps) != (main.norm, main.eps):
        return "other ball"
    if test.restarts:
        return "restarts" if test.restarts > 1 else "training"
    if test.optimiser != main.optimiser:
        return test.optimiser
    return "longer" if test.steps > main.steps else "step size"


def with_kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """AUC rows with two more columns: kind (`kind_of`), and ball, the system whose training ball is attacked in."""
    rows = select(rows, metric="auc")
    tests = [Test(r.norm, r.eps, int(r.steps), r.step_size, r.attack, int(r.restarts)) for r in rows.itertuples()]
    kinds = [kind_of(test, r.variant, r.profile) for test, r in zip(tests, rows.itertuples())]
    balls = {(inner.norm, inner.eps): name for name, inner in SYSTEMS.items()}
    return rows.assign(kind=kinds, ball=[balls.get((test.norm, test.eps), "") for test in tests])


def taught(rows: pd.DataFrame) -> pd.DataFrame:
    """The AUC of each detector under the attack that trained it and under the main one, the largest fall first.

    rows: `with_kinds`. Columns: variant, class, training, main, fall; without detectors that lack either,
    perhaps empty.
    """
    both = rows[rows.kind.isin(["training", "main"])].pivot(index=["variant", "class"], columns="kind", values="value")
    both = both.reindex(columns=["training", "main"]).dropna().rename_axis(columns=None).reset_index()
    return both.assign(fall=both.training - both.main).sort_values("fall", ascending=False, ignore_index=True)


def fallen(found: pd.DataFrame, names: dict[str, str], by: float = 0.05) -> str:
    """Of `taught`: which classes of each system fall by more than `by`, in words. names: what systems are called."""
    said = []
    for system, lines in found.groupby("variant"):
        classes = sorted(lines[lines.fall > by]["class"])
        said.append(f"of {names[system]} {'class' if len(classes) == 1 else 'classes' if classes else 'none'} "
                    f"{', '.join(classes)}".strip())
    return "; ".join(said) or MISSING


def short_steps(rows: pd.DataFrame, printed: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Detectors that were trained once more with short inner steps, beside their namesakes, and how much of the
    distance from those to print they make up (a fraction, over all of them; NaN where there is none).

    rows: `with_kinds`. printed: published AUC under the main attack. Columns: as of `taught`, and n.
    """
    every, first = taught(rows), namesake(SHORT_STEPS)
    again = select(every, variant=SHORT_STEPS)
    found = every[every["class"].isin(again["class"]) & every.variant.isin([first, SHORT_STEPS])]
    n = rows[rows.kind == "main"].set_index(["variant", "class"]).n
    before, theirs = (select(frame, variant=first).set_index("class")[name].reindex(again["class"])
                      for frame, name in ((every, "main"), (printed, "value")))
    gained, missing = again.main.sum() - before.sum(), theirs.sum() - before.sum()
    return (found.assign(n=[n[key] for key in zip(found.variant, found["class"])]),
            gained / missing if len(again) else float("nan"))


def blame(share: float) -> str:
    """What a share of `short_steps` says of the long ones, by a rule that is older than the rows."""
    if np.isnan(share):
        return "No detector was trained with short steps here."
    why = ("So it was the inner attack of few, long steps" if share > 0.9 else
           "So it was not the inner attack of few, long steps" if share < 0.1 else
           "So the inner attack of few, long steps was a part of it, and not all")
    return (f"Short steps close {percent(share, 0)} of the gap between our AUC and the printed one. {why}: how many "
            "steps it takes, how long they are and what they cost changed together.")


def beside_print(main: pd.DataFrame, profile: str) -> pd.DataFrame:
    """Each system beside the published one, over the detectors that have rows under the main attack.

    main: `with_kinds`, of the main attack. Index: system, as in `profiles.SYSTEMS`; columns: detectors (how many),
    inner and published inner (steps and step size of the attack that trains), mean and published (AUC, over the classes
    that are printed too, or over all where none is), least and its class.
    """
    printed = pd.concat([select(published.auc("1"), steps=200), published.auc("11"), published.auc("12")])
    printed = printed.drop_duplicates(["variant", "class"])
    lines = {}
    for name in SYSTEMS:
        found, here, theirs = select(main, variant=name), DETECTORS[profile].inner(name), SYSTEMS[name]
        if len(found):
            same = printed[(printed.variant == name) & printed["class"].isin(found["class"])]
            both = found[found["class"].isin(same["class"])] if len(same) else found
            worst = found.loc[found.value.idxmin()]
            lines[name] = {"detectors": len(found), "inner": f"{here.steps} × {here.step_size:.2g}",
                           "published inner": f"{theirs.steps} × {theirs.step_size:g}", "mean": both.value.mean(),
                           "published": same.value.mean(), "least": worst.value, "class": worst["class"]}
    return pd.DataFrame(lines).T


def unprinted(crossed: pd.DataFrame, names: dict[str, str], by: float = 0.96) -> str:
    """Which detectors that the paper does not print for other balls fall below `by` in one, in words, lowest first.

    crossed: rows of `with_kinds`, with the printed AUC in the column theirs. names: what systems and balls are called.
    """
    alone = crossed[crossed.groupby(["variant", "class"]).theirs.transform("count") == 0]
    low = alone[(alone.kind == "other ball") & (alone.value < by)].sort_values("value")
    return listed([f"{number(line['value'], 2)} for class {line['class']} of {names[line['variant']]} under "
                   f"{names[line['ball']]}" for line in low.to_dict("records")], "none")


def in_short(rows: pd.DataFrame, system: str) -> tuple[int, str, str]:
    """How many detectors of a system have rows under the main attack, and the mean and the least AUC, as text."""
    found = with_kinds(select(rows, variant=system))
    found = found[found.kind == "main"].value
    return len(found), *(number(float(v), 4) if len(found) else MISSING for v in (found.mean(), found.min()))


def far_below(found: pd.DataFrame, names: dict[str, str], by: float = 0.01) -> str:
    """Of `beside_print`: which systems lie at most `by` below the printed mean, which farther, and which have none, in
    words. names: what systems are called."""
    gap = found["published"] - found["mean"] if len(found) else pd.Series(dtype=float)
    near, far, alone = ([names[system] for system in gap[there].index] for there in (gap <= by, gap > by, gap.isna()))
    return (f"at most {by:g} below the printed mean: {listed(near)}; farther below it: {listed(far)}"
            + (f"; without a printed one: {listed(alone)}" if alone else ""))


def records(profile: str, seed: int, results: Path | None = None) -> dict[tuple[str, str], dict[Test, Record]]:
    """All tests that are stored, by system and class."""
    found = {}
    for path in sorted((Path(results or RESULTS) / profile / "auc").glob(f"*_seed{seed}.npz")):
        record = read_record(path)
        found.setdefault((record.settings["variant"], str(record.settings["class"])), {})[test_of(record)] = record
    return found


def change(main: Record | Mapping, other: Record | Mapping) -> dict[str, float]:
    """AUC of the main test and of another on the negatives that both attacked, and how much the other takes off.

    low, high: 95 % over those negatives, paired; the positives are the same on both sides. n: negatives. A negative may
    have any share of the positives above it, so that a detector which stood firm on n of them may still give way on the
    next: even if nothing moved, the interval reaches 2.8 / (n + 2) to either side (`metrics.paired_difference`).
    """
    shared = np.intersect1d(main["index"], other["index"])
    if not len(shared):
        raise ValueError("the two tests share no image; expected both to start with the same ones")
    natural = other["natural"]
    before, after = ((1 - metrics.beaten(record["attacked"], natural))[np.isin(record["index"], shared)]
                     for record in (main, other))
    drop, low, high = metrics.paired_difference(before, after)
    return {"main": before.mean(), "other": after.mean(), "drop": drop, "low": low, "high": high, "n": len(shared)}


def compared(kind: str, profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """One line for each stored test of a kind: system, class, attack; columns of `change`, and the published AUC of the
    main attack and of this one where they are printed (NaN else; restarts are matched whatever their number). The main
    attack beside Table 8, which has no Adam, is that of Table 1."""
    lines, order = {}, list(SYSTEMS)
    stored = records(profile, seed, results)
    for (system, k), tests in sorted(stored.items(), key=lambda one: (order.index(namesake(one[0][0])), *one[0])):
        main = main_test(system, profile)
        for test, record in tests.items():
            if main in tests and kind_of(test, system, profile) == kind:
                starts = f", {test.restarts} starts" if test.restarts > 1 else ""
                lines[system, k, f"{test.steps} × {test.step_size:g}{starts}"] = change(tests[main], record) | {
                    "printed main": printed("1" if kind == "normgrad" else PRINTED.get(kind), system, k, main, False),
                    "printed": printed(PRINTED.get(kind), system, k, test, test.restarts > 0)}
    return pd.DataFrame(lines).T.rename_axis(["system", "class", "steps"]) if lines else pd.DataFrame()


def hardest(profile: str, seed: int, results: Path | None = None) -> pd.DataFrame:
    """As `compared`, but the other attack is the worst of all stored tests in the ball of the training, image by image:
    the largest logit that any of them reached counts. Of detectors that met more than the main attack and that of
    their training."""
    lines, order = {}, list(SYSTEMS)
    stored = records(profile, seed, results)
    for (system, k), tests in sorted(stored.items(), key=lambda one: (order.index(namesake(one[0][0])), *one[0])):
        main = main_test(system, profile)
        own = {test: record for test, record in tests.items() if kind_of(test, system, profile) != "other ball"}
        if main not in own or not {kind_of(test, system, profile) for test in own} - {"main", "training"}:
            continue
        shared = reduce(np.intersect1d, [record["index"] for record in own.values()])
        attacked = [record["attacked"][np.isin(record["index"], shared)] for record in own.values()]
        worst = {"index": shared, "natural": own[main]["natural"], "attacked": np.max(attacked, axis=0)}
        lines[system, k, f"{len(own)} attacks"] = change(own[main], worst) | {"printed main": np.nan, "printed": np.nan}
    return pd.DataFrame(lines).T.rename_axis(["system", "class", "steps"]) if lines else pd.DataFrame()


def printed(table: str | None, system: str, k: str, test: Test, restarted: bool) -> float:
    """The published AUC of a test on a detector, NaN where the table has none."""
    if table is None:
        return np.nan
    rows = select(published.auc(table), variant=system, steps=test.steps, step_size=test.step_size, **{"class": k})
    rows = rows[(rows.restarts > 0) == restarted]
    return float(rows.value.iloc[0]) if len(rows) else np.nan


def spot_check(system: str, profile: str, seed: int, device: str, classes=(0, 9), images: int = 4,
               results: Path | None = None) -> str:
    """Detectors read the first test images of their class again: one line says if the logits agree with the record."""
    pairs, stored, test = {}, records(profile, seed, results), dataset_of(profile).test
    for k in [k for k in classes if k in DETECTORS[profile].systems.get(system, ())]:
        tests = stored.get((system, str(k)), {})
        if tests and checkpoint("GAT", profile, seed, variant_of(system, k), results).exists():
            heads = trained_heads(system, profile, seed, device_of(device), results, classes=(k,))
            x = test.images((test.y == k).nonzero()[:images, 0])
            pairs[f"detector {k}"] = (read(heads, x, device_of(device))[:, 0],
                                      next(iter(tests.values()))["natural"][:images])
    return agreement(pairs, images)
