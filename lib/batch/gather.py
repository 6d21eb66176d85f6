"""One table from the executed copies of a grid: what was set, and the numbers that the page glued."""

import ast
from pathlib import Path

import nbformat
import pandas as pd

from lib.results import atomic

PREFIX = "application/papermill.record/text/plain"


def glued(copy: Path) -> dict[str, object]:
    """What a page glued as plain values, by name."""
    found = {}
    for cell in nbformat.read(copy, as_version=4).cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(PREFIX)
            if name and text is not None:
                found[name] = _value(text)
    return found


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def settings_table(plan: dict) -> pd.DataFrame:
    """A line a setting: its parameters, whether there is a copy, and what the copy glued."""
    lines = []
    for copy, job in plan["pages"].items():
        done = Path(copy).exists()
        lines.append(job["given"] | {"done": done} | (glued(Path(copy)) if done else {}))
    return pd.DataFrame(lines)


def written(plan: dict, path: Path) -> str:
    """Write the table as CSV, and return it as text."""
    table = settings_table(plan)
    with atomic(path) as part:
        table.to_csv(part, index=False)
    return f"\n{table.to_string(index=False)}\n\n{path}"
