"""The core as a function: readings in, state and messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from service.contract.faults import TAUGHT
from service.contract.manifest import Manifest
from service.contract.messages import Health, Reading
from service.errors import InferenceError
from service.monitor import FleetState, MotorState, Policy, open_alerts, retire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.bundle import Bundle
    from service.monitor import Profile

T0 = 1_800_000_000.0
CAGE = {"cage": 0.9}


def values(raw: bytes) -> list[float]:
    return np.frombuffer(raw).tolist()


def test_a_healthy_reading_leads_to_one_health_message_and_no_alert(edge: Any, reading: Callable[..., Reading]) -> None:
    result = edge.take(reading(speed_rpm=1450.0, housing_c=40.0))
    assert result.changed == ("m1",)
    assert (result.alerts, result.refusals, result.failures, result.resets) == ([], [], [], ())
    (health,) = result.health
    assert (health.state, health.diagnosis, health.seq, health.boot) == ("ok", "healthy", 0, "b1")
    assert (health.anomaly, health.severity) == (0.1, 0.05)
    assert health.probabilities == dict.fromkeys(TAUGHT, 0.0)
    assert health.health == pytest.approx(0.975)
    assert (health.rul_h, health.rul_low_h, health.rul_high_h) == (None, None, None)
    assert health.missing == ("current_a", "load", "winding_c", "ambient_c")
    assert health.model == edge.models.digest[:12]
    Health.model_validate_json(health.model_dump_json())


def test_a_fault_is_warned_of_then_alerted_updated_and_cleared(edge: Any, reading: Callable[..., Reading]) -> None:
    severities = [0.1, 0.2, 0.3, 0.45, 0.5, 0.1, 0.1, 0.1]
    for seq, severity in enumerate(severities):
        edge.take(reading(seq=seq, severity=severity, faults=CAGE if 1 <= seq <= 4 else {}))
    assert edge.told() == [("cage", "open", 0), ("cage", "update", 1), ("cage", "update", 2), ("cage", "clear", 3)]
    assert len({alert.id for alert in edge.alerts}) == 1
    assert [health.state for health in edge.health] == ["ok", "warning", *["alarm"] * 4, "ok", "ok"]
    assert [health.diagnosis for health in edge.health] == ["healthy", *["cage"] * 5, "healthy", "healthy"]
    assert not open_alerts(edge.state)


def test_a_named_fault_takes_over_from_the_anomaly(edge: Any, reading: Callable[..., Reading]) -> None:
    for seq in range(5):
        edge.take(reading(seq=seq, anomaly=2.0, faults=CAGE if seq >= 2 else {}))
    assert edge.told() == [("anomaly", "open", 0), ("anomaly", "clear", 1), ("cage", "open", 0)]
    assert edge.alerts[1].reason == "Explained by cage, which has an alert of its own."
    # The diagnosis names a fault as soon as its probability passes; the alert waits for its hits.
    assert [health.diagnosis for health in edge.health] == ["anomaly", "anomaly", "cage", "cage", "cage"]


def test_the_worst_axis_and_the_mean_of_its_windows_decide(edge: Any, reading: Callable[..., Reading]) -> None:
    quiet, loud = np.zeros(64, np.float32), np.zeros(64, np.float32)
    loud[0], loud[1] = 0.8, 0.6
    two_windows = {"x": np.concatenate((loud, quiet)), "y": np.concatenate((quiet, quiet))}
    edge.take(reading(accel_m_s2=two_windows), reading(motor="m2", accel_m_s2={"x": quiet, "y": loud, "z": quiet}))
    assert [(h.anomaly, h.severity) for h in edge.health] == [(0.4, 0.3), (0.8, 0.6)]


def test_the_anomaly_names_the_band_that_stands_out(edge: Any, reading: Callable[..., Reading]) -> None:
    for seq in range(2):
        edge.take(reading(seq=seq, anomaly=2.0, x={12: 3.0}))
    assert "most in middle" in edge.alerts[0].reason


def test_a_reading_without_vibration_moves_the_filter_and_no_alarm(edge: Any, reading: Callable[..., Reading]) -> None:
    edge.take(reading(seq=0, severity=0.4, faults=CAGE), reading(seq=1, severity=0.4, faults=CAGE))
    for seq in range(2, 12):
        edge.take(reading(seq=seq, vibration=False, housing_c=40.0))
    last = edge.health[-1]
    assert (last.anomaly, last.severity, last.probabilities) == (None, None, {})
    assert (last.state, last.diagnosis) == ("alarm", "cage")
    assert "accel_m_s2" in last.missing
    assert values(edge.state["m1"].x)[1] == 11 * 60.0
    assert edge.told() == [("cage", "open", 0)]


def test_implausible_scalars_are_masked_counted_and_named_missing(edge: Any, reading: Callable[..., Reading]) -> None:
    result = edge.take(reading(winding_c=400.0, speed_rpm=1450.0))
    assert result.masked == {"winding_c": 1}
    assert "winding_c" in result.health[0].missing
    assert not result.failures  # 400 degrees would make the graph fail


def test_an_unknown_motor_is_refused_with_the_remedy_or_taken_by_policy(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    result = edge.take(reading(motor="stranger"))
    assert (result.health, result.changed, len(edge.state)) == ([], (), 0)
    (refusal,) = result.refusals
    assert refusal.refused.reason == "unknown_motor"
    assert "birth" in refusal.refused.remedy
    assert "[motors.stranger]" in refusal.refused.remedy
    edge.policy = Policy(unknown_motor="generic", max_past_s=1e12)
    assert edge.take(reading(motor="stranger")).changed == ("stranger",)


def test_refusals_carry_the_readings_index_and_change_nothing(edge: Any, reading: Callable[..., Reading]) -> None:
    edge.take(reading(seq=5))
    before = dict(edge.state)
    result = edge.take(
        reading(seq=5), reading(seq=4), reading(seq=6, fs_hz=1000.0), reading(seq=6, ts_s=T0), reading(motor="x")
    )
    assert [(r.index, r.refused.reason) for r in result.refusals] == [
        (0, "duplicate"),
        (1, "out_of_order"),
        (2, "sampling"),
        (3, "out_of_order"),
        (4, "unknown_motor"),
    ]
    assert dict(edge.state) == before
    assert (result.changed, result.health) == ((), [])


def test_wall_clocks_are_judged_by_the_edges(
    edge: Any, reading: Callable[..., Reading], profile: Callable[..., Profile]
) -> None:
    edge.profiles = {"m1": profile("m1", clock="wall")}
    assert edge.take(reading(), now_ts_s=T0 + 2 * 86_400).refusals[0].refused.reason == "past"
    assert edge.take(reading(), now_ts_s=T0 - 301).refusals[0].refused.reason == "future"
    assert edge.take(reading(), now_ts_s=T0).health


def test_the_filter_sees_the_time_that_passed(edge: Any, reading: Callable[..., Reading]) -> None:
    for seq, start_s in ((0, T0), (1, T0), (2, T0 + 1e6)):
        edge.take(reading(seq=seq, start_s=start_s))
    assert values(edge.state["m1"].x)[1] == 60.0 + 7200.0
    edge.take(reading(boot="b2", seq=0, start_s=T0 - 1e6))
    assert values(edge.state["m1"].x)[1] == 60.0 + 7200.0
    edge.take(reading(boot="b2", seq=1, start_s=T0 - 1e6))
    assert values(edge.state["m1"].x)[1] == 60.0 + 7200.0 + 60.0


def test_an_input_that_breaks_a_graph_is_set_apart_from_its_neighbours(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    batch = [reading(motor=f"m{k}", x={21: 3.0} if k == 5 else {20: -1.0} if k == 2 else {}) for k in range(8)]
    result = edge.take(*batch)
    assert [health.motor for health in result.health] == ["m0", "m1", "m3", "m4", "m6", "m7"]
    assert [(failure.index, type(failure.error)) for failure in result.failures] == [
        (2, InferenceError),
        (5, InferenceError),
    ]
    assert "withheld" in str(result.failures[0].error)
    assert "anomaly.onnx: failed" in str(result.failures[1].error)


def test_a_withheld_reading_takes_its_place_in_the_sequence_and_touches_neither_filter_nor_alarms(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    edge.take(reading(seq=0, faults=CAGE))
    before = edge.state["m1"]
    edge.take(reading(seq=1, faults=CAGE, x={20: -1.0}))
    after = edge.state["m1"]
    assert after._replace(boots=before.boots, still=before.still) == before
    assert edge.take(reading(seq=1)).refusals[0].refused.reason == "duplicate"
    edge.take(reading(seq=2))
    assert values(edge.state["m1"].x)[1] == 120.0  # the filter predicts over the gap


def test_a_filter_that_answers_nonsense_starts_afresh_while_alarms_go_on(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    edge.take(*(reading(motor=m, seq=0, faults=CAGE, severity=0.8) for m in ("m1", "m2")))
    result = edge.take(
        reading(motor="m1", seq=1, faults=CAGE, severity=0.8, load=2.5),
        reading(motor="m2", seq=1, faults=CAGE, severity=0.8),
    )
    assert result.resets == ("m1",)
    assert [failure.index for failure in result.failures] == [0]
    assert edge.told() == [("cage", "open", 0)] * 2
    assert (result.health[0].health, result.health[0].rul_h) == (None, None)
    assert values(result.state["m1"].x) == [0.0, 0.0]
    assert values(result.state["m2"].x) == [pytest.approx(0.6), 60.0]


def test_a_health_graph_that_fails_on_one_motor_leaves_its_filter_where_it_was(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    edge.take(*(reading(motor=f"m{k}", seq=0) for k in range(5)))
    before = edge.state["m3"]
    result = edge.take(*(reading(motor=f"m{k}", seq=1, winding_c=250.0 if k == 3 else 60.0) for k in range(5)))
    assert [failure.index for failure in result.failures] == [3]
    assert result.resets == ()
    assert (edge.state["m3"].x, edge.state["m3"].filter_ts_s) == (before.x, before.filter_ts_s)
    assert [health.health is None for health in result.health] == [False, False, False, True, False]
    edge.take(reading(motor="m3", seq=2))
    assert values(edge.state["m3"].x)[1] == 120.0


class Broken:
    """A bundle whose graphs all fail."""

    def __init__(self, bundle: Bundle) -> None:
        self.manifest, self.digest = bundle.manifest, bundle.digest

    def run(self, graph: str, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Fails."""
        raise InferenceError(f"{graph}: out of memory at batch {len(feeds['nameplate'])}")


