"""What became of the jobs of a batch, read from what they left behind."""

import json
from pathlib import Path

import pandas as pd

from lib.results import read_record, read_rows
from lib.runs.units import stored

COLUMNS = ("job", "status", "seconds", "rows", "problem")


def row_counts(results: Path, profiles: set[str]) -> dict[tuple[str, str], int]:
    """How many rows each experiment has, by profile and name."""
    return {(profile, path.stem): len(read_rows(path)) for profile in sorted(profiles)
            for path in sorted((results / profile).glob("*.csv"))}


def table(plan: dict, since: float, before: dict[tuple[str, str], int]) -> pd.DataFrame:
    """A line for each experiment that had units to compute, then one for each page.

    since: when the batch began (seconds of the epoch). before: `row_counts` of that moment. seconds: of the units
    together, or of the page. rows: how many the experiment gained, and for a page those of all it reads.
    status: ok; kept (its copy was newer than all it is made from); failed; not run (what it waits for failed).
    """
    after = row_counts(Path(plan["results"]),
                       {job["profile"] for jobs in ("units", "pages") for job in plan[jobs].values()})
    gained = {key: count - before.get(key, 0) for key, count in after.items()}
    lines = _experiments(plan, since, gained)
    for copy, job in plan["pages"].items():
        name = str(Path(copy).relative_to(plan["build"]))
        said = Path(plan["build"]) / "log" / Path(name).with_suffix(".json")
        fresh = said.exists() and said.stat().st_mtime >= since
        told = json.loads(said.read_text()) if fresh else {"problem": "", "seconds": float("nan")}
        status = "failed" if told["problem"] else "ok" if fresh else "kept" if _newest(copy, job) else "not run"
        lines.append({"job": name, "status": status,
                      "rows": sum(gained.get((job["profile"], name), 0) for name in job["reads"]),
                      **told})
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _newest(copy: str, job: dict) -> bool:
    """Whether a page's copy is there and newer than all that it is made from."""
    made_from = [Path(path) for path in job.get("inputs", ())]
    return Path(copy).exists() and all(
        path.exists() and path.stat().st_mtime <= Path(copy).stat().st_mtime for path in made_from)


def _experiments(plan: dict, since: float, gained: dict) -> list[dict]:
    groups: dict[tuple[str, str], dict[str, Path]] = {}
    for record, job in plan["units"].items():
        groups.setdefault((job["profile"], job["experiment"]), {})[job["unit"]] = Path(record)
    wanted = {record: job["images"] for record, job in plan["units"].items()}
    lines = []
    for (profile, name), units in groups.items():
        done = {unit: record for unit, record in units.items() if stored(record, wanted[str(record)])}
        logs = {unit: Path(plan["build"]) / "log" / profile / name / f"{unit}.txt" for unit in units}
        failed = [unit for unit in units
                  if unit not in done and logs[unit].exists() and logs[unit].stat().st_mtime >= since]
        status = "failed" if failed else "ok" if len(done) == len(units) else "not run"
        problem = f"{failed[0]}: {last_line(logs[failed[0]])}" if failed else ""
        lines.append({"job": f"{name}, {profile}: {len(done)} of {len(units)} units", "status": status,
                      "problem": problem,
                      "seconds": sum(read_record(record).settings["seconds"] for record in done.values()),
                      "rows": gained.get((profile, name), 0)})
    return lines


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].split("\r")[-1] if lines else "its log is empty: it was killed, or ran out of memory"


def as_text(table: pd.DataFrame) -> str:
    """The table for a terminal: a line a job, then how many there are of each status."""
    width = max(map(len, table.job), default=0)
    lines = [f"{line.job:{width}}  {line.status:7} {_seconds(line.seconds):>8}  {line.rows:6d} rows"
             + (f"  {line.problem}" if line.problem else "") for line in table.itertuples()]
    counts = ", ".join(f"{count} {status}" for status, count in table.status.value_counts().items())
    return "\n".join([*lines, counts or "nothing to do"])


def _seconds(seconds: float) -> str:
    return "–" if pd.isna(seconds) else f"{seconds:.1f} s"
