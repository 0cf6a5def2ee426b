"""Windows of one machine as one answer: what adds up, what does not, and how sure anybody may be."""

from __future__ import annotations

import numpy as np
import pytest

from service.evidence import ALIKE, PRIOR, pooled


def windows(*probability: float) -> np.ndarray:
    return np.array(probability)[:, None]


def odds(probability: float) -> float:
    return float(np.log(probability / (1.0 - probability)))


def test_one_window_is_its_own_answer() -> None:
    assert pooled(np.array([[0.2, 0.9]])).tolist() == [0.2, 0.9]


def test_windows_that_say_nothing_leave_the_prior() -> None:
    nothing = 1.0 / (1.0 + np.exp(-PRIOR))
    assert odds(pooled(windows(*[nothing] * 20))[0]) == pytest.approx(PRIOR, abs=1e-9)


def test_windows_that_each_doubt_a_little_are_sure_together() -> None:
    assert pooled(windows(*[0.4] * 10))[0] > 0.95
    assert pooled(windows(*[0.02] * 10))[0] < 0.02


def test_a_fault_that_shows_in_a_fifth_of_the_windows_is_found() -> None:
    assert pooled(windows(*([0.97] * 4 + [0.005] * 16)))[0] > 0.6
    assert pooled(windows(0.97, *[0.005] * 19))[0] < 0.1


def test_more_windows_make_surer_but_never_more_than_so_many_that_have_nothing_in_common() -> None:
    few, many, endless = (odds(pooled(windows(*[0.3] * n))[0]) for n in (5, 50, 5000))
    assert few < many < endless
    assert endless < PRIOR + (odds(0.3) - PRIOR) / ALIKE


def test_the_order_of_the_windows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.random((12, 3))
    assert pooled(rng.permutation(drawn)) == pytest.approx(pooled(drawn))


def test_certainty_of_nought_and_one_stays_finite() -> None:
    assert np.isfinite(pooled(windows(0.0, 1.0, 0.0, 1.0))).all()
    assert np.isnan(pooled(windows(0.5, float("nan")))).all()
