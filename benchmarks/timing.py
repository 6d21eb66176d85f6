"""Clocks and scales: runs that alternate, the machine's own matrix rate, operations done, peak memory."""

import ctypes
import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def alternating(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each contender in each round, (round). One after the other in every round, so that all see the same
    weather; the first call of each, which is slow, is made before and not counted."""
    for run in contenders.values():
        run()
    seconds = {name: np.empty(rounds) for name in contenders}
    with _no_garbage_collection():
        for i in range(rounds):
            for name, run in contenders.items():
                start = time.perf_counter()
                run()
                _wait()
                seconds[name][i] = time.perf_counter() - start
    return seconds


@contextmanager
def _no_garbage_collection():
    """None falls into a timed run, by chance into that of one contender and not of another."""
    there = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if there:
            gc.enable()


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int, rounds: int = 5) -> float:
    """Operations a second of a square matrix product: the yardstick for everything else. Median of `rounds`."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))
    return 2 * size**3 / float(np.median(alternating({"": lambda: a @ b}, rounds)[""]))


class _Counter(TorchDispatchMode):
    """torch's FlopCounterMode counts by module too, for which it cannot do with `autograd.grad`."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def operations(run: Callable[[], object]) -> int:
    """Multiplications and additions in the matrix products and convolutions of one call, by torch's formulas (which
    count the taps of a convolution that fall beside the image too)."""
    with _Counter() as counter:
        run()
    return counter.total


def peak_memory(run: Callable[[], object], device: torch.device) -> float:
    """MB that one call takes at its peak beyond what was there before: of a forked process (Linux), or of the GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_grow, args=(run, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError as error:
        raise MemoryError("the process whose memory was measured died; was there too little of it?") from error
    finally:
        process.join()


def _grow(run: Callable[[], object], pipe) -> None:
    # the threads of OpenMP are not forked: it would wait for them forever
    torch.set_num_threads(1)
    ctypes.CDLL(None).malloc_trim(0)                        # what was freed before is not to be used again unseen
    Path("/proc/self/clear_refs").write_text("5")           # forget the peak so far
    before = _status("VmRSS")
    run()
    pipe.send((_status("VmHWM") - before) / 1e3)


def _status(name: str) -> int:
    """A line of the kernel's account of this process, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
