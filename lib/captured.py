"""One update of a training: line by line, or on a GPU as a CUDA graph that is captured once and replayed.

An update of these small models is some two hundred kernels of a few microseconds, and torch takes longer to ask for one
than it runs. A graph asks for all of them at once.
"""

import hashlib
import threading
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from lib.models.noise import Noise, stream
from lib.profiles import Training

WARM_UP = 3                     # updates before the capture, in which libraries choose their kernels and take their memory
_ONE_AT_A_TIME = threading.Lock()       # captures of several trainings in one process


@lru_cache(maxsize=32)
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return stream("train/order", seed, epoch).permutation(n)


def batches(n: int, batch: int, seed: int, update: int) -> Tensor:
    """Indices of one update's images: a fresh permutation an epoch, the incomplete last batch dropped."""
    epoch, position = divmod(update, n // batch)
    return torch.from_numpy(_order(n, seed, epoch)[position * batch:(position + 1) * batch])


class Update:
    """One update by Adam, noise keyed by seed and update. split: lib.data's training images."""

    def __init__(self, model: nn.Module, split, training: Training, seed: int):
        self.model, self.split, self.training, self.seed = model, split, training, seed
        self.device = next(model.parameters()).device
        self.optimiser = torch.optim.Adam(model.parameters(), lr=training.rate, fused=True)

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """Images and labels of an update."""
        index = batches(len(self.split), self.training.batch, self.seed, update)
        return self.split.images(index).to(self.device), self.split.labels(index).to(self.device)

    def ascend(self, x: Tensor, y: Tensor, noise, beta: float = 1.0) -> Tensor:
        """Move the weights; the mean objective before, a scalar."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.dtype == "bfloat16"):
            objective = self.model.objective(x, y, noise, **({"beta": beta} if beta < 1 else {})).mean()
        self.optimiser.zero_grad()
        (-objective).backward()
        self.optimiser.step()
        return objective.detach()

    def __call__(self, update: int) -> Tensor:
        """The mean objective before update `update`, a scalar."""
        noise = Noise("train/noise", self.seed, range(self.training.batch), step=update)
        self.optimiser.param_groups[0]["lr"] = self.training.rate_at(update)
        return self.ascend(*self.batch(update), noise, self.training.beta_at(update))


class Buffers:
    """Noise for a graph, which reads where it was captured: every draw of an update has a place of its own that is filled
    anew before the next, by the device's generator, keyed by seed and update."""

    def __init__(self, batch: int, device: torch.device):
        self.batch, self.device, self.taken = batch, device, 0
        self.places: list[tuple[str, Tensor]] = []
        self.generator = torch.Generator(device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (batch, *shape)."""
        return self._next("normal_", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (batch, *shape)."""
        return self._next("uniform_", shape)

    def _next(self, fill: str, shape: tuple[int, ...]) -> Tensor:
        if self.taken == len(self.places):
            self.places.append((fill, torch.empty(self.batch, *shape, device=self.device)))
            getattr(self.places[-1][1], fill)(generator=self.generator)
        self.taken += 1
        return self.places[self.taken - 1][1]

    def key(self, seed: int, update: int) -> None:
        """New numbers everywhere: those of this update."""
        digest = hashlib.blake2b(f"train/noise/{seed}/{update}".encode(), digest_size=8).digest()
        self.generator.manual_seed(int.from_bytes(digest, "little") >> 1)
        self.taken = 0
        for fill, place in self.places:
            getattr(place, fill)(generator=self.generator)


class Captured(Update):
    """The same on a GPU, as a graph. Its noise comes from the GPU, so it is another sample than a CPU would draw."""

    def __init__(self, model: nn.Module, split, training: Training, seed: int):
        super().__init__(model, split, training, seed)
        rate = torch.tensor(training.rate, device=self.device)          # where the graph reads it
        self.optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=True)
        self.graph, self.done, self.side = None, 0, torch.cuda.Stream(self.device)
        self.pixels, self.classes = split.x.to(self.device), split.labels().to(self.device)
        self.index = torch.zeros(training.batch, dtype=torch.int64, device=self.device)
        self.noise, self.objective = Buffers(training.batch, self.device), torch.zeros((), device=self.device)

    def _ascend(self) -> None:
        x = self.pixels[self.index].float() / 255
        self.objective.copy_(self.ascend(x, self.classes[self.index], self.noise))

    def __call__(self, update: int) -> Tensor:
        self.index.copy_(batches(len(self.split), self.training.batch, self.seed, update))
        self.optimiser.param_groups[0]["lr"].fill_(self.training.rate_at(update))
        self.noise.key(self.seed, update)
        if self.done < WARM_UP:
            self.side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.side):
                self._ascend()
            torch.cuda.current_stream().wait_stream(self.side)
        else:
            if self.graph is None:
                self.graph = self._capture()
            self.graph.replay()
        self.done += 1
        return self.objective.clone()

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with _ONE_AT_A_TIME:
            torch.cuda.current_stream().synchronize()
            self.optimiser.zero_grad()
            with torch.cuda.graph(graph, stream=self.side, capture_error_mode="thread_local"):
                self._ascend()
        return graph


def update_of(model: nn.Module, split, training: Training, seed: int) -> Update:
    """A graph where there is a GPU and the model's objective has `fixed_shapes`: none that depends on values."""
    on_gpu = next(model.parameters()).is_cuda
    graph = on_gpu and getattr(model, "fixed_shapes", False) and not training.kl_warmup
    return (Captured if graph else Update)(model, split, training, seed)
