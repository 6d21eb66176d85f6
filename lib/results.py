"""Records (per-image outcomes, the truth) and rows (one tidy value each, computed from them)."""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / os.environ.get("BOOK_RESULTS", "data/results")

KEYS = ("experiment", "dataset", "model", "variant", "class", "attack", "norm", "eps", "steps", "step_size", "loss",
        "restarts", "draws", "detector", "source", "metric", "value", "low", "high", "n", "seed", "attack_seed",
        "profile", "protocol")
ORIGIN = ("commit", "device", "dtype", "torch", "data", "seconds")
COLUMNS = KEYS + ORIGIN
SUM = "crc32"                       # metric of the last line of a CSV
NUMBERS = ("eps", "steps", "step_size", "restarts", "draws", "value", "low", "high", "n", "seed", "attack_seed",
           "seconds")


@dataclass(frozen=True)
class Record:
    """Outcomes image by image, and the settings that made them (JSON in the file)."""

    arrays: dict[str, np.ndarray]
    settings: dict
    path: Path

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


@contextmanager
def atomic(path: Path):
    """A temporary path beside `path`, moved into place when the block succeeds and removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error}; nothing was left behind. Free space or choose another results "
                      "folder, then run the same command again") from error
    finally:
        temporary.unlink(missing_ok=True)


def significant(values: np.ndarray, bits: int = 16) -> np.ndarray:
    """float32 values kept to so many significant bits, relative error at most 2**-bits: log joints of some hundred nats
    to a few thousandths. An archive of them is a third smaller. What is not finite stays as it is."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float32))
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)


def write_record(path: Path, arrays: Mapping[str, np.ndarray], settings: Mapping) -> None:
    """Write a compressed .npz with its settings, all or nothing. Object arrays are refused (they would need pickle)."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"record array {name!r} has dtype object; expected numbers or fixed-width text")
    text = json.dumps(dict(settings) | {SUM: _checksum(arrays, settings)}, sort_keys=True)
    with atomic(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, settings=np.array(text), **arrays)


def _checksum(arrays: Mapping[str, np.ndarray], settings: Mapping) -> int:
    """Of names, kinds, shapes, values and settings: zip guards the values alone."""
    found = zlib.crc32(json.dumps(dict(settings), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), found)
        found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return found


def read_record(path: Path) -> Record:
    """Read a record. A damaged or hostile file raises ValueError that names it: delete just it, and run again.

    Tracked records are packed by LZMA, a sixth smaller; numpy reads them like those that `write_record` packs.
    """
    path = Path(path)
    with _named(path), np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
        settings = json.loads(str(arrays.pop("settings")))
        wanted = settings.pop(SUM, None)            # None: written before there were sums
        if wanted is not None and wanted != _checksum(arrays, settings):
            raise ValueError("its checksum is another: it was damaged or changed")
        return Record(arrays, settings, path)


def same(records: Iterable[Record], name: str) -> None:
    """Raises ValueError, naming the files, where records differ in a setting that all of them should share.

    Records that do not say are taken to agree: some are older than the setting.
    """
    known = {record.settings[name]: record.path.name for record in records if record.settings.get(name)}
    if len(known) > 1:
        raise ValueError(f"records {', '.join(known.values())} were made with different {name} "
                         f"({', '.join(map(str, known))}); delete the older ones, which are then computed anew")


def read_settings(path: Path) -> dict:
    """The settings of a record, without its outcomes. Raises ValueError as `read_record` does."""
    with _named(path), np.load(path, allow_pickle=False) as file:
        settings = json.loads(str(file["settings"]))
        settings.pop(SUM, None)
        return settings


@contextmanager
def _named(path: Path):
    """Whatever zip, numpy and JSON make of a damaged file (a dozen kinds of error) becomes one that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"record {path} cannot be read ({error}); delete that file and run again: only its unit of "
                         "work is computed anew") from error


def tidy(rows: Iterable[Mapping]) -> pd.DataFrame:
    """A frame with exactly COLUMNS, blank where a row says nothing. Raises ValueError for a key that is no column."""
    rows = list(rows)
    unknown = sorted({key for row in rows for key in row} - set(COLUMNS))
    if unknown:
        raise ValueError(f"rows have unknown columns {unknown}; expected keys of {COLUMNS}")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in COLUMNS:
        frame[column] = (pd.to_numeric(frame[column]) if column in NUMBERS
                         else frame[column].astype(object).fillna("").astype(str))
    return frame


