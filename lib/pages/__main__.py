"""Run pages of the book with papermill: python -m lib.pages run [PAGE ...] --profile smoke [--out DIR | --in-place]

Every parameter of every page is checked before the first is run. A page that fails is kept, with its error; the others
run on, and the exit status is 1. `python -m lib.pages list` prints the pages.
"""

import argparse
import ast
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import yaml

from lib.pages import parameters

ROOT = Path(__file__).resolve().parents[2]


def listed() -> list[Path]:
    """The pages of _toc.yml in reading order, relative to the root: notebooks and Markdown files."""
    def files(node):
        if isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            node = [value for value in node.values() if isinstance(value, list)]
        if isinstance(node, list):
            for child in node:
                yield from files(child)
    names = list(files(yaml.safe_load((ROOT / "_toc.yml").read_text())))
    return [next((Path(name + end) for end in (".ipynb", ".md") if (ROOT / (name + end)).exists()),
                 Path(name + ".ipynb"))
            for name in names]


def notebooks() -> list[Path]:
    """The pages that run."""
    return [page for page in listed() if page.suffix == ".ipynb" and (ROOT / page).exists()]


def bare(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the times, paths and versions that a run leaves in its metadata."""
    notebook.metadata = nbformat.from_dict({key: notebook.metadata[key] for key in ("kernelspec", "widgets", "mystnb")
                                            if key in notebook.metadata} | {"language_info": {"name": "python"}})
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


def execute(page: Path, output: Path, given: dict) -> str:
    """Run a page into `output`, its folder being the kernel's. Returns "" or the error's first line."""
    import papermill
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(ROOT / page, output, given, kernel_name="python3", language="python",
                                   cwd=ROOT / page.parent, progress_bar=sys.stderr.isatty())
        return ""
    except papermill.exceptions.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}".splitlines()[0]
    except (RuntimeError, TimeoutError) as error:           # the kernel died, or did not start
        return str(error).splitlines()[0]
    finally:
        if output.exists():
            nbformat.write(bare(nbformat.read(output, as_version=4)), output)


def lay_out(folder: Path) -> None:
    """Copy what the book is built from to `folder`, so that executed pages can be written over their originals."""
    for name in ("book", "assets"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder / name)


def run(pages: list[Path], given: dict, out: Path | None) -> int:
    """Run pages into `out`, or in place where it is None and only if they succeed. Returns how many failed."""
    kept = out or ROOT / "_build" / "failed"
    width, failed = max(len(str(page)) for page in pages), 0
    for page in pages:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / page.name
            problem = execute(page, fresh, given)
            target = ROOT / page if out is None and not problem else kept / page
            target.parent.mkdir(parents=True, exist_ok=True)
            if fresh.exists():
                shutil.copyfile(fresh, part := target.with_name(f".{page.name}.partial"))
                os.replace(part, target)
        failed += bool(problem)
        print(f"{str(page):{width}}  {'failed' if problem else 'ok':6}  {time.perf_counter() - start:6.1f} s"
              + (f"  {problem}; see {target}" if problem else ""), flush=True)
    return failed


def values(pairs: list[str]) -> dict:
    """name=value pairs: Python's numbers, True, None and lists; whatever else is text."""
    given = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise parameters.Wrong(f"cannot read -p {pair}; expected NAME=VALUE")
        try:
            given[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            given[name] = text
    return given


def inside(name: str) -> Path:
    """A page given on the command line, relative to the root. Raises Wrong for anything but a notebook under book/."""
    path = Path(name).resolve()
    if not path.is_relative_to(ROOT / "book") or path.suffix != ".ipynb" or not path.exists():
        raise parameters.Wrong(f"{name} is no page of the book; `python -m lib.pages list` prints them")
    return path.relative_to(ROOT)


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.pages", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print the pages that run, in reading order")
    runner = commands.add_parser("run", help="execute pages")
    runner.add_argument("pages", nargs="*", metavar="PAGE", help="notebooks; default: all of the table of contents")
    runner.add_argument("--profile", help="smoke, laptop or paper; default: what each page says")
    runner.add_argument("-p", action="append", default=[], metavar="NAME=VALUE",
                        help="a parameter, for every page given")
    where = runner.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, default=Path("_build/pages"), help="folder of the executed copy")
    where.add_argument("--in-place", action="store_true", help="renew the pages themselves, at their own parameters")
    args = parser.parse_args(words)
    if args.command == "list":
        print(*notebooks(), sep="\n")
        return 0
    try:
        given = values(args.p) | ({"profile": args.profile} if args.profile else {})
        if args.in_place and given:
            raise parameters.Wrong(f"--in-place takes no parameters, got {', '.join(given)}: a committed page "
                                   "shows its own defaults. Use --out, or edit the page's first cell")
        pages = [inside(name) for name in args.pages] or notebooks()
        for page in pages:
            parameters.check_page(ROOT / page, given)
    except parameters.Wrong as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.in_place:
        return min(1, run(pages, given, None))
    lay_out(args.out.resolve())
    return min(1, run(pages, given, args.out.resolve()))


if __name__ == "__main__":
    sys.exit(main())
