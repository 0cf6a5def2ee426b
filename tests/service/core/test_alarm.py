"""Opening, clearing, superseding; and the sentences that tell people."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.alarm import COLUMN, Evidence, Rules, Verdict, clear_reason, cleared, judge, open_alert, rules_of, updated
from service.contract.faults import CONDITIONS, Fault
from service.contract.manifest import AlarmSpec

if TYPE_CHECKING:
    from service.contract.messages import Alert

SPEC = AlarmSpec(open_at=0.7, clear_at=0.4, open_hits=2, span=3, clear_after=2)
ANOMALY_SPEC = AlarmSpec(open_at=1.0, clear_at=0.8, open_hits=2, span=3, clear_after=2)
SPECS = {"anomaly": ANOMALY_SPEC, **dict.fromkeys(map(str, Fault), SPEC)}
T0 = 1_800_000_000.0
NAN = math.nan


class Motor:
    """One motor's alarm arrays through a series of readings."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.hits = np.zeros((1, len(CONDITIONS)), np.uint64)
        self.quiet = np.zeros((1, len(CONDITIONS)), np.uint32)
        self.open = np.zeros((1, len(CONDITIONS)), bool)

    def read(self, **values: float) -> Verdict:
        """One reading; conditions that are not given are quiet."""
        row = np.zeros((1, len(CONDITIONS)))
        for condition, value in values.items():
            row[0, COLUMN[condition]] = value
        return self.take(row)

    def take(self, row: np.ndarray) -> Verdict:
        """One reading as a row of values."""
        verdict = judge(self.hits, self.quiet, self.open, row, self.rules)
        self.hits, self.quiet = verdict.hits, verdict.quiet
        self.open = (self.open | verdict.opened) & ~verdict.cleared
        return verdict

    def is_open(self) -> set[str]:
        """Conditions whose alert is open."""
        return {condition for condition, column in COLUMN.items() if self.open[0, column]}


@pytest.fixture
def motor() -> Motor:
    return Motor(rules_of(SPECS))


def test_an_alert_opens_with_enough_hits_of_the_last_readings(motor: Motor) -> None:
    motor.read(cage=0.9)
    assert not motor.is_open()
    motor.read(cage=0.1)
    motor.read(cage=0.7)
    assert motor.is_open() == {"cage"}


def test_hits_beyond_the_span_are_forgotten(motor: Motor) -> None:
    for value in (0.9, 0.5, 0.5, 0.9):
        motor.read(cage=value)
    assert not motor.is_open()


def test_an_alert_clears_after_quiet_readings_in_a_row_only(motor: Motor) -> None:
    for value in (0.9, 0.9, 0.1, 0.5, 0.1):
        motor.read(cage=value)
    assert motor.is_open() == {"cage"}
    motor.read(cage=0.1)
    assert not motor.is_open()


def test_between_the_thresholds_an_alert_stays_open(motor: Motor) -> None:
    for value in (0.9, 0.9, *[0.5] * 50):
        motor.read(cage=value)
    assert motor.is_open() == {"cage"}


def test_missing_evidence_is_neither_hit_nor_quiet(motor: Motor) -> None:
    nothing = np.full((1, len(CONDITIONS)), NAN)
    motor.read(cage=0.9)
    for _ in range(10):
        motor.take(nothing)
    motor.read(cage=0.9)
    assert motor.is_open() == {"cage"}
    motor.read(cage=0.1)
    for _ in range(10):
        motor.take(nothing)
    assert motor.is_open() == {"cage"}
    motor.read(cage=0.1)
    assert not motor.is_open()


def test_reopening_takes_fresh_evidence(motor: Motor) -> None:
    rules = rules_of(SPECS | {"cage": AlarmSpec(open_at=0.7, clear_at=0.4, open_hits=2, span=64, clear_after=1)})
    motor = Motor(rules)
    for value in (0.9, 0.9, 0.1, 0.9):
        motor.read(cage=value)
    assert not motor.is_open()
    motor.read(cage=0.9)
    assert motor.is_open() == {"cage"}


def test_a_named_fault_keeps_the_anomaly_from_opening(motor: Motor) -> None:
    motor.read(cage=0.9, anomaly=2.0)
    motor.read(cage=0.9, anomaly=2.0)
    motor.read(cage=0.9, anomaly=2.0)
    assert motor.is_open() == {"cage"}


