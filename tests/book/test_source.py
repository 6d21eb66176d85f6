"""What a page says of the rows that it shows."""

import numpy as np
import pandas as pd

from lib import pages, results


def rows(**more) -> pd.DataFrame:
    shared = {"experiment": "clean", "attack": "clean", "seed": 0, "seconds": 1800.0, "profile": "laptop",
              "device": "CPU", "commit": "1a2b3c", "data": "original pixels"}
    return results.tidy([shared | {"model": model} | more for model in ("GFZ", "GFZ", "DBX")])


def record(folder, name, **settings):
    results.write_record(folder / "laptop" / "clean" / f"{name}.npz", {"index": np.arange(2)},
                         {"model": "GFZ", "seed": 0, "date": "2026-01-02"} | settings)


def test_each_record_is_counted_once_and_code_and_device_are_named(tmp_path):
    record(tmp_path, "a", seconds=1800.0), record(tmp_path, "b", seconds=1800.0, model="DBX")
    said = pages.origin(rows(), results=tmp_path).data
    assert "<td>60 min" in said and "1a2b3c" in said and "CPU" in said and "Profile laptop" in said


def test_formats_that_were_pooled_are_named_one_by_one(tmp_path):
    record(tmp_path, "a")
    assert "<td>bfloat16, float32<td>" in pages.origin(rows(dtype="bfloat16+float32"), results=tmp_path).data


def test_dates_are_those_of_the_records_behind_the_rows(tmp_path):
    record(tmp_path, "a"), record(tmp_path, "b", date="2026-03-04")
    record(tmp_path, "c", date="1999-01-01", seed=1), record(tmp_path, "d", date="1999-01-01", model="CNN")
    assert "<td>2<td>2026-01-02 to 2026-03-04" in pages.origin(rows(), results=tmp_path).data


def test_each_experiment_has_its_line(tmp_path):
    record(tmp_path, "a", seconds=3600.0)
    said = pages.origin(rows(), rows(experiment="strong", seconds=7.0), results.tidy([]), results=tmp_path).data
    assert said.count("<td>60 min") == 1 and said.count("<td>–<td>–<td>–") == 1


def test_pixels_that_are_not_the_originals_are_declared(tmp_path):
    assert "<b>" not in pages.origin(rows(), results=tmp_path).data
    assert "not strictly comparable" in pages.origin(rows(data="JPEG copy: quality 75"), results=tmp_path).data
    assert "not known" in pages.origin(rows(data=""), results=tmp_path).data


def test_no_rows_are_said_to_be_none():
    assert "No rows yet" in pages.origin(results.tidy([])).data


def test_rows_of_systems_come_from_the_records_of_their_detectors(tmp_path):
    record(tmp_path, "a", model="GAT", seconds=120.0), record(tmp_path, "b", seconds=999.0)
    said = pages.origin(rows().assign(model="GAT-generative"), results=tmp_path).data
    assert "<td>1<td>2026-01-02<td>2 min" in said
