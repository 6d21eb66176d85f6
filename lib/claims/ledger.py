"""Verdicts on the claims of a paper, computed from rows by predicates that were written first, and their table."""
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lib.claims.contrasts import shown
from lib.claims.evidence import Evidence
from lib.claims.predicates import Finding, judge
from lib.published import PAPER

VERDICTS = ("holds", "holds as published", "fails", "undecided")
COLUMNS = ("id", "where", "statement", "published", "ours", "of", "asked", "n", "seeds", "profile", "verdict", "why",
           "also", "scope", "caution", "link", "needs")


@dataclass(frozen=True)
class Verdict:
    """One of VERDICTS, why, and the finding that it speaks of: the published test's, or the second one's.

    needs: what could settle it, or test it harder.
    """
    verdict: str
    why: str
    finding: Finding
    needs: tuple[str, ...] = ()


def claims(paper: str = "deep-bayes") -> list[dict]:
    """The claims of a paper, each with its predicate.

    Raises FileNotFoundError naming the papers that there are.
    """
    path = PAPER / f"{paper}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in PAPER.glob("*.json")))
        raise FileNotFoundError(f"there are no claims of a paper {paper!r}; choose one of {known}")
    return [{"where": claim.get("source", "")} | claim for claim in json.loads(path.read_text())["claims"]]


def verdict(claim: dict, rows: Evidence | dict[str, pd.DataFrame] | Path | str | None = None,
            profile: str = "laptop") -> Verdict:
    """Judge one claim under the published protocol, then under its second, harder test.

    rows: frames by experiment, or a results folder (whose records then allow pairing over images). A smoke run and
    missing rows leave it undecided, and `why` says so.
    """
    nothing = Finding(None, "")
    if profile == "smoke":
        return Verdict("undecided", "a smoke run shows that the machinery works; no verdict is drawn from it", nothing)
    evidence = rows if isinstance(rows, Evidence) else Evidence.of(rows, profile)
    scope = f"on {claim['predicate']['scope']}: " if "scope" in claim["predicate"] else ""
    first = judge(claim["predicate"]["published"], evidence)
    if first.truth is None:
        return Verdict("undecided", scope + first.why, first, first.needs)
    if first.truth is False:
        return Verdict("fails", scope + first.why, first)
    second = judge(claim["predicate"]["second"], evidence)
    if second.truth:
        return Verdict("holds", f"{scope}{first.why}; harder test: {second.why}", second)
    state = "not decided under the harder test" if second.truth is None else "false under the harder test"
    return Verdict("holds as published", f"{scope}{first.why}; {state}: {second.why}", first,
                   second.needs)


def ledger(paper: str = "deep-bayes", rows: dict[str, pd.DataFrame] | Path | str | None = None,
           profile: str = "laptop", seed: int = 0, without: tuple[str, ...] = ()) -> pd.DataFrame:
    """One line a claim, in the paper's order, with the columns COLUMNS.

    published is what the paper says, in words; ours the weakest link, with its 95 % interval: the number nearest to
    failing, or, where a claim fails, the one that fails most; of what that number is; asked where it should lie; n the
    images (or points of a grid), of a mean over cells those of the smallest, and seeds the trainings behind it; also
    what else the claim asks to be told whatever it is ("shows"); scope what the verdict is confined to; caution why it
    says little; link the page (and the place on it) that shows the rows.
    needs: what could settle an open claim, or test one harder that holds as published.
    seed: the training that decides; where there are rows of others, they must not turn an order round. without: models
    whose rows are left out.
    """
    evidence, lines = replace(Evidence.of(rows, profile, seed), without=without), []
    for claim in claims(paper):
        found = verdict(claim, evidence, profile)
        lines.append({"id": claim["id"], "where": claim["where"], "statement": claim["statement"],
                      "published": f"{claim['metric']}: {claim['direction']}", "ours": found.finding.ours,
                      "of": found.finding.of, "asked": found.finding.asked,
                      "n": found.finding.n, "seeds": found.finding.seeds,
                      "profile": profile, "verdict": found.verdict, "why": found.why, "also": also(claim, evidence),
                      "scope": claim["predicate"].get("scope", ""),
                      "caution": claim["predicate"].get("caution", ""),
                      "link": claim["predicate"].get("page", ""), "needs": "; ".join(found.needs)})
    return pd.DataFrame(lines, columns=list(COLUMNS))


def also(claim: dict, evidence: Evidence) -> str:
    """The rows that a claim's predicate wants shown whatever they are, as words; those that exist.

    A row that several trainings have is their mean, with the smallest and the largest.
    """
    said = []
    for wanted in claim["predicate"].get("shows", []):
        keys = {key: value for key, value in wanted.items() if key != "label"}
        if values := evidence.values(keys):
            mean = shown(sum(values) / len(values), keys["metric"])
            ends = " to ".join(shown(end, keys["metric"]).removesuffix(" %") for end in (min(values), max(values)))
            said.append(f"{wanted['label']}: {mean}" + (f" ({ends})" if len(values) > 1 else ""))
    return "; ".join(said)


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many claims got each verdict, all four named."""
    return {name: int((table.verdict == name).sum()) for name in VERDICTS}


def waiting(table: pd.DataFrame) -> pd.DataFrame:
    """What the ledger waits for: for each thing to come, the claims that it would decide or test harder."""
    need: dict[str, dict[str, list]] = {}
    for line in table[table.needs != ""].itertuples():
        column = "would decide" if line.verdict == "undecided" else "would test harder"
        for thing in line.needs.split("; "):
            need.setdefault(thing, {"would decide": [], "would test harder": []})[column].append(line.id)
    lines = {thing: {column: ", ".join(ids) for column, ids in columns.items()} for thing, columns in need.items()}
    columns = ["would decide", "would test harder"]
    return pd.DataFrame(list(lines.values()), index=list(lines), columns=columns).rename_axis("to come")