def test_a_named_fault_clears_an_open_anomaly_in_the_same_reading(motor: Motor) -> None:
    motor.read(anomaly=2.0)
    motor.read(anomaly=2.0, cage=0.9)
    assert motor.is_open() == {"anomaly"}
    verdict = motor.read(anomaly=2.0, cage=0.9)
    assert motor.is_open() == {"cage"}
    assert verdict.cleared[0, COLUMN["anomaly"]]


def test_an_anomaly_that_outlives_its_fault_opens(motor: Motor) -> None:
    for cage in (0.9, 0.9, 0.1, 0.1, 0.1):
        motor.read(anomaly=2.0, cage=cage)
    assert motor.is_open() == {"anomaly"}


def test_an_anomaly_that_only_was_does_not_open_when_its_fault_clears(motor: Motor) -> None:
    for cage, anomaly in ((0.9, 2.0), (0.9, 2.0), (0.1, 2.0), (0.1, 0.9)):
        motor.read(cage=cage, anomaly=anomaly)
    assert not motor.is_open()


def test_several_faults_may_be_open_at_once(motor: Motor) -> None:
    motor.read(cage=0.9, cooling=0.8)
    motor.read(cage=0.9, cooling=0.8)
    assert motor.is_open() == {"cage", "cooling"}


def test_an_open_condition_that_the_bundle_does_not_judge_is_cleared() -> None:
    motor = Motor(rules_of({name: spec for name, spec in SPECS.items() if name != "cage"}))
    motor.open[0, COLUMN["cage"]] = True
    motor.read()
    assert not motor.is_open()


def test_motors_do_not_touch_each_other() -> None:
    rules = rules_of(SPECS)
    rng = np.random.default_rng(1)
    fleet = [Motor(rules) for _ in range(5)]
    hits, quiet = np.zeros((5, len(CONDITIONS)), np.uint64), np.zeros((5, len(CONDITIONS)), np.uint32)
    is_open = np.zeros((5, len(CONDITIONS)), bool)
    for _ in range(60):
        values = rng.uniform(0, 1.3, (5, len(CONDITIONS)))
        values[rng.uniform(size=5) < 0.2] = NAN
        verdict = judge(hits, quiet, is_open, values, rules)
        hits, quiet, is_open = verdict.hits, verdict.quiet, (is_open | verdict.opened) & ~verdict.cleared
        for row, motor in enumerate(fleet):
            motor.take(values[row : row + 1])
            np.testing.assert_array_equal(motor.open[0], is_open[row])


rules = st.integers(1, 64).flatmap(
    lambda span: st.builds(
        lambda open_at, share, hits, after: AlarmSpec(
            open_at=open_at, clear_at=open_at * share, open_hits=hits, span=span, clear_after=after
        ),
        st.floats(0.05, 2.0),
        st.floats(0.05, 1.0),
        st.integers(1, span),
        st.integers(1, 30),
    )
)


@given(rules, st.lists(st.floats(0, 3) | st.just(NAN), max_size=120))
@settings(deadline=None)
def test_every_alert_that_opens_clears_after_enough_quiet_readings_and_obeys_its_rule(
    spec: AlarmSpec, series: list[float]
) -> None:
    motor = Motor(rules_of(dict.fromkeys(map(str, CONDITIONS), spec)))
    seen: list[float] = []
    for value in series:
        before = motor.is_open()
        motor.read(cage=value)
        if not math.isnan(value):
            seen.append(value)
        if "cage" in motor.is_open() - before:
            assert value >= spec.open_at
            assert sum(v >= spec.open_at for v in seen[-spec.span :]) >= spec.open_hits
        if "cage" in before - motor.is_open():
            assert all(v < spec.clear_at for v in seen[-spec.clear_after :])
    for _ in range(spec.clear_after):
        motor.read(cage=0.0)
    assert not motor.is_open()


def test_a_fault_of_the_shaft_opens_right_after_the_motor_has_settled_and_others_do_not_wait() -> None:
    rules = rules_of(dict.fromkeys(("imbalance", "outer_race"), SPEC))
    hits, quiet = np.zeros((2, len(CONDITIONS)), np.uint64), np.zeros((2, len(CONDITIONS)), np.uint32)
    none_open = np.zeros(hits.shape, bool)
    values = np.zeros(hits.shape)
    values[:, [COLUMN["imbalance"], COLUMN["outer_race"]]] = 1.0
    opened = []
    for settling in ((True, False), (True, False), (True, False), (False, False)):
        verdict = judge(hits, quiet, none_open, values, rules, partial(np.array, settling))
        hits, quiet = verdict.hits, verdict.quiet
        opened.append(verdict.opened[:, [COLUMN["imbalance"], COLUMN["outer_race"]]].tolist())
    assert opened[0] == [[False, False], [False, False]]
    assert opened[1] == opened[2] == [[False, True], [True, True]]
    assert opened[3] == [[True, True], [True, True]]


