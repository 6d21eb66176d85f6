"""Loading, downloading and refusing image sets; no test here reaches the network."""
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from sklearn import datasets

from lib import data
from lib.attacks.inputs import check_pair


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No data set on disk, and no address that could be reached."""
    monkeypatch.delenv("BOOK_DATA", raising=False)
    monkeypatch.setattr(data, "RAW", tmp_path / "raw")
    nowhere = {(tmp_path / f"absent-{name}").as_uri(): "0" * 32 for name in ("mnist", "cifar10")}
    monkeypatch.setattr(data, "FILES", {name: {url: md5} for name, (url, md5) in zip(data.FILES, nowhere.items())})


def arrays(n: int = 20, shape: tuple = (28, 28), **changes) -> dict:
    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(n, *shape), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10
    return dict(x_train=x, y_train=y, x_test=x[:10], y_test=y[:10], source=np.array("made up")) | changes


def written(folder, name: str = "mnist", **content):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **content)
    return folder / f"{name}.npz"


def serve(monkeypatch, tmp_path, name: str, files: dict[str, bytes]) -> None:
    """Publish files under file:// addresses with their right checksums, in place of the official ones."""
    table = {}
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
        table[(tmp_path / file).as_uri()] = hashlib.md5(content).hexdigest()
    monkeypatch.setitem(data.FILES, name, table)


def idx(array: np.ndarray) -> bytes:
    """An array in the file format of MNIST."""
    magic = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(magic + array.tobytes())


def mnist_files() -> dict[str, bytes]:
    return {f"{key}.gz": idx(arrays()[key]) for key in data.ARRAYS}


# What is in the sets

@pytest.mark.parametrize("name, train, test, shape, classes", [
    ("digits", 1500, 297, (1, 28, 28), 10), ("patches", 1350, 550, (3, 32, 32), 2)])
def test_embedded_sets_need_no_file(name, train, test, shape, classes):
    found = data.load(name)
    assert (len(found.train), len(found.test), found.shape, len(found.classes)) == (train, test, shape, classes)
    check_pair(found.train.images([0, 5]), found.train.labels([0, 5]))
    assert len(found.test.y.unique()) == classes and found.source


def test_embedded_sets_are_those_that_scikit_learn_loads():
    digits, photos = datasets.load_digits(), datasets.load_sample_images().images
    order, found = np.random.RandomState(0).permutation(1797), data.load("digits")
    assert torch.cat([found.train.y, found.test.y]).tolist() == digits.target[order].tolist()
    small = torch.from_numpy(digits.images[order[:50]]).float()[:, None] / 16
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    assert torch.equal(found.train.x[:50], (large * 255).round().byte())
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (32, 32, 3))[::16, ::16, 0] for photo in photos]
    split = data.load("patches").test
    for x, y in zip(split.x[:20], split.y[:20]):
        assert (windows[y] == x.permute(1, 2, 0).numpy()).all((2, 3, 4)).any()


def test_embedded_sets_are_the_same_every_time():
    assert torch.equal(data.load("digits").train.x, data.load("digits").train.x)


def test_no_training_digit_is_in_the_test_split():
    found = data.load("digits")
    seen = {x.numpy().tobytes() for x in found.train.x}
    assert len({x.numpy().tobytes() for x in found.test.x} & seen) <= 1       # scikit-learn has few exact duplicates


def test_images_are_float32_in_the_unit_interval_for_every_kind_of_index():
    split = data.load("digits").train
    for index in (slice(0, 3), [0, 1, 2], torch.tensor([0, 1, 2])):
        x = split.images(index)
        assert x.dtype == torch.float32 and x.max() == 1 and torch.equal(x, split.x[:3] / 255)
        assert torch.equal(split.labels(index), split.y[:3])


def test_cifar_binary_is_airplanes_and_frogs_relabelled(tmp_path):
    x = np.repeat(np.arange(20, dtype=np.uint8), 32 * 32 * 3).reshape(20, 32, 32, 3)
    written(tmp_path / "raw", "cifar10", **arrays(x_train=x, x_test=x[:10]))
    found = data.load("cifar-binary")
    assert found.classes == ("airplane", "frog") and found.shape == (3, 32, 32)
    assert sorted(zip(found.train.x[:, 0, 0, 0].tolist(), found.train.y.tolist())) == [(0, 0), (6, 1), (10, 0), (16, 1)]
    assert sorted(zip(found.test.x[:, 0, 0, 0].tolist(), found.test.y.tolist())) == [(0, 0), (6, 1)]


# Where they are looked for

def test_book_data_comes_before_data_raw(tmp_path, monkeypatch):
    written(tmp_path / "raw", **arrays(source="raw"))
    assert data.load("mnist").source == "raw"
    monkeypatch.setenv("BOOK_DATA", str(written(tmp_path / "mine", **arrays(source="mine")).parent))
    assert data.load("mnist").source == "mine"


def test_a_relative_book_data_is_the_same_folder_from_every_page(tmp_path, monkeypatch):
    folder = written(tmp_path / "mine", **arrays(source="mine")).parent
    monkeypatch.setattr(data, "ROOT", tmp_path)
    monkeypatch.setenv("BOOK_DATA", folder.name)
    assert data.load("mnist").source == "mine"


