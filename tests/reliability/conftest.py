"""Counts of the faults that these tests bring about; with FAULTS=<file>.csv the counts become a record and rows (make
reliability)."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.results import ORIGIN, rows_from, write_record, write_rows
from lib.runs.rings import rings
from lib.runs.units import origin

STARTED = time.perf_counter()


@dataclass
class Tally:
    """One kind of fault: how often it was tried, and how often work and numbers came through it."""

    kind: str
    fault: str
    tried: int = 0
    survived: int = 0

    def count(self, survived: bool) -> None:
        """One more try. The test asserts `lost == 0` at its end, so that all tries are counted."""
        self.tried += 1
        self.survived += bool(survived)

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.fault}"

    @property
    def lost(self) -> int:
        return self.tried - self.survived


TALLIES: list[Tally] = []


@pytest.fixture
def tally():
    """tally(kind, fault): a count that is published."""
    def new(kind: str, fault: str) -> Tally:
        TALLIES.append(Tally(kind, fault))
        return TALLIES[-1]
    return new


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Results of the two rings, computed once and in peace. Look, or copy; do not touch."""
    folder = tmp_path_factory.mktemp("undisturbed")
    rings("smoke", results=folder)
    return folder


@pytest.fixture
def root():
    """Skip where the test is not root: mounting a small disk or leaving the network needs it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a file system of its own, or leaves the network")


def summarise(records) -> list[dict]:
    """A row for each fault and metric."""
    from_here = ("experiment", "profile", "seed", *ORIGIN)
    return [{name: r.settings[name] for name in from_here}
            | {"class": str(fault), "metric": metric, "value": int(value)}
            for r in records for at, fault in enumerate(r["fault"])
            for metric, value in (("tried", r["tried"][at]), ("survived", r["survived"][at]),
                                  ("lost", r["tried"][at] - r["survived"][at]))]


def pytest_sessionfinish(session):
    if not os.environ.get("FAULTS") or not TALLIES:
        return
    names, table = list(dict.fromkeys(t.name for t in TALLIES)), Path(os.environ["FAULTS"])
    counts = {metric: np.array([sum(getattr(t, metric) for t in TALLIES if t.name == name) for name in names])
              for metric in ("tried", "survived")}
    settings = {"experiment": "reliability", "profile": "laptop", "seed": 0}
    settings |= origin(torch.device("cpu"), "float32", "stand-ins", time.perf_counter() - STARTED)
    write_record(table.with_suffix("") / "faults_seed0.npz", {"fault": np.array(names)} | counts, settings)
    write_rows(table, rows_from(table.with_suffix(""), summarise))
