"""The image sets of the book, as uint8 tensors that are turned into pixels in [0, 1] on demand.

`load(name)` looks for `<name>.npz` in the folder that $BOOK_DATA names, then in data/raw/, and else downloads
the official files, checks them and writes that npz. "digits" and "patches" are made from what scikit-learn ships.
"""
import gzip
import hashlib
import http.client
import importlib.util
import io
import os
import tarfile
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
RAW = ROOT / "data" / "raw"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CLASSES = {"mnist": tuple("0123456789"), "cifar10": CIFAR10, "fashion-mnist": CLOTHES}

# Official files and their MD5 sums: for MNIST those of torchvision 0.29, for CIFAR-10 that of the data set's own page.
_MNIST, _CIFAR = "https://ossci-datasets.s3.amazonaws.com/mnist/", "https://www.cs.toronto.edu/~kriz/"
FILES = {
    "mnist": {_MNIST + "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
              _MNIST + "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
              _MNIST + "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
              _MNIST + "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c"},
    "cifar10": {_CIFAR + "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
}


@dataclass(frozen=True)
class Split:
    """Images and labels of one part of a data set, image i belonging to label i."""
    x: UInt8[Tensor, "image channel height width"]
    y: Int64[Tensor, " image"]

    def __len__(self) -> int:
        return len(self.y)

    def images(self, index: slice | list[int] | Tensor = slice(None)) -> Float[Tensor, "batch channel height width"]:
        """The images at `index` (slice, list or integer tensor), float32 in [0, 1]."""
        return self.x[_rows(index)].float() / 255

    def labels(self, index: slice | list[int] | Tensor = slice(None)) -> Int64[Tensor, " batch"]:
        """The labels at `index`."""
        return self.y[_rows(index)]


@dataclass(frozen=True)
class Dataset:
    """A training and a test split. `source` says where the pixels come from and whether they are the original ones."""
    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    source: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of one image."""
        return tuple(self.train.x.shape[1:])


def load(name: str) -> Dataset:
    """The data set of that name, one of NAMES.

    Raises ValueError for an unknown name or a damaged file (the message names the file to delete), and
    FileNotFoundError if the set is neither on disk nor to be had from the network (it names three ways to mend that).
    """
    if name not in NAMES:
        raise ValueError(f"there is no data set {name!r}; choose one of {', '.join(NAMES)}")
    return NAMES[name]()


def on_disk(name: str) -> Path | None:
    """The file `<name>.npz` in the folder that $BOOK_DATA names (from the root of the book, if it is relative), or in
    data/raw/; None where there is none."""
    folders = [ROOT / os.environ["BOOK_DATA"]] if os.environ.get("BOOK_DATA") else []
    return next((path for folder in [*folders, RAW] if (path := folder / f"{name}.npz").exists()), None)


def _official(name: str) -> Dataset:
    """A set that exists on disk, or else is downloaded to data/raw/ first."""
    return _read(on_disk(name) or _download(name, RAW / f"{name}.npz"), name)


def _fashion() -> Dataset:
    """Fashion-MNIST where the reader has it: it is not fetched, since no experiment of the papers needs it."""
    if (path := on_disk("fashion-mnist")) is None:
        raise FileNotFoundError("no fashion-mnist.npz on this machine; pages go on without it. To have it, save "
                                f"{', '.join(ARRAYS)} as uint8 and `source` in such a file in data/raw/ or $BOOK_DATA")
    return _read(path, "fashion-mnist")


def _binary() -> Dataset:
    """Airplanes (0) against frogs (1), shuffled once by seed 0. Source: Li et al. (2019), CIFAR-binary."""
    whole, kept = load("cifar10"), (0, 6)

    def part(split: Split) -> Split:
        index = torch.isin(split.y, torch.tensor(kept)).nonzero()[:, 0].numpy()
        index = torch.from_numpy(np.random.RandomState(0).permutation(index))     # a stream that numpy keeps fixed
        return Split(split.x[index], (split.y[index] == kept[1]).long())

    return replace(whole, name="cifar-binary", train=part(whole.train), test=part(whole.test),
                   classes=tuple(whole.classes[k] for k in kept))


def _shipped(name: str) -> Path:
    """A file of scikit-learn's own data sets, found without importing it, which costs every process a second."""
    return Path(importlib.util.find_spec("sklearn").origin).parent / "datasets" / name


def _digits() -> Dataset:
    """scikit-learn's 1,797 real digits of 8x8 pixels, enlarged to 28x28: a stand-in for MNIST without a download."""
    # 64 pixels of 0 to 16, and the label
    lines = np.loadtxt(_shipped("data/digits.csv.gz"), delimiter=",", dtype=np.uint8)
    small = torch.from_numpy(lines[:, :-1].reshape(-1, 1, 8, 8)).float() / 16
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    x, y = (large * 255).round().to(torch.uint8), torch.from_numpy(lines[:, -1]).long()
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(y)))
    return Dataset("digits", Split(x[order[:1500]], y[order[:1500]]), Split(x[order[1500:]], y[order[1500:]]),
                   tuple("0123456789"), "scikit-learn's digits, enlarged from 8x8 to 28x28 (bilinear)")


