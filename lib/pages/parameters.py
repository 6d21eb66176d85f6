"""A page's parameters: the annotated names of its cell tagged `parameters`, and what may be given for them."""

import math
import types
import typing
from pathlib import Path

STANDARD = {"profile": str, "seed": int, "device": str}
PLAIN = (bool, int, float, complex, str, bytes, list, tuple, set, dict, types.NoneType)
KERNEL = {"In", "Out"}                              # IPython's own plain names
CHECKED = "_parameters_checked"                     # left in a page, whose own names would look unknown the second time


class Wrong(ValueError):
    """A parameter that a page does not have, or a value that does not fit."""


def annotations(scope: dict) -> dict[str, type]:
    """Names and types annotated in a namespace. Python 3.14 keeps a function for them instead of a dict."""
    if "__annotations__" in scope:
        return scope["__annotations__"]
    return scope["__annotate__"](1) if "__annotate__" in scope else {}


def check(scope: dict) -> None:
    """Raise Wrong unless `scope` holds exactly the annotated parameters, each of its type, with values that exist."""
    known = annotations(scope)
    for name, kind in STANDARD.items():
        if known.get(name) is not kind:
            raise Wrong(f"the parameters cell lacks `{name}: {kind.__name__}`; every page has it")
    for name, value in scope.items() if CHECKED not in scope else ():
        if isinstance(value, PLAIN) and not name.startswith("_") and name not in known and name not in KERNEL:
            raise Wrong(f"unknown parameter {name} = {value!r}; this page has {', '.join(known)}. Correct the name, or "
                        "drop it")
    for name, kind in known.items():
        if kind is float and type(scope[name]) is int:
            scope[name] = float(scope[name])
        if not fits(scope[name], kind):
            raise Wrong(f"parameter {name} = {scope[name]!r} is {type(scope[name]).__name__}; expected {spell(kind)}, "
                        f"such as the default in the page's first code cell")
    _check_values(scope)
    scope[CHECKED] = True


def _check_values(scope: dict) -> None:
    from lib.profiles import profile
    try:
        profile(scope["profile"])
        if scope["device"] not in ("auto", "cpu"):      # else torch, seconds to import, has nothing to say
            from lib.runs.units import device_of
            device_of(scope["device"])
    except ValueError as error:
        raise Wrong(str(error)) from None
    if scope["seed"] < 0:
        raise Wrong(f"parameter seed = {scope['seed']}; expected 0 or more")


def fits(value: object, kind: object) -> bool:
    """Whether a value is of the annotated type. A bool is no number, and a number is finite."""
    if (origin := typing.get_origin(kind)) is None:
        if kind is None or not isinstance(kind, type):
            return value is kind
        if isinstance(value, bool) and kind is not bool:
            return False
        return isinstance(value, kind) and not (isinstance(value, float) and not math.isfinite(value))
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if not isinstance(value, origin):
        return False
    inner = [one for one in arguments if one is not Ellipsis]
    if origin is dict:
        return all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is tuple and Ellipsis not in arguments:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return all(fits(one, inner[0]) for one in value)


def spell(kind: object) -> str:
    """A type as a page's author would write it."""
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def defaults(page: Path) -> dict:
    """The namespace of a page's parameters cell: its defaults and their annotations.

    Raises Wrong where the page has not exactly one such cell, or is no notebook.
    """
    import nbformat
    try:
        cells = nbformat.read(page, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise Wrong(f"it cannot be read as a notebook ({str(error).splitlines()[0]})") from None
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise Wrong(f"it has {len(tagged)} cells tagged parameters; expected one")
    scope: dict = {}
    exec(compile(tagged[0].source, str(page), "exec"), scope)
    return {name: value for name, value in scope.items() if name != "__builtins__"}


def check_page(page: Path, given: dict) -> None:
    """Raise Wrong, naming the page, unless it takes `given`. No other cell is run."""
    try:
        check(defaults(page) | given)
    except Wrong as error:
        raise Wrong(f"{page.name}: {error}") from None
