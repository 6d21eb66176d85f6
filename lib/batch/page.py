"""The job of one page: python -m lib.batch.page PAGE COPY --executed NOTEBOOK [--given JSON]"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from lib.pages.__main__ import execute
from lib.results import atomic
from lib.locks import locked


def main(words: list[str] | None = None) -> int:
    """Execute a page and move its copy into place if it succeeds; the executed notebook stays in any case.

    Beside it a .json of the same name says what was the matter ("" if nothing) and how many seconds it took. If the
    same page is at work already (left over from a batch that was killed), its copy is waited for and taken.
    """
    parser = argparse.ArgumentParser(prog="python -m lib.batch.page", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("copy", type=Path)
    parser.add_argument("--executed", type=Path, required=True)
    parser.add_argument("--given", type=json.loads, default={})
    args = parser.parse_args(words)
    asked = time.time()
    with locked(args.copy):
        if args.copy.exists() and args.copy.stat().st_mtime > asked:
            return 0
        start = time.perf_counter()
        problem = execute(args.page, args.executed, args.given)
        with atomic(args.executed.with_suffix(".json")) as part:
            part.write_text(json.dumps({"problem": problem, "seconds": round(time.perf_counter() - start, 1)}))
        if not problem:
            with atomic(args.copy) as part:
                shutil.copyfile(args.executed, part)
    if problem:
        print(f"{args.page}: {problem}; see {args.executed}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
