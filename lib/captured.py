"""The updates of a training: line by line, or on a GPU as CUDA graphs that are captured once and replayed.

An update of these small models is some two hundred kernels of a few microseconds, and torch takes longer to ask for one
than it runs. A graph asks for those of ten updates at once.
"""

import hashlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from lib.arithmetic import products
from lib.models.noise import Noise, stream
from lib.profiles import Training


@lru_cache(maxsize=32)
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return stream("train/order", seed, epoch).permutation(n)


def batches(n: int, batch: int, seed: int, update: int) -> Tensor:
    """Indices of one update's images: a fresh permutation an epoch, the incomplete last batch dropped. Raises
    ValueError for a batch of no images, or of more than there are."""
    if not 1 <= batch <= n:
        raise ValueError(f"a batch of {batch} images was asked for, and there are {n}; expected from 1 to {n}")
    epoch, position = divmod(update, n // batch)
    return torch.from_numpy(_order(n, seed, epoch)[position * batch:(position + 1) * batch])


class Update:
    """Updates by Adam, one by one, noise keyed by seed and update. split: lib.data's training images."""

    stride = 1                  # how many updates a call may be asked for
    save_every = 1_000          # about half a minute

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
        with products(self.training.dtype, self.device):
            objective = self.model.objective(x, y, noise, **({"beta": beta} if beta < 1 else {})).mean()
        self.optimiser.zero_grad()
        (-objective).backward()
        self.optimiser.step()
        return objective.detach()

    def __call__(self, first: int, last: int) -> Tensor:
        """Make the updates first <= u < last. Returns the mean objective before each, (update)."""
        found = []
        for update in range(first, last):
            noise = Noise("train/noise", self.seed, range(self.training.batch), step=update)
            self.optimiser.param_groups[0]["lr"] = self.training.rate_at(update)
            found.append(self.ascend(*self.batch(update), noise, self.training.beta_at(update)))
        return torch.stack(found)


class Buffers(Noise):
    """Noise for a graph, which reads where it was captured: every draw of every update has a place of its own, filled
    anew before the graph runs, by the device's generator, keyed by seed and update."""

    def __init__(self, updates: int, batch: int, device: torch.device):
        super().__init__("train/noise", 0, range(batch))
        self.batch, self.device, self.update, self.taken = batch, device, 0, 0
        self.places: list[list[tuple[str, Tensor]]] = [[] for _ in range(updates)]
        self.generator = torch.Generator(device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (batch, *shape)."""
        return self._next("normal_", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (batch, *shape)."""
        return self._next("uniform_", shape)

    def _next(self, fill: str, shape: tuple[int, ...]) -> Tensor:
        places = self.places[self.update]
        if self.taken == len(places):
            places.append((fill, torch.empty(self.batch, *shape, device=self.device)))
            getattr(places[-1][1], fill)(generator=self.generator)
        self.taken += 1
        return places[self.taken - 1][1]

    def at(self, update: int) -> "Buffers":
        """Ready for the draws of one of the updates."""
        self.update, self.taken = update, 0
        return self

    def key(self, update: int, seed: int, number: int) -> None:
        """New numbers for one of the updates, which is the `number`th of the training."""
        digest = hashlib.blake2b(f"train/noise/{seed}/{number}".encode(), digest_size=8).digest()
        self.generator.manual_seed(int.from_bytes(digest, "little") >> 1)
        for fill, place in self.places[update]:
            getattr(place, fill)(generator=self.generator)


class Captured(Update):
    """The same on a GPU, ten updates a graph, one training a process. Noise comes from the GPU, so it is another sample
    than a CPU would draw."""

    stride = 10
    save_every = 20_000         # about half a minute too

    def __init__(self, model: nn.Module, split, training: Training, seed: int):
        super().__init__(model, split, training, seed)
        rate = torch.tensor(training.rate, device=self.device)          # where the graph reads it
        self.optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=True)
        self.graph, self.warm, self.side = None, False, torch.cuda.Stream(self.device)
        self.pixels, self.classes = split.x.to(self.device), split.labels().to(self.device)
        self.index = torch.zeros(self.stride, training.batch, dtype=torch.int64, device=self.device)
        self.rates, self.objectives = torch.zeros(2, self.stride, device=self.device)
        self.noise = Buffers(self.stride, training.batch, self.device)

    def lines(self, updates: int, number: int | None = None) -> None:
        """Make the first of the prepared updates. number: which one of the training the first is, to draw its
        noise too."""
        for update in range(updates):
            if number is not None:
                self.noise.key(update, self.seed, number + update)
            self.optimiser.param_groups[0]["lr"].copy_(self.rates[update])
            index = self.index[update]
            x, y = self.pixels[index].float() / 255, self.classes[index]
            self.objectives[update].copy_(self.ascend(x, y, self.noise.at(update)))

    def __call__(self, first: int, last: int) -> Tensor:
        count, n = last - first, len(self.split)
        self.index[:count] = torch.stack([batches(n, self.training.batch, self.seed, u) for u in range(first, last)])
        self.rates[:count] = torch.tensor([self.training.rate_at(u) for u in range(first, last)])
        if self.warm and count == self.stride:
            for update in range(count):
                self.noise.key(update, self.seed, first + update)
            self.graph = self.graph or self.capture()
            self.graph.replay()
        else:                   # libraries choose their kernels, and every draw gets its place
            self.side.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self.side):
                self.lines(count, first)
            torch.cuda.current_stream(self.device).wait_stream(self.side)
            self.warm = self.warm or count == self.stride
        return self.objectives[:count].clone()

    def capture(self) -> "torch.cuda.CUDAGraph":
        """A graph of `stride` updates, none of which is made yet."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.current_stream(self.device).synchronize()
        self.optimiser.zero_grad()
        with torch.cuda.graph(graph, stream=self.side):
            self.lines(self.stride)
        return graph


def update_of(model: nn.Module, split, training: Training, seed: int) -> Update:
    """Graphs where there is a GPU and the model's objective has `fixed_shapes`: none that depends on values."""
    on_gpu = next(model.parameters()).is_cuda
    graph = on_gpu and getattr(model, "fixed_shapes", False) and not training.kl_warmup
    return (Captured if graph else Update)(model, split, training, seed)