def test_a_set_that_book_data_lacks_is_taken_from_data_raw(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_DATA", str(tmp_path / "nothing"))
    written(tmp_path / "raw", **arrays())
    assert len(data.load("mnist").train) == 20


def test_a_file_that_does_not_name_its_source_says_unknown(tmp_path):
    content = arrays()
    del content["source"]
    written(tmp_path / "raw", **content)
    assert data.load("mnist").source == "unknown"


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match="'minst'.*mnist, cifar10, cifar-binary, digits, patches"):
        data.load("minst")


def test_without_network_and_data_the_error_names_three_ways_to_mend_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)\(1\).*BOOK_DATA.*\(2\).*mnist\.npz.*\(3\) connect"):
        data.load("mnist")
    assert not (tmp_path / "raw").exists()


# Downloading

def test_mnist_is_downloaded_once_and_kept_with_its_source(tmp_path, monkeypatch):
    serve(monkeypatch, tmp_path, "mnist", mnist_files())
    found = data.load("mnist")
    assert torch.equal(found.train.x[:, 0], torch.from_numpy(arrays()["x_train"])) and "original" in found.source
    for file in tmp_path.glob("*.gz"):
        file.unlink()
    assert torch.equal(data.load("mnist").test.y, found.test.y)
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["mnist.npz"]


def test_cifar10_comes_from_the_binary_archive(tmp_path, monkeypatch):
    rng, archive = np.random.default_rng(0), io.BytesIO()
    batches = [rng.integers(10, size=(10, 3073), dtype=np.uint8) for _ in range(6)]
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, batch in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], batches):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = batch.nbytes
            tar.addfile(member, io.BytesIO(batch.tobytes()))
    serve(monkeypatch, tmp_path, "cifar10", {"cifar.tar.gz": archive.getvalue()})
    found = data.load("cifar10")
    pixels = np.concatenate(batches[:5])[:, 1:].reshape(50, 3, 32, 32)
    assert torch.equal(found.train.x, torch.from_numpy(pixels)) and found.test.y.tolist() == batches[5][:, 0].tolist()
    assert found.classes[6] == "frog"


def test_a_wrong_checksum_leaves_no_file(tmp_path, monkeypatch):
    serve(monkeypatch, tmp_path, "mnist", mnist_files())
    monkeypatch.setitem(data.FILES, "mnist", dict.fromkeys(data.FILES["mnist"], "0" * 32))
    with pytest.raises(FileNotFoundError, match="checksum .* instead of 000"):
        data.load("mnist")
    assert not (tmp_path / "raw").exists()


def test_a_full_disk_leaves_no_partial_file(tmp_path, monkeypatch):
    serve(monkeypatch, tmp_path, "mnist", mnist_files())

    def full(file, **_):
        file.write(b"PK")
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left.*free"):
        data.load("mnist")
    assert list((tmp_path / "raw").iterdir()) == []


def test_official_addresses_are_encrypted_and_have_checksums(monkeypatch):
    monkeypatch.undo()
    for files in data.FILES.values():
        assert all(url.startswith("https://") and len(md5) == 32 for url, md5 in files.items())


# Damaged files

@pytest.mark.parametrize("keep", [0, 100, -50])
def test_a_truncated_file_is_named_and_only_it_is_to_be_deleted(tmp_path, keep):
    path = written(tmp_path / "raw", **arrays())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"raw/mnist\.npz is damaged.*delete just this file"):
        data.load("mnist")


@pytest.mark.parametrize("changes", [
    dict(x_train=np.zeros((20, 28, 28))), dict(x_train=np.zeros((19, 28, 28), np.uint8)),
    dict(x_train=np.zeros((20, 784), np.uint8)), dict(y_test=np.full(10, 10, np.uint8)),
    dict(y_test=np.array([{}] * 10, dtype=object)), dict(y_test=np.full(10, -1)),
    dict(y_test=np.eye(10, dtype=np.uint8))],
                         ids=["float", "lengths", "flat", "label 10", "pickled", "label -1", "one-hot"])
def test_a_file_that_holds_something_else_is_refused(tmp_path, changes):
    written(tmp_path / "raw", **arrays(**changes))
    with pytest.raises(ValueError, match=r"mnist\.npz is damaged or is not the mnist set"):
        data.load("mnist")


def test_a_file_without_one_of_the_arrays_is_refused(tmp_path):
    content = arrays()
    del content["x_test"]
    written(tmp_path / "raw", **content)
    with pytest.raises(ValueError, match="x_test"):
        data.load("mnist")


@pytest.mark.mnist
def test_mnist_is_the_official_one(monkeypatch):
    monkeypatch.undo()
    try:
        found = data.load("mnist")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert (len(found.train), len(found.test), found.shape) == (60_000, 10_000, (1, 28, 28))
    magic = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (10_000, 28, 28))
    digest = hashlib.md5(magic + found.test.x.numpy().tobytes()).hexdigest()
    assert digest == "2646ac647ad5339dbf082846283269ea"         # of the official file, unpacked
