"""The rules of a swap, without files, processes or time."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import swap
from service.swap import ENDINGS, Phase, Ran, Rules, Shadowed, Swap

RULES = Rules(min_readings=100, shadow_max_s=60.0, soak_s=10.0, soak_max_s=100.0)
GOOD = Shadowed(readings=100, run_s=1.0, running_run_s=1.0)


def in_shadow() -> Swap:
    return swap.proven(swap.begin(0.0), 0.01, 1.0, RULES)


def in_soak(before: Ran | None = None) -> Swap:
    shadow = in_shadow()
    for _ in range(40):
        shadow = swap.counted(shadow, 10, 0, 0, 0.01)
    soak = swap.compared(shadow, GOOD, 2.0, RULES)
    assert soak.phase == "soak"
    return soak if before is None else Swap("soak", 2.0, before=before)


def test_a_good_candidate_goes_all_the_way() -> None:
    soak = in_soak()
    for _ in range(12):
        soak = swap.counted(soak, 10, 0, 0, 0.01)
    assert swap.soaked(soak, 11.9, RULES).phase == "soak"
    done = swap.soaked(soak, 12.0, RULES)
    assert (done.phase, done.reason, done.ended) == ("committed", "", True)


def test_a_slow_proof_is_refused() -> None:
    done = swap.proven(swap.begin(0.0), 2.5, 1.0, RULES)
    assert (done.phase, done.reason) == ("refused", "a full batch takes 2.50 s, 2 s are allowed")


def test_too_few_readings_in_the_shadow_are_inconclusive() -> None:
    few = swap.compared(in_shadow(), Shadowed(readings=99), 61.0, RULES)
    assert few.phase == "shadow"
    done = swap.compared(few, Shadowed(), 61.1, RULES)
    assert (done.phase, done.reason) == ("inconclusive", "only 99 of 100 readings came in 60 s of shadow")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (GOOD._replace(disagreements=11), "disagrees with the running models on 11.0% of 100"),
        (GOOD._replace(opened=6), "opened 6 alerts where the running models open 0"),
        (GOOD._replace(opened=12, running_opened=2), "opened 12 alerts where the running models open 2"),
        (GOOD._replace(run_s=3.1), "take 3.1 times as long"),
        (Shadowed(readings=3, failures=3), "fails on 3 of 3 live readings"),
    ],
)
def test_a_shadow_that_differs_is_refused(seen: Shadowed, reason: str) -> None:
    done = swap.compared(in_shadow(), seen, 2.0, RULES)
    assert done.phase == "refused"
    assert reason in done.reason


@pytest.mark.parametrize(
    "seen",
    [
        GOOD._replace(disagreements=10),
        GOOD._replace(opened=5),
        GOOD._replace(opened=11, running_opened=2),
        GOOD._replace(run_s=3.0),
        GOOD._replace(failures=2),
        GOOD._replace(failures=40, running_failures=40),
        GOOD._replace(run_s=0.0, running_run_s=0.0),
    ],
)
def test_a_shadow_that_differs_little_passes(seen: Shadowed) -> None:
    assert swap.compared(in_shadow(), seen, 2.0, RULES).phase == "soak"


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ((10, 3, 0, 0.01), "failed on 3 of 10 readings"),
        ((10, 0, 6, 0.01), "opened 6 alerts in 10 readings; the old models open 0.0"),
    ],
)
def test_a_soak_that_goes_wrong_rolls_back_at_once(batch: tuple[int, int, int, float], reason: str) -> None:
    done = swap.soaked(swap.counted(in_soak(), *batch), 2.1, RULES)
    assert done.phase == "rolled_back"
    assert reason in done.reason


def test_a_soak_is_measured_by_what_the_old_models_did() -> None:
    noisy = Ran(readings=100, failures=20, opened=10, batches=10)
    assert swap.soaked(swap.counted(in_soak(noisy), 100, 40, 30, 0.1), 2.1, RULES).phase == "soak"
    assert swap.soaked(swap.counted(in_soak(noisy), 100, 43, 30, 0.1), 2.1, RULES).phase == "rolled_back"


def test_a_soak_whose_slow_readings_became_slower_rolls_back_when_there_are_enough() -> None:
    soak = in_soak()
    for count in range(1, 31):
        soak = swap.counted(soak, 10, 0, 0, 0.06)
        assert (swap.soaked(soak, 2.1, RULES).phase == "rolled_back") == (count == 30)
    assert "p95" in swap.soaked(soak, 2.1, RULES).reason


def test_too_few_readings_in_the_soak_bring_the_old_models_back() -> None:
    soak = swap.counted(in_soak(), 10, 0, 0, 0.01)
    assert swap.soaked(soak, 102.0, RULES).phase == "soak"
    assert swap.soaked(soak, 102.1, RULES).reason == "only 10 of 100 readings came in 100 s of soak"


def test_nothing_is_committed_without_a_soak() -> None:
    with pytest.raises(ValueError, match="only after a soak"):
        swap.end(in_shadow(), "committed", "", 1.0)


def test_a_soak_cannot_be_refused_only_rolled_back() -> None:
    assert swap.end(in_soak(), "refused", "why", 3.0).phase == "rolled_back"
    assert swap.end(in_soak(), "inconclusive", "why", 3.0).phase == "rolled_back"


@given(st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=60))
def test_p95_is_right_to_a_third_of_an_octave(each_s: list[float]) -> None:
    ran = Ran()
    for one in each_s:
        ran = ran.plus(1, 0, 0, one)
    rank = sorted(each_s)[max(0, -(-95 * len(each_s) // 100) - 1)]
    assert max(rank, 1e-5) / 1.0001 <= ran.p95_s <= max(rank, 1e-5) * 2 ** (1 / 3) * 1.0001


events = st.one_of(
    st.tuples(st.just("proven"), st.floats(0.0, 4.0)),
    st.tuples(
        st.just("compared"),
        st.builds(
            Shadowed,
            readings=st.integers(0, 150),
            disagreements=st.integers(0, 20),
            failures=st.integers(0, 4),
            opened=st.integers(0, 8),
            run_s=st.floats(0.0, 5.0),
            running_run_s=st.floats(0.0, 5.0),
        ),
    ),
    st.tuples(st.just("counted"), st.tuples(st.integers(1, 50), st.integers(0, 4), st.integers(0, 8))),
    st.tuples(st.just("soaked"), st.none()),
    st.tuples(st.just("end"), st.sampled_from(["refused", "inconclusive", "cancelled", "rolled_back"])),
)


@given(st.lists(st.tuples(events, st.floats(0.0, 40.0)), max_size=40))
def test_whatever_happens_the_way_is_one_of_those_that_are_drawn(story: list[tuple[tuple[str, object], float]]) -> None:
    now_s, one, way = 0.0, swap.begin(0.0), ["trial"]
    for (kind, what), later_s in story:
        now_s += later_s
        if kind == "proven":
            one = swap.proven(one, what, now_s, RULES)
        elif kind == "compared":
            one = swap.compared(one, what, now_s, RULES)
        elif kind == "counted":
            one = swap.counted(one, *what, 0.01)
        elif kind == "soaked":
            one = swap.soaked(one, now_s, RULES)
        else:
            one = swap.end(one, what, "for a reason", now_s)
        if one.phase != way[-1]:
            way.append(one.phase)
    assert set(way) <= set(get_args(Phase))
    assert way[: len(way) - one.ended] == ["trial", "shadow", "soak"][: len(way) - one.ended]
    assert all(phase not in ENDINGS for phase in way[:-1])
    if "soak" in way:
        assert one.shadow.readings >= RULES.min_readings
        assert one.shadow.disagreement <= RULES.max_disagreement
    if one.phase == "committed":
        assert way == ["trial", "shadow", "soak", "committed"]
        assert one.after.readings >= RULES.min_readings
    if one.ended and one.phase != "committed":
        assert one.reason
