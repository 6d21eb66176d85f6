"""The K one-against-the-rest detectors of Yin et al. (2020) as one stacked model, and the network each of them is."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.nets import glorot_uniform
from lib.models.noise import Noise
from lib.models.pooled import pooled_convolution

CHANNELS, HIDDEN = (32, 64), 1024
CONVOLUTIONS = "03"        # positions in the sequence
INITIALISATIONS = ("glorot", "madry")


class ConvNet(nn.Sequential):
    """Two 5x5 convolutions with max-pooling and a hidden dense layer, the layout of Madry's MNIST network.

    outputs: 1 for a detector, one a class for a classifier. start: "glorot" (uniform weights, biases 0; the detectors
    and f) or "madry" (normal of deviation 0.1 cut at two deviations, biases 0.1; the robust comparator).
    Raises ValueError for another start, or images whose sides are no multiples of 4.
    """

    randomised = False
    fixed_shapes = True

    def __init__(self, outputs: int = 10, shape: tuple[int, int, int] = (1, 28, 28), start: str = "glorot"):
        if start not in INITIALISATIONS:
            raise ValueError(f"unknown initialisation {start!r}; expected one of {', '.join(INITIALISATIONS)}")
        if shape[1] % 4 or shape[2] % 4:
            raise ValueError(f"images are {shape[1]} x {shape[2]}; expected multiples of 4: they are halved twice")
        flat = CHANNELS[1] * shape[1] // 4 * (shape[2] // 4)
        super().__init__(nn.Conv2d(shape[0], CHANNELS[0], 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(*CHANNELS, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(flat, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
        self.name, self.shape, self.outputs = "CNN", shape, outputs
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                _initialise(layer, start)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, output) float32."""
        layers, maps = list(self), x.contiguous(memory_format=torch.channels_last)
        if x.device.type == "cpu":
            layers, maps = layers[3:], pooled_convolution(x, self[0].weight, self[0].bias)
        for layer in layers:
            maps = layer(maps)
        return maps.float()

    def picked(self, x: Tensor, index: Tensor) -> Tensor:
        """One chosen logit an image, (batch), as `Heads.picked`. index: (batch) int64."""
        return self(x).gather(1, index[:, None])[:, 0]

    def objective(self, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """log p(y | x) in nats, (batch). `noise` is not used: nothing here is random."""
        return -F.cross_entropy(self(x), y, reduction="none")


def _initialise(layer: nn.Module, start: str) -> None:
    if start == "madry":
        nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
        nn.init.constant_(layer.bias, 0.1)
    elif isinstance(layer, nn.Linear):
        glorot_uniform(layer)
    else:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


class Heads(nn.Module):
    """K detectors of one layout, weights stacked along a first axis, so that all of them run in one pass.

    Nothing is shared: detector k is exactly `heads.separate(k)` (a test compares logits and gradients).
    Raises ValueError for no network, or for networks of different shapes or with more than one output.
    """

    randomised = False

    def __init__(self, nets: list[ConvNet]):
        super().__init__()
        if not nets or {(net.shape, net.outputs) for net in nets} != {(nets[0].shape, 1)}:
            kinds = sorted({(net.shape, net.outputs) for net in nets})
            raise ValueError(f"{len(nets)} networks of (shape, outputs) {kinds}; expected at least one, all of one "
                             "shape and with one output each")
        self.name, self.count, self.shape = "GAT", len(nets), nets[0].shape
        self.stacked = nn.ParameterDict()
        for name, _ in nets[0].named_parameters():      # of a convolution side by side, as grouped ones want them
            join = torch.cat if name[0] in CONVOLUTIONS else torch.stack
            self.stacked[name.replace(".", "_")] = join([dict(net.named_parameters())[name].detach() for net in nets])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every detector, (batch, detector) float32.

        x: (batch, channel, H, W), the same images for all; or (detector, batch, channel, H, W), each its own.
        """
        if x.ndim == 5 and len(x) != self.count:
            raise ValueError(f"x holds batches for {len(x)} detectors; expected {self.count}, one each")
        shared = x.ndim == 4
        if self.in_turn(x.device):
            each = [x] * self.count if shared else x
            return torch.stack([_one(part, own) for part, own in zip(self._parts(), each)], dim=1)
        maps = x if shared else x.transpose(0, 1).flatten(1, 2)             # batch (detector channel) H W
        maps = _convolve_pool(maps, self.stacked["0_weight"], self.stacked["0_bias"], 1 if shared else self.count)
        maps = _convolve_pool(maps, self.stacked["3_weight"], self.stacked["3_bias"], self.count)
        features = maps.reshape(len(maps), self.count, -1).transpose(0, 1)  # detector batch feature
        hidden = F.relu(_dense(features, self.stacked["7_weight"], self.stacked["7_bias"]))
        return _dense(hidden, self.stacked["9_weight"], self.stacked["9_bias"])[..., 0].T.float()

    @staticmethod
    def in_turn(device: torch.device) -> bool:
        """Whether detectors run one after the other: on a CPU, which one fills; grouped kernels would be slower."""
        return device.type == "cpu"

    def picked(self, x: Tensor, index: Tensor) -> Tensor:
        """The logit of one chosen detector an image, (batch). index: (batch) int64. Costs one network, not K."""
        logits = x.new_zeros(len(x), dtype=torch.float32)
        for k in index.unique().tolist():
            where = (index == k).nonzero()[:, 0]
            logits = logits.index_put((where,), _one(self._parts()[k], x[where]))
        return logits

    def frozen(self, dtype: torch.dtype) -> list[Callable[[Tensor], Tensor]]:
        """Each detector as it is now, from images to logits (batch), its weights cast once and without a gradient: for
        the many steps of an attack, of one detector after the other."""
        return [partial(_one, {name: value.detach().to(dtype) for name, value in part.items()})
                for part in self._parts()]

    def _parts(self) -> list[dict[str, Tensor]]:
        """The weights of each detector: views, made all at once, for which the gradient is put together once."""
        each = {name: value.chunk(self.count) if name[0] in CONVOLUTIONS else value.unbind()
                for name, value in self.stacked.items()}
        return [{name: values[k] for name, values in each.items()} for k in range(self.count)]

    def separate(self, k: int) -> ConvNet:
        """Detector k as a network of its own, with copies of its weights."""
        net = ConvNet(1, self.shape)
        net.load_state_dict(
            {name.replace("_", "."): value.detach().clone() for name, value in self._parts()[k].items()})
        return net


def _one(part: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits of a single detector, (batch) float32."""
    first = pooled_convolution if x.device.type == "cpu" else _convolve_pool
    maps = _convolve_pool(first(x, part["0_weight"], part["0_bias"]), part["3_weight"], part["3_bias"])
    hidden = F.relu(F.linear(maps.flatten(1), part["7_weight"], part["7_bias"]))
    return F.linear(hidden, part["9_weight"], part["9_bias"])[:, 0].float()


def _convolve_pool(maps: Tensor, weight: Tensor, bias: Tensor, groups: int = 1) -> Tensor:
    """Pooled before the ReLU, which commutes with the maximum and then meets a quarter of the values."""
    maps = maps.contiguous(memory_format=torch.channels_last)
    return F.relu(F.max_pool2d(F.conv2d(maps, weight, bias, padding=2, groups=groups), 2))


def _dense(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A dense layer a detector: (detector, batch, in) to (detector, batch, out)."""
    return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))
