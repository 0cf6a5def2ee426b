"""AI4I 2020: the table, its leaks, its windows."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.gan import milling, tabular
from training.gan.windows import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def copy(ai4i, tmp_path) -> Callable[..., Path]:
    """A function that writes a changed table and returns its folder."""

    def write(change) -> Path:
        with (ai4i / "ai4i2020" / "ai4i2020.csv").open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.DictReader(file))[:400]
        for row in table:
            change(row)
        folder = tmp_path / "data"
        (folder / "ai4i2020").mkdir(parents=True)
        with (folder / "ai4i2020" / "ai4i2020.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys())
            writer.writeheader()
            writer.writerows(table)
        return folder

    return write


def test_no_feature_changes_when_the_leak_columns_do(ai4i, copy) -> None:
    def scramble(row) -> None:
        for name in milling.LEAKS:
            row[name] = "1" if row[name] == "0" else "0"

    changed = milling.rows(copy(scramble))
    np.testing.assert_array_equal(changed.features, milling.rows(ai4i).features[:400])
    assert not set(milling.FEATURES) & set(milling.LEAKS)


def test_the_table_is_the_published_one(ai4i) -> None:
    table = milling.rows(ai4i)
    assert len(table.features) == 10_000
    assert int(table.failed.sum()) == 339
    assert table.modes.sum(axis=0).tolist() == [46, 115, 95, 98, 19]


def test_fifty_row_windows_turn_rare_failures_into_the_majority(ai4i) -> None:
    table = milling.rows(ai4i)
    values, label, _ = milling.windowed(table)
    assert values.shape == (9951, 50, 5)
    assert table.failed.mean() < 0.04
    assert label.mean() > 0.7


def test_made_rows_obey_the_physics(ai4i) -> None:
    table = milling.rows(ai4i)
    windows = tabular.as_windows(table, np.arange(500))
    made = tabular.made_features(windows)
    np.testing.assert_allclose(made, table.features[:500], rtol=1e-5)


def test_a_missing_column_and_a_value_that_is_no_number_are_named(copy, tmp_path) -> None:
    def ruin(row) -> None:
        row["Torque [Nm]"] = "n/a"

    with pytest.raises(InputError, match=r"ai4i2020\.csv:.*n/a.*must be a number"):
        milling.rows(copy(ruin))
    with pytest.raises(InputError, match="MOTOR_DATA"):
        milling.rows(tmp_path / "nowhere")


def test_folds_share_no_row_between_training_and_test(ai4i) -> None:
    for train, test in tabular.folds(milling.rows(ai4i))[:3]:
        assert not set(train) & set(test)