def evidence(**fields: object) -> Evidence:
    defaults = {
        "ts_s": T0,
        "anomaly": 1.8,
        "probability": {"outer_race": 0.93},
        "severity": 0.41,
        "rul_h": None,
        "band": None,
        "model": "0123456789ab",
    }
    return Evidence(**(defaults | fields))


def opened(**fields: object) -> Alert:
    return open_alert("m1", "outer_race", evidence(**fields), SPEC, 2, 0)


def test_a_fault_alert_tells_a_person_what_was_seen() -> None:
    assert opened(rul_h=119.6).reason == (
        "Outer race fault in 2 of the last 3 readings: probability 0.93 (opens at 0.70), severity 0.41, "
        "about 120 h of life left."
    )


def test_a_fault_alert_names_what_stands_out_most() -> None:
    assert opened(band="order_1").reason.endswith("(opens at 0.70), most in order 1, severity 0.41.")


def test_a_motor_at_its_end_may_fail_any_hour() -> None:
    assert opened(rul_h=0.4).reason.endswith(", severity 0.41, may fail any hour.")


def test_an_anomaly_alert_names_the_band_that_stands_out() -> None:
    alert = open_alert("m1", "anomaly", evidence(band="2-4 kHz"), ANOMALY_SPEC, 3, 0)
    assert alert.reason == (
        "Unlike healthy running in 3 of the last 3 readings: anomaly 1.80 (opens at 1.00), most in 2-4 kHz; "
        "cause unknown so far (likeliest outer race, 0.93), severity 0.41."
    )


def test_an_alerts_id_is_made_of_motor_condition_and_opening_time() -> None:
    assert opened(ts_s=T0 + 0.5).id == "m1:outer_race:1800000000500"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"severity": 0.45}, False),
        ({"severity": 0.51}, True),
        ({"severity": 0.31}, True),
        ({"severity": None}, False),
        ({"rul_h": 90.0}, False),
        ({"rul_h": 49.0}, True),
        ({"rul_h": None}, False),
    ],
)
def test_an_alert_is_updated_when_something_that_matters_changed(fields: dict[str, float | None], told: bool) -> None:
    alert = opened(rul_h=100.0)
    message = updated(alert, evidence(**({"rul_h": 100.0} | fields), ts_s=T0 + 60))
    assert (message is not None) == told
    if message is not None:
        assert (message.state, message.revision, message.id) == ("update", 1, alert.id)
        assert message.opened_ts_s == T0


def test_a_remaining_life_that_becomes_known_is_told() -> None:
    message = updated(opened(), evidence(rul_h=500.0))
    assert message is not None
    assert message.rul_h == 500.0


def test_an_update_without_vibration_keeps_what_was_known() -> None:
    message = updated(opened(), evidence(anomaly=None, probability={}, severity=None, rul_h=40.0))
    assert message is not None
    assert (message.probability, message.severity, message.anomaly) == (0.93, 0.41, 1.8)


def test_clearing_is_the_last_revision_of_the_same_alert() -> None:
    alert = opened()
    last = cleared(alert, T0 + 60, "Repaired.", "ba9876543210")
    assert (last.id, last.state, last.revision, last.reason) == (alert.id, "clear", 1, "Repaired.")


@pytest.mark.parametrize(
    ("condition", "spec", "by", "text"),
    [
        (
            "cage",
            SPEC,
            None,
            "Cage fault no longer seen for 2 readings in a row: probability 0.10 (clears under 0.40).",
        ),
        ("anomaly", SPEC, None, "Running like healthy ones for 2 readings in a row: anomaly 0.20 (clears under 0.40)."),
        ("anomaly", SPEC, "inner_race", "Explained by inner race, which has an alert of its own."),
        ("cage", None, None, "Cage fault is not judged by the present models."),
    ],
)
def test_a_clearing_says_why(condition: str, spec: AlarmSpec | None, by: str | None, text: str) -> None:
    assert clear_reason(condition, evidence(anomaly=0.2, probability={"cage": 0.1}), spec, by) == text
