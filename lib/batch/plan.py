"""What a batch has to make: records of units, executed pages, and which of them waits for which."""

import itertools
import re
from pathlib import Path

import nbformat
import yaml

from lib.pages import parameters
from lib.pages.__main__ import inside
from lib.results import RESULTS, ROOT
from lib.runs.experiments import AFTER, plan
from lib.runs.reading import READING

UNITS = ("stored", "all")


def wanted_units(choice: str | None, profile: str) -> str:
    """Which units a batch computes: "all" that the profile wants, or none but what is "stored" (the reading
    profile)."""
    if choice is None:
        return "stored" if profile == READING else "all"
    if choice not in UNITS:
        raise parameters.Wrong(f"UNITS = {choice!r}; expected one of {', '.join(UNITS)}")
    return choice


def reads(page: Path) -> list[str]:
    """The experiments that a page names in its code."""
    code = _code(page)
    return [name for name in AFTER
            if re.search(rf"lib\.runs\.{name}\b|import .*\b{name}\b|[\"']{name}(\.csv)?[\"']", code)]


def _code(page: Path) -> str:
    cells = nbformat.read(ROOT / page, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def wanted(pages: list[Path]) -> set[str]:
    """The experiments that pages read, and those that these wait for."""
    names = {name for page in pages for name in reads(page)}
    while more := {other for name in names for other in AFTER[name]} - names:
        names |= more
    return names


def grid(path: Path) -> tuple[Path, list[dict]]:
    """The page of a grid file and its settings: every combination of the values that are listed for its parameters.

    Raises Wrong naming the file for another key than `page` and `parameters`, a value that is no list, or a setting
    that the page does not take; nothing is run.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or set(content) != {"page", "parameters"}:
            raise parameters.Wrong("expected the keys page and parameters"
                                   + (f", got {', '.join(map(str, content))}" if isinstance(content, dict) else ""))
        axes = content["parameters"]
        if not isinstance(axes, dict) or not all(isinstance(values, list) and values for values in axes.values()):
            raise parameters.Wrong("parameters: expected a list of values for each name, such as `seed: [0, 1, 2]`")
        page = inside(str(ROOT / str(content["page"])))
        points = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
        for given in points:
            parameters.check_page(ROOT / page, given)
    except (parameters.Wrong, yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise parameters.Wrong(f"grid {path}: {error}") from None
    return page, points


def settings(pages: list[Path], profile: str, seed: int, device: str) -> list[tuple[Path, dict, Path]]:
    """Pages at the same three parameters: page, what it is given, where its copy goes. Raises Wrong."""
    given = {"profile": profile, "seed": seed, "device": device}
    for page in pages:
        parameters.check_page(ROOT / page, given)
    return [(page, given, page) for page in pages]


def grid_settings(path: Path, profile: str | None, seed: int | None, device: str) -> list[tuple[Path, dict, Path]]:
    """The same for a grid; what is given here stands where the grid has no axis of that name."""
    page, points = grid(path)
    common = {k: v for k, v in {"profile": profile, "seed": seed, "device": device}.items() if v is not None}
    digits = len(str(len(points) - 1))
    return [(page, common | given, page.with_suffix("") / f"{number:0{digits}d}.ipynb")
            for number, given in enumerate(points)]


def draw_up(jobs: list[tuple[Path, dict, Path]], build: Path, *, units: str | None, experiments: set[str], device: str,
            gpus: int, results: Path | None = None) -> dict:
    """The plan as the Snakefile reads it: missing units by record, pages by the copy that is made, all paths absolute.

    again: of the missing units those whose record is there, and was asked for fewer images than the profile wants now.
    units: see `wanted_units`. experiments: whose units the batch computes. A page waits for those of the experiments
    that it reads; for all of them where it draws up the ledger of claims.
    """
    code = [str(path) for room in ("lib", "data/paper") for path in sorted((ROOT / room).rglob("*.[pj]*"))
            if path.suffix in (".py", ".json")]
    pages, missing, known = {}, {}, {}
    for page, given, copy in jobs:
        scope = parameters.defaults(ROOT / page) | given
        key = scope["profile"], scope["seed"]
        if key not in known:
            found = plan(*key, results)
            found = found[found.experiment.isin(experiments) & (found.stored | (wanted_units(units, key[0]) == "all"))]
            missing |= {str(unit.record): unit for unit in found[~found.stored].itertuples()}
            known[key] = found
        read = sorted(experiments) if "ledger(" in _code(page) else reads(page)
        records = known[key].record[known[key].experiment.isin(read)]
        pages[str(build / copy)] = {"page": str(page), "given": given, "profile": key[0], "reads": read,
                                    "inputs": [str(ROOT / page), *code, *map(str, records)]}
    return {"units": {record: _job(unit, missing) for record, unit in missing.items()}, "pages": pages,
            "again": [record for record, unit in missing.items() if unit.record.exists()],
            "build": str(build), "results": str(Path(results or RESULTS)), "device": device, "gpus": gpus}


def _job(unit, missing: dict) -> dict:
    return {"experiment": unit.experiment, "unit": unit.unit, "images": unit.images, "profile": unit.profile,
            "words": f"lib.runs.{unit.experiment} --profile {unit.profile} --seed {unit.seed} --unit {unit.unit}",
            "after": [str(record) for record in unit.after if str(record) in missing]}
