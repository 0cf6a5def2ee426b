"""Figures, intervals and the two files, on numbers that are known by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.evaluate import interval, reliability, report
from training.evaluate.figure import Figure, Section, Table, canvas, plot

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (0.85, ">= 0.85", True),
        (0.84, ">= 0.85", False),
        (12.1, "<= 12", False),
        (0.9, "= 0.87..0.93", True),
        (0.94, "= 0.87..0.93", False),
        (float("nan"), ">= 0.5", False),
        (0.5, "", None),
    ],
)
def test_a_figure_knows_whether_its_target_is_met(value: float, target: str, met: bool | None) -> None:
    assert Figure("a.b", value, target=target).met is met


def test_an_undefined_figure_is_null_and_not_a_number_nobody_can_parse() -> None:
    assert Figure("a.b", float("nan"), 0.1, float("inf")).entries() == {"a.b": None, "a.b.lo": 0.1, "a.b.hi": None}


def test_an_interval_over_seeds_is_students() -> None:
    found = interval.over_seeds([1.0, 2.0, 3.0])
    half = 4.302653 / np.sqrt(3.0)  # t(0.975, 2) from the table, deviation 1
    assert found == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-5)


def test_no_event_still_leaves_a_rate_that_may_be_above_nothing() -> None:
    found = interval.rate(0, 1000.0)
    assert (found.value, found.lo) == (0.0, 0.0)
    assert found.hi == pytest.approx(3.689 / 1000.0, rel=1e-3)  # -ln(0.025)


@pytest.mark.parametrize("values", [[0.98, 0.99, 1.0, 1.0], [0.0, 0.02, 0.0], [1.0, 1.0], [0.4, 0.5, 0.6]])
def test_an_interval_of_shares_over_seeds_stays_a_share_and_holds_the_mean(values: list[float]) -> None:
    mean, lo, hi = interval.shares_over_seeds(values)
    assert 0.0 <= lo <= mean <= hi <= 1.0
    assert mean == pytest.approx(np.mean(values))


def test_an_interval_of_shares_is_students_where_the_spread_is_small() -> None:
    values = [0.499, 0.5, 0.501]
    assert interval.shares_over_seeds(values) == pytest.approx(interval.over_seeds(values), abs=1e-5)


def test_wilsons_interval_of_all_hits_stays_below_one() -> None:
    found = interval.share(10, 10)
    assert found.value == 1.0
    assert found.hi == pytest.approx(1.0)
    assert found.lo == pytest.approx(0.7225, abs=1e-3)


def test_drawing_whole_groups_gives_a_wider_interval_than_drawing_rows() -> None:
    rng = np.random.default_rng(0)
    bearing = np.repeat(np.arange(10), 40)
    right = np.repeat(rng.random(10) < 0.6, 40).astype(float)
    one = np.zeros(400)
    whole = interval.over_groups(lambda at: float(right[at].mean()), bearing, one, draws=300)
    rows = interval.over_groups(lambda at: float(right[at].mean()), np.arange(400), one, draws=300)
    assert whole.value == rows.value == right.mean()
    assert whole.hi - whole.lo > 3.0 * (rows.hi - rows.lo)


def test_a_bootstrap_keeps_every_class() -> None:
    classes = np.array([0, 0, 1, 1, 1, 1])
    seen = []
    interval.over_groups(lambda at: float(seen.append(set(classes[at])) or 0.0), np.arange(6), classes, draws=50)
    assert all(one == {0, 1} for one in seen)


def _outcome() -> report.Outcome:
    drawn = canvas()
    drawn.add_subplot().plot([0, 1])
    section = Section(
        title="A <title>",
        protocol="Split first.",
        figures=(Figure("x.good", 0.9, 0.8, 0.95, ">= 0.85"), Figure("x.bad", 0.1, target=">= 0.5")),
        tables=(Table("rows", ("a",), (("<b>",),)),),
        plots=(plot("a line", drawn),),
        caveats=("it is small",),
    )
    return report.Outcome("x", section, "", 1.0)


def test_the_page_says_what_fell_short_and_what_was_not_run(tmp_path: Path) -> None:
    skipped = report.Outcome("skab", None, "skab: absent in data; run 'python -m training fetch skab'", 0.0)
    report.write(tmp_path, [_outcome(), skipped], {"bundle": "abc"})
    page = (tmp_path / report.PAGE_FILE).read_text()
    assert "1 of 2 targets met" in page
    assert "<code>x.bad</code> is 0.1, the target is &gt;= 0.5" in page
    assert "it is small" in page
    assert "<b>skab</b>: skab: absent in data" in page
    assert "data:image/png;base64," in page
    assert "<b></table>" not in page
    assert "&lt;b&gt;" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [report.JSON_FILE, report.PAGE_FILE]


def test_the_json_is_flat_with_its_intervals(tmp_path: Path) -> None:
    report.write(tmp_path, [_outcome()], {})
    assert json.loads((tmp_path / report.JSON_FILE).read_text()) == {
        "x.good": 0.9,
        "x.good.lo": 0.8,
        "x.good.hi": 0.95,
        "x.bad": 0.1,
    }


def test_a_picture_of_the_same_numbers_has_the_same_bytes() -> None:
    def drawn() -> bytes:
        picture = canvas()
        picture.add_subplot().plot([0, 2, 1])
        return plot("p", picture).png

    assert drawn() == drawn()


def test_the_calibration_error_of_honest_probabilities_is_small_and_of_sure_ones_their_excess() -> None:
    rng = np.random.default_rng(3)
    told = rng.random(40_000)
    truth = (rng.random(len(told)) < told).astype(np.float64)
    assert reliability.error(told, truth) < 0.01
    assert reliability.error(np.full(len(told), 0.9), truth) == pytest.approx(0.4, abs=0.01)
    half = np.where(np.arange(len(told)) % 2 == 0, truth, np.nan)
    assert reliability.curve(told, half)[0].sum() == len(told) / 2