def test_when_every_graph_fails_every_reading_is_reported_and_no_alarm_moves(
    edge: Any, bundle: Bundle, reading: Callable[..., Reading]
) -> None:
    edge.take(*(reading(motor=f"m{k}", seq=s, faults=CAGE) for k in range(4) for s in range(2)))
    alerts = open_alerts(edge.state)
    edge.models = Broken(bundle)
    result = edge.take(*(reading(motor=f"m{k}", seq=2) for k in range(4)))
    assert [failure.index for failure in result.failures] == [0, 1, 2, 3]
    assert open_alerts(edge.state) == alerts
    assert len(alerts) == 4


class Stated:
    """A bundle with another manifest."""

    def __init__(self, bundle: Bundle, **health: Any) -> None:
        content = bundle.manifest.model_dump()
        content["health"] |= health
        self.manifest = Manifest.model_validate(content)
        self.digest = "f" * 64
        self._bundle = bundle

    def run(self, graph: Any, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """As the bundle does."""
        return self._bundle.run(graph, feeds)


def test_another_filter_schema_resets_the_filter_loudly_and_alarms_survive(
    edge: Any, bundle: Bundle, reading: Callable[..., Reading]
) -> None:
    edge.take(*(reading(seq=seq, severity=0.8, faults=CAGE) for seq in range(3)))
    edge.models = Stated(bundle, schema_id="damage-seconds-2", initial_state=(0.5, 0.0))
    result = edge.take(reading(seq=3, severity=0.5, faults=CAGE), reading(seq=4, severity=0.5, faults=CAGE))
    assert result.resets == ("m1",)
    assert values(result.state["m1"].x) == [0.5, 60.0]
    assert result.state["m1"].schema_id == "damage-seconds-2"
    assert [alert.condition for alert in open_alerts(result.state)] == ["cage"]
    assert not edge.take(reading(seq=5)).resets


def test_the_same_schema_in_a_new_bundle_keeps_the_filter(
    edge: Any, bundle: Bundle, reading: Callable[..., Reading]
) -> None:
    edge.take(reading(seq=0), reading(seq=1))
    edge.models = Stated(bundle)
    assert edge.take(reading(seq=2)).resets == ()
    assert values(edge.state["m1"].x)[1] == 120.0


def test_an_alert_that_opens_again_at_the_same_event_time_outranks_its_namesake(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    for boot in ("first", "second"):  # a recording replayed: the same times, the same alerts
        for seq in range(6):
            edge.take(reading(boot=boot, seq=seq, faults=CAGE if seq in {1, 2} else {}))
    assert edge.told() == [("cage", "open", 0), ("cage", "clear", 1), ("cage", "open", 2), ("cage", "clear", 3)]
    assert len({alert.id for alert in edge.alerts}) == 1


def test_open_alerts_are_asserted_again_as_last_published_after_a_restart(
    edge: Any, reading: Callable[..., Reading]
) -> None:
    for seq in range(4):
        edge.take(reading(seq=seq, severity=0.2 * seq, faults=CAGE))
    restored = FleetState({motor: MotorState.from_bytes(kept.to_bytes()) for motor, kept in edge.state.items()})
    assert open_alerts(restored) == [edge.alerts[-1]]
    assert dict(restored) == dict(edge.state)


def test_retiring_a_motor_clears_its_alerts_and_forgets_it(edge: Any, reading: Callable[..., Reading]) -> None:
    edge.take(*(reading(motor=m, seq=seq, faults=CAGE) for m in ("m1", "m2") for seq in range(2)))
    result = retire(edge.state, "m1", T0 + 1000, "The motor was removed.")
    assert result.changed == ("m1",)
    assert list(result.state) == ["m2"]
    (last,) = result.alerts
    assert (last.state, last.revision, last.ts_s, last.reason) == ("clear", 1, T0 + 1000, "The motor was removed.")
    assert list(edge.state) == ["m1", "m2"]


def test_retiring_never_clears_before_the_alerts_last_message(edge: Any, reading: Callable[..., Reading]) -> None:
    edge.take(reading(seq=0, faults=CAGE), reading(seq=1, faults=CAGE))
    assert retire(edge.state, "m1", 946_684_800.0, "Gone.").alerts[0].ts_s == T0 + 60


def test_retiring_a_stranger_changes_nothing(edge: Any) -> None:
    result = retire(edge.state, "nobody", T0, "Gone.")
    assert (result.changed, result.alerts) == ((), [])


def test_no_readings_change_nothing(edge: Any) -> None:
    result = edge.take()
    assert (result.changed, result.health, dict(result.state)) == ((), [], {})


def test_far_more_rows_than_a_graph_run_takes_are_scored_alike(edge: Any, reading: Callable[..., Reading]) -> None:
    long = np.zeros(64 * 90, np.float32)
    long[0::64] = 0.5
    edge.take(
        reading(motor="m1", accel_m_s2=dict.fromkeys("xyz", long)),
        *(reading(motor="m2", seq=seq, anomaly=seq / 200) for seq in range(100)),
    )
    assert edge.health[0].anomaly == 0.5
    assert [health.anomaly for health in edge.health[1:]] == [round(seq / 200, 4) for seq in range(100)]
