"""Records and rows survive what befalls files."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from lib import published, results


def test_a_record_comes_back_as_it_was_written(tmp_path):
    results.write_record(tmp_path / "a.npz", {"index": np.arange(3, dtype=np.int32)}, {"model": "GFZ"})
    record = results.read_record(tmp_path / "a.npz")
    assert record.settings == {"model": "GFZ"} and record["index"].dtype == np.int32
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_significant_bits_bound_the_relative_error_and_leave_the_rest(tmp_path):
    values = np.random.default_rng(0).normal(size=20_000) * np.logspace(-30, 30, 20_000)
    kept = results.significant(values)
    assert kept.dtype == np.float32 and np.abs(kept / values.astype(np.float32) - 1).max() <= 2 ** -16
    np.testing.assert_array_equal(results.significant(kept), kept)
    special = np.array([np.inf, -np.inf, np.nan, 0.0, 3.0])
    np.testing.assert_array_equal(results.significant(special), special)
    for name, array in (("whole", values.astype(np.float32)), ("kept", kept)):
        results.write_record(tmp_path / f"{name}.npz", {"log_joint": array}, {})
    assert (tmp_path / "kept.npz").stat().st_size < 0.85 * (tmp_path / "whole.npz").stat().st_size


def test_a_truncated_record_is_named_with_its_remedy(tmp_path):
    path = tmp_path / "a.npz"
    results.write_record(path, {"index": np.arange(300)}, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"a\.npz cannot be read .* delete that file"):
        results.read_record(path)


def test_a_record_that_needs_pickle_is_neither_written_nor_read(tmp_path):
    with pytest.raises(TypeError, match="'who' has dtype object"):
        results.write_record(tmp_path / "a.npz", {"who": np.array([{}], dtype=object)}, {})
    np.savez(tmp_path / "b.npz", settings=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"b\.npz cannot be read"):
        results.read_record(tmp_path / "b.npz")
    assert not (tmp_path / "a.npz").exists()


def test_a_full_disk_leaves_no_partial_file(tmp_path):
    code = ("import sys, numpy as np; from pathlib import Path; from lib import results\n"
            "results.write_record(Path(sys.argv[1]), {'x': np.random.default_rng(0).random(200_000)}, {})")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.npz")], capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert done.returncode and "cannot write" in done.stderr and "a.npz" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = results.tidy([{"model": "GFZ", "metric": "accuracy", "value": 0.5, "eps": 0.1, "n": 4, "seed": 0}])
    results.write_rows(tmp_path / "a.csv", rows)
    back = results.read_rows(tmp_path / "a.csv")
    assert back.model[0] == "GFZ" and back.value[0] == 0.5 and back.attack[0] == "" and np.isnan(back.low[0])


def test_rows_keep_from_which_records_they_were_made(tmp_path):
    path, rows = tmp_path / "a.csv", results.tidy([{"model": "GFZ", "value": 0.5, "data": "pixels"}])
    results.write_rows(path, rows)
    assert results.inventory_in(path) == results.inventory(tmp_path) == ""
    for value in (1.0, 2.0):                # files of one size
        results.write_record(tmp_path / "a.npz", {"x": np.array([value])}, {})
        results.write_rows(path, rows, results.inventory(tmp_path))
        assert results.inventory_in(path) == results.inventory(tmp_path) != "" and len(results.read_rows(path)) == 1
    path.write_text(path.read_text().replace(results.inventory(tmp_path), "00000000"))
    with pytest.raises(ValueError, match=r"a\.csv cannot be read .*its last line is not the checksum"):
        results.read_rows(path)


def test_a_cut_off_csv_is_named_with_its_remedy(tmp_path):
    (tmp_path / "a.csv").write_text("experiment,dataset\nclean,mn")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read .* delete that file"):
        results.read_rows(tmp_path / "a.csv")


def test_an_unknown_column_is_refused():
    with pytest.raises(ValueError, match="'epsilon'"):
        results.tidy([{"epsilon": 0.1}])
    with pytest.raises(KeyError, match="'epsilon'"):
        results.select(results.tidy([{"eps": 0.1}]), epsilon=0.1)


def test_one_says_what_it_looked_for():
    rows = results.tidy([{"model": "GFZ", "eps": 0.1}, {"model": "GFZ", "eps": 0.2}])
    assert results.one(rows, model="GFZ", eps=0.2).eps == 0.2
    with pytest.raises(LookupError, match="0 rows with .*'GBZ'"):
        results.one(rows, model="GBZ")
    with pytest.raises(LookupError, match="2 rows"):
        results.one(rows, model="GFZ")


def test_published_tables_are_fractions_and_complete():
    rows = published.table("deep-bayes", "table1_mnist")
    cell = results.one(rows, attack="pgd", source="white", model="GBZ", metric="accuracy_upto")
    assert (cell.value, cell.eps) == (0.3078, 0.3) and len(rows) == 48
    assert results.one(published.table("deep-bayes", "table3_spsa"), dataset="mnist", attack="spsa",
                       model="GFZ").value == 0.682
    with pytest.raises(KeyError, match="table9.*table1_mnist"):
        published.table("deep-bayes", "table9")


def test_rows_are_found_again_by_any_eps_of_so_many_255ths(tmp_path):
    """Written with six digits, and asked for with all."""
    radii = [k / 255 for k in range(1, 65)]
    results.write_rows(tmp_path / "toy.csv", results.tidy(
        [{"experiment": "toy", "metric": "accuracy", "eps": eps, "value": 0.0} for eps in radii]))
    back = results.read_rows(tmp_path / "toy.csv")
    assert [len(results.select(back, eps=eps)) for eps in radii] == [1] * len(radii)