def _patches() -> Dataset:
    """32x32 patches of scikit-learn's two photographs, one class each: a stand-in for CIFAR-binary without a download.

    Training patches come from the left 448 columns and test patches from the others, so that they share no pixel.
    """
    from PIL import Image
    photos = [np.array(Image.open(_shipped(f"images/{name}.jpg"))) for name in ("china", "flower")]
    photos = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)

    def part(columns: slice) -> Split:
        grid = photos[..., columns].unfold(2, 32, 16).unfold(3, 32, 16)           # class channel row column 32 32
        x = grid.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)                          # class patch channel 32 32
        y = torch.arange(2)[:, None].expand(-1, x.shape[1]).flatten()
        order = torch.from_numpy(np.random.RandomState(0).permutation(len(y)))
        return Split(x.flatten(0, 1)[order].contiguous(), y[order])

    return Dataset("patches", part(slice(0, 448)), part(slice(448, None)), ("china", "flower"),
                   "patches of scikit-learn's two sample photographs (JPEG)")


NAMES = {"mnist": lambda: _official("mnist"), "cifar10": lambda: _official("cifar10"), "cifar-binary": _binary,
         "digits": _digits, "patches": _patches, "fashion-mnist": _fashion}


def _rows(index: slice | list[int] | Tensor) -> slice | Tensor:
    return index if isinstance(index, slice) else torch.as_tensor(index)


def _read(path: Path, name: str) -> Dataset:
    """The data set in one npz file; a file that is damaged or holds something else is refused by name."""
    try:
        with np.load(path, allow_pickle=False) as npz:
            x_train, y_train, x_test, y_test = (npz[key] for key in ARRAYS)
            classes = tuple(map(str, npz["class_names"])) if "class_names" in npz else CLASSES[name]
            source = str(npz["source"]) if "source" in npz else "unknown"
        train, test = _split(x_train, y_train, len(classes)), _split(x_test, y_test, len(classes))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged or is not the {name} set ({error}): delete just this file and load "
                         f"{name!r} again, which fetches it anew") from error
    return Dataset(name, train, test, classes, source)


def _split(x: np.ndarray, y: np.ndarray, classes: int) -> Split:
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or y.ndim != 1 or len(x) != len(y) or len(x) == 0:
        raise ValueError(f"images {x.dtype} {x.shape}, labels {y.dtype} {y.shape}")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels from {y.min()} to {y.max()} instead of 0 to {classes - 1}")
    pixels = torch.from_numpy(x)
    pixels = pixels[:, None] if x.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()   # files hold NHW or NHWC
    return Split(pixels, torch.from_numpy(y.astype(np.int64)))


def _download(name: str, path: Path) -> Path:
    """Fetch the official files, and write `path` under a temporary name and then move it into place."""
    try:
        files = [_fetch(url, md5) for url, md5 in FILES[name].items()]
    except (OSError, http.client.HTTPException) as error:
        raise FileNotFoundError(
            f"no {path.name} on this machine, and the download failed ({error}). Three ways to mend it: "
            f"(1) set the environment variable BOOK_DATA to a folder that holds {path.name} "
            f"({', '.join(ARRAYS)} as uint8, and source); (2) put that file at {path}; "
            f"(3) connect to the network and try again, which fetches {', '.join(FILES[name])}.") from error
    arrays = {"mnist": _parse_mnist, "cifar10": _parse_cifar}[name](files)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays, class_names=np.array(CLASSES[name]),
                                source=np.array(f"original pixels, from {next(iter(FILES[name]))}"))
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path} ({error}): free some 200 MB, or set BOOK_DATA to a folder that holds "
                      f"{path.name}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _fetch(url: str, md5: str) -> bytes:
    """The file at `url`, held in memory until its checksum is known to be right, so that no wrong file is ever kept."""
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise OSError(f"{url} has checksum {found} instead of {md5}: an incomplete download, or another file")
    return content


def _parse_mnist(files: list[bytes]) -> dict[str, np.ndarray]:
    """The four IDX files: 16 bytes of header before the images, 8 before the labels."""
    x_train, y_train, x_test, y_test = (np.frombuffer(gzip.decompress(f), np.uint8) for f in files)
    return {"x_train": x_train[16:].reshape(-1, 28, 28), "y_train": y_train[8:],
            "x_test": x_test[16:].reshape(-1, 28, 28), "y_test": y_test[8:]}


def _parse_cifar(files: list[bytes]) -> dict[str, np.ndarray]:
    """The binary archive: records of one label byte and 3 x 32 x 32 pixels; read by name, nothing is unpacked."""
    with tarfile.open(fileobj=io.BytesIO(files[0]), mode="r:gz") as archive:
        def batch(name: str) -> np.ndarray:
            return np.frombuffer(archive.extractfile(f"cifar-10-batches-bin/{name}.bin").read(), np.uint8)
        parts = {"train": np.concatenate([batch(f"data_batch_{i}") for i in range(1, 6)]), "test": batch("test_batch")}
    records = {part: raw.reshape(-1, 3073) for part, raw in parts.items()}
    return ({f"x_{part}": r[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for part, r in records.items()}
            | {f"y_{part}": r[:, 0] for part, r in records.items()})
