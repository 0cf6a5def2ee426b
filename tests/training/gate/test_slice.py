"""The paired comparison: what counts as worse, and that its intervals are right."""

from __future__ import annotations

import numpy as np
import pytest

from training.gate.limit import limit_of
from training.gate.slice import Slice, judge, summed

pytestmark = pytest.mark.training


def one(champion: np.ndarray, candidate: np.ndarray, *, margin: float = 0.1, higher: bool = True) -> Slice:
    ones = np.ones(len(champion))
    return Slice("x", "", higher, margin, champion.astype(float), candidate.astype(float), ones)


def test_the_same_answers_are_the_same() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(50)
    (found,) = judge([one(values, values)])
    assert (found.verdict, found.change, found.lo, found.hi) == ("same", 0.0, 0.0, 0.0)


def test_a_small_loss_that_is_certain_is_worse() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200)
    after = before - 0.01 + 0.005 * rng.standard_normal(200)
    (found,) = judge([one(before, after, margin=0.5)])
    assert found.verdict == "worse"
    assert found.hi < 0.0


def test_a_large_loss_is_worse_even_where_chance_may_explain_it() -> None:
    before, after = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    (found,) = judge([one(before, after, margin=0.2)])
    assert found.verdict == "worse"
    assert found.lo < 0.0 <= found.hi


def test_a_loss_within_the_margin_that_chance_may_explain_is_no_reason() -> None:
    before = np.ones(100)
    after = before.copy()
    after[0] = 0.0
    (found,) = judge([one(before, after, margin=0.05)])
    assert found.verdict == "same"


@pytest.mark.parametrize(("higher", "verdict"), [(True, "better"), (False, "worse")])
def test_the_direction_decides(higher: bool, verdict: str) -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200)
    (found,) = judge([one(before, before + 0.05, higher=higher)])
    assert found.verdict == verdict


def test_a_figure_that_is_no_number_is_worse() -> None:
    before = np.ones(20)
    after = before.copy()
    after[3] = np.nan
    (found,) = judge([one(before, after)])
    assert found.verdict == "worse"


def test_a_relative_margin_is_a_share_of_the_champions_figure() -> None:
    before, after = np.full(4, 100.0), np.array([100.0, 100.0, 100.0, 132.0])
    for margin, verdict in ((0.1, "same"), (0.07, "worse")):
        (found,) = judge([Slice("x", "", False, margin, before, after, np.ones(4), relative=True)])
        assert found.verdict == verdict


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Paired differences of known mean: one slice at 95 % must cover it in about 95 of 100 repetitions."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        before = rng.random(60)
        (found,) = judge([one(before, before + 0.3 * rng.standard_normal(60))])
        covered += found.lo <= 0.0 <= found.hi
    assert 180 <= covered <= 198


def test_many_slices_share_one_chance_of_error() -> None:
    rng = np.random.default_rng(4)
    before = rng.random(60)
    after = before + 0.3 * rng.standard_normal(60)
    (alone,) = judge([one(before, after)])
    among = judge([one(before, after)] * 40)[0]
    assert among.lo < alone.lo < alone.hi < among.hi


def test_rows_of_one_motor_are_one_unit() -> None:
    owner = np.repeat([1, 2, 3], 100)
    hit = np.repeat([True, False, True], 100)
    made = summed("x", "", owner, hit, ~hit, higher_is_better=True, margin=1.0)
    (found,) = judge([made])
    assert found.units == 3
    assert made.weight.tolist() == [100.0] * 3
    # three units that differ this much prove nothing, whatever the number of their rows
    assert found.lo < 0.0 < found.hi


def test_a_slice_without_any_unit_is_left_out() -> None:
    assert judge([one(np.zeros(0), np.zeros(0))]) == []


def test_the_same_call_gives_the_same_interval() -> None:
    rng = np.random.default_rng(5)
    pair = rng.random(30), rng.random(30)
    assert judge([one(*pair)]) == judge([one(*pair)])


def recall(champion: float, candidate: float) -> Slice:
    ones = np.ones(40)
    return Slice("cage.recall", "", True, 0.1, champion * ones, candidate * ones, ones)


@pytest.mark.parametrize(
    ("champion", "candidate", "verdict"),
    [(0.3, 0.3, "poor"), (0.3, 0.4, "poor"), (0.3, 0.5, "better"), (0.9, 0.3, "worse"), (0.9, np.nan, "worse")],
)
def test_a_bad_champion_lets_no_bad_candidate_in(champion: float, candidate: float, verdict: str) -> None:
    (found,) = judge([recall(champion, candidate)], limits=True)
    assert (found.verdict, found.passed) == (verdict, verdict == "better")
    assert found.limit == 0.45


def test_without_limits_only_the_champion_is_the_measure() -> None:
    (found,) = judge([recall(0.3, 0.3)])
    assert (found.verdict, found.limit) == ("same", None)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("missed", 0.2, 0.21),
        ("cooling.missed", 0.6, 0.61),
        ("ball.false_naming", 0.02, 0.021),
        ("named", 0.8, 0.79),
        ("anomaly.recall", 0.15, 0.14),
        ("false_alarms_per_motor_day", 0.05, 0.06),
    ],
)
def test_every_kind_of_figure_has_its_limit(name: str, good: float, bad: float) -> None:
    limit = limit_of(name)
    assert limit is not None
    assert (limit.broken_by(good), limit.broken_by(bad), limit.broken_by(float("nan"))) == (False, True, True)


def test_a_few_recordings_are_no_limit() -> None:
    assert limit_of("cwru.ball.named") is None
