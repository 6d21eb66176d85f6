"""One process at a time: locks on files that die with their holder. No torch here, for those who only wait."""

import fcntl
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, wait: bool = True):
    """Hold the lock beside `path`, and say True; the kernel frees it when a process dies, so no lock is ever left over.

    wait: until whoever holds it is done. Without, say False where another holds it: nothing is held then.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = open(lock, "w")
        except OSError as error:
            raise OSError(
                f"cannot write in {lock.parent}: {error}; free space or choose another results folder") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            yield False
            return
        if _still_there(lock, file):
            break
        file.close()                                # whoever held it before has removed it: ask for the new one
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def _still_there(lock: Path, file) -> bool:
    """Whether the lock is the open file: its last holder may have removed it, at any moment."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
    except FileNotFoundError:
        return False


def once(path: Path, make: Callable[[], None], shared: Path | None = None) -> None:
    """Call `make`, which writes `path`, unless it is there; a process that is at it already is waited for.

    shared: a name for all that one call of `make` writes, where that is more than `path`.
    """
    if not path.exists():
        with locked(shared or path):
            if not path.exists():
                make()
