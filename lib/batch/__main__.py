"""Re-execute the book: python -m lib.batch --profile laptop --jobs 2 [--units all] [--grid FILE] [--executor slurm]

What follows `--` goes to Snakemake as it is. Exit status: 0 if every job succeeded, 1 if one did not, 2 if the batch
was refused before any work.
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import torch

from lib.batch import gather, report
from lib.batch.plan import draw_up, grid_settings, settings, wanted
from lib.pages import parameters
from lib.pages.__main__ import inside, notebooks
from lib.results import RESULTS, ROOT, atomic
from lib.runs.experiments import AFTER

SLURM = ["--slurm-init-seconds-before-status-checks", "5", "--default-resources", "mem_mb=8000", "runtime=720"]
STEPS = re.compile(r"^\d+ of \d+ steps .*$", re.MULTILINE)


def snakemake() -> str:
    """The program that runs the graph. Raises Wrong where it is not installed."""
    own = Path(sys.prefix) / "batch" / "bin" / "snakemake"
    found = str(own) if own.exists() else shutil.which("snakemake")
    if not found:
        raise parameters.Wrong("snakemake is not installed; `make reproduce` installs it into .venv/batch, and "
                               "`pip install -r requirements-batch.txt` elsewhere")
    return found


def command(plan: Path, jobs: int, executor: str, more: list[str], again: list[str] = ()) -> list[str]:
    """Snakemake's command line. again: records to make although they are there.

    Only times of files decide what is done again, and files that look unfinished are not: every job moves its output
    into place when it is whole. Jobs on this machine take turns at its GPU; a cluster has one for each.
    """
    where = (["--cores", str(jobs), "--resources", "gpu=1"] if executor == "local"
             else ["--executor", executor, "--jobs", str(jobs), *SLURM])
    return [snakemake(), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(plan.parent), *where,
            "--keep-going", "--rerun-triggers", "mtime", "--ignore-incomplete", "--scheduler", "greedy", "--quiet",
            "rules", "host", "reason", "--config", f"plan={plan}", f"python={sys.executable}",
            *(["--forcerun", *again] if again else []), *more]


def one_at_a_time(folder: Path) -> TextIO:
    """Hold the lock of a batch, waiting for another that is at work; the kernel frees it when its last holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".batch.lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another batch is at work in {folder}: waiting for it to end", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def follow(line: list[str], log: Path, lock: TextIO) -> int:
    """Run Snakemake and show how far it is. It holds the lock too, so that it keeps it if this process is killed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if any((log.parent / ".snakemake" / "locks").glob("*")):                         # left by a batch that was killed
        subprocess.run([*line, "--unlock"], capture_output=True, env=environment)
    with open(log, "w+") as said:
        process = subprocess.Popen(line, env=environment, stdout=said, stderr=said, pass_fds=[lock.fileno()])
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        shown = 0
        try:
            while True:
                ended = process.poll() is not None
                steps = STEPS.findall(log.read_text(errors="replace"))
                for step in steps[shown:]:
                    print(step, end="\r" if sys.stdout.isatty() and step != steps[-1] else "\n", flush=True)
                shown = len(steps)
                if ended:
                    return process.returncode
                time.sleep(0.5)
        finally:
            signal.signal(signal.SIGTERM, before)


def read(words: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    words = list(sys.argv[1:] if words is None else words)
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m lib.batch", description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE",
                        help="notebooks, and only units that they read; default: all")
    parser.add_argument("--profile", help="smoke, laptop (default) or paper; in a grid, where it has no such axis")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    parser.add_argument("--units",
                        help="stored: only execute pages (default at laptop); all: compute what is missing first")
    parser.add_argument("--grid", type=Path, help="a file of book/grids: one page over many settings")
    parser.add_argument("--executor", default="local", choices=("local", "slurm"))
    parser.add_argument("--out", type=Path, help="folder of copies and logs; default: _build/batch/<profile or grid>")
    parser.add_argument("--gpus", type=int, help="GPUs a unit of work takes; default: 1 on slurm or where there is one")
    return parser.parse_args(words[:cut]), words[cut + 1:]


def main(words: list[str] | None = None) -> int:
    """The command line."""
    args, more = read(words)
    name = args.grid.stem if args.grid else args.profile or "laptop"
    build = (args.out or ROOT / "_build" / "batch" / name).resolve()
    gpus = args.gpus if args.gpus is not None else int(args.executor == "slurm" or torch.cuda.is_available())
    try:
        if args.jobs < 1 or (args.pages and args.grid):
            raise parameters.Wrong(f"--jobs {args.jobs}; expected 1 or more" if args.jobs < 1 else
                                   "a grid has its page; expected no other")
        pages = [inside(page) for page in args.pages] or notebooks()
        jobs = (grid_settings(args.grid, args.profile, args.seed, args.device) if args.grid
                else settings(pages, name, args.seed or 0, args.device))
        lock = one_at_a_time(build)
        plan = draw_up(jobs, build, units=args.units, device=args.device, gpus=gpus,
                       experiments=wanted([page for page, *_ in jobs]) if args.grid or args.pages else set(AFTER))
        with atomic(build / "plan.json") as part:
            part.write_text(json.dumps(plan, indent=1))
        line = command(build / "plan.json", args.jobs, args.executor, more, plan["again"])
        before = report.row_counts(RESULTS, {job["profile"] for job in plan["pages"].values()})
    except (parameters.Wrong, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    since = time.time()
    rc = follow(line, build / "snakemake.txt", lock)
    found = report.table(plan, since, before)
    found.to_csv(build / "report.csv", index=False)
    print(report.as_text(found))
    if args.grid:
        print(gather.written(plan, build / "table.csv"))
    failed = int(rc != 0 or not found.status.isin(["ok", "kept"]).all())
    if failed:
        print(f"\nnot all is well: logs and executed pages are in {build / 'log'}, Snakemake's own in "
              f"{build / 'snakemake.txt'}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