def inventory(folder: Path) -> str:
    """One checksum of the names of the records in a folder and of what their archives say of their contents, to tell
    whether rows were made from them; "" without records."""
    found = [(path.name, _told(path)) for path in sorted(Path(folder).glob("*.npz"))]
    return f"{zlib.crc32(json.dumps(found).encode()):08x}" if found else ""


def _told(record: Path) -> list[int]:
    """The checksums that an archive keeps of its members; of a file that is none, its size: reading it will say why."""
    try:
        with zipfile.ZipFile(record) as archive:
            return [member.CRC for member in archive.infolist()]
    except zipfile.BadZipFile:
        return [record.stat().st_size]


def write_rows(path: Path, rows: pd.DataFrame, made_from: str = "") -> None:
    """Write rows as CSV, all or nothing, sorted so that the same rows give the same file.

    A last line, a row like the others, holds as `value` the checksum of all before it: metric crc32. made_from: the
    `inventory` of their records, which that line keeps as `data`, and its checksum guards too.
    """
    keys = [k for k in KEYS if k not in ("value", "low", "high", "n")]
    text = rows.sort_values(keys, kind="stable").to_csv(index=False, float_format="%.6g", lineterminator="\n")
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(text.encode() + _last_line(text.encode(), made_from))


def inventory_in(path: Path) -> str:
    """The `inventory` of the records that stored rows were made from; "" where they do not say."""
    return _stated(Path(path).read_bytes())


def _stated(content: bytes) -> str:
    cells = content.rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace").split(",")
    return cells[COLUMNS.index("data")] if len(cells) == len(COLUMNS) and cells[COLUMNS.index("metric")] == SUM else ""


def _last_line(before: bytes, made_from: str = "") -> bytes:
    cells = {"metric": SUM, "value": str(zlib.crc32(made_from.encode(), zlib.crc32(before))), "data": made_from}
    return (",".join(cells.get(column, "") for column in COLUMNS) + "\n").encode()


def read_rows(path: Path) -> pd.DataFrame:
    """Read rows. Raises ValueError naming the file where it is damaged, cut off, edited by hand or of
    another version."""
    try:
        content = Path(path).read_bytes()
        cut = content.rstrip(b"\n").rfind(b"\n") + 1
        frame = pd.read_csv(io.BytesIO(content[:cut]), dtype={c: str for c in COLUMNS if c not in NUMBERS},
                            keep_default_na=False, na_values={c: [""] for c in NUMBERS})
        if content[cut:] != _last_line(content[:cut], _stated(content)):
            raise ValueError("its last line is not the checksum of the others: it was cut off or changed")
        if tuple(frame.columns) != COLUMNS:
            raise ValueError(f"columns are {list(frame.columns)}")
        return tidy(frame.to_dict("records"))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"rows {path} cannot be read ({error}); delete that file and run again: it is computed anew "
                         "from its records") from error


def select(rows: pd.DataFrame, **keys) -> pd.DataFrame:
    """The rows whose columns equal the given values, or are among them where a list is given.

    Numbers match to a relative 1e-5: rows are written with six digits. Raises KeyError for a name that is no column.
    """
    for name, wanted in keys.items():
        if name not in COLUMNS:
            raise KeyError(f"{name!r} is no column of the rows; expected one of {COLUMNS}")
        values = wanted if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted]
        if name in NUMBERS:
            wanted = np.array([float(v) for v in values])
            rows = rows[np.isclose(rows[name].to_numpy(float)[:, None], wanted, rtol=1e-5).any(axis=1)]
        else:
            rows = rows[rows[name].isin([str(v) for v in values])]
    return rows


def one(rows: pd.DataFrame, **keys) -> pd.Series:
    """The single row with these keys. Raises LookupError naming them when there is none, or more than one."""
    found = select(rows, **keys)
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows with {keys}; expected exactly one"
                          + ("; is its unit of work computed?" if found.empty else "; add keys that tell them apart"))
    return found.iloc[0]


def rows_from(folder: Path, summarise: Callable[[list[Record]], list[dict]]) -> pd.DataFrame:
    """The rows of an experiment, computed from all records in its folder."""
    return tidy(summarise([read_record(path) for path in sorted(folder.glob("*.npz"))]))
