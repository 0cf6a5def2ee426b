"""Whatever arrives in whatever batches: the same as one by one, and every alert has one life."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.contract import codec
from service.contract.faults import CONDITIONS, TAUGHT
from service.contract.messages import Alert, Health, Reading
from service.monitor import MotorState, open_alerts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from service.bundle import Bundle
    from service.monitor import Profile


# One motor's readings in order; the values are exact in float32, so batch and single runs agree to the bit.
eighths = st.integers(0, 16).map(lambda n: n / 8)
readings_of_a_fleet = st.lists(
    st.fixed_dictionaries(
        {"motor": st.sampled_from(["m0", "m1", "m2", "stranger"]), "seq": st.integers(0, 25)},
        optional={
            "anomaly": eighths,
            "severity": eighths.filter(lambda v: v <= 1),
            "faults": st.dictionaries(st.sampled_from([str(f) for f in TAUGHT]), eighths.filter(lambda v: v <= 1)),
            "boot": st.sampled_from(["b1", "b2"]),
            "vibration": st.booleans(),
            "x": st.sampled_from([{20: -1.0}, {21: 2.0}]),
            "load": st.sampled_from([0.5, 2.5, 9.0]),
            "winding_c": st.sampled_from([60.0, 250.0, 400.0]),
            "fs_hz": st.sampled_from([12_000.0, 8_000.0]),
        },
    ),
    max_size=40,
)


@given(readings_of_a_fleet)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_health_that_nobody_checked_would_pass_the_check_and_is_encoded_like_any_message(
    bundle: Bundle,
    profile: Callable[..., Profile],
    reading: Callable[..., Reading],
    new_edge: Callable[..., Any],
    fields: Sequence[dict[str, Any]],
) -> None:
    readings = [reading(**dict(f)) for f in fields]
    result = new_edge(bundle, {f"m{k}": profile(f"m{k}") for k in range(3)}).take(*readings)
    for health, index in zip(result.health, result.taken, strict=True):
        source = readings[index]
        assert (health.motor, health.boot, health.seq) == (source.motor, source.boot, source.seq)
        assert list(vars(health)) == list(Health.model_fields)
        checked = Health.model_validate(vars(health))
        assert checked == health
        assert codec.encode_health(health) == codec.encode_json(checked)


def plain(result_health: Iterable[Health]) -> list[dict[str, Any]]:
    return [health.model_dump() for health in result_health]


@given(readings_of_a_fleet, st.lists(st.integers(1, 12), min_size=1, max_size=10))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_step_over_a_batch_equals_steps_one_by_one_and_every_alert_has_one_life(
    bundle: Bundle,
    profile: Callable[..., Profile],
    reading: Callable[..., Reading],
    new_edge: Callable[..., Any],
    fields: Sequence[dict[str, Any]],
    sizes: list[int],
) -> None:
    readings = [reading(**dict(f)) for f in fields]
    profiles = {f"m{k}": profile(f"m{k}") for k in range(3)}
    singly, batched = new_edge(bundle, profiles), new_edge(bundle, profiles)
    refused = [0, 0]
    failed = [0, 0]
    for item in readings:
        result = singly.take(item)
        refused[0] += len(result.refusals)
        failed[0] += len(result.failures)
    rest, turn = list(readings), 0
    while rest:
        size = sizes[turn % len(sizes)]
        result = batched.take(*rest[:size])
        refused[1] += len(result.refusals)
        failed[1] += len(result.failures)
        rest, turn = rest[size:], turn + 1
    assert refused[0] == refused[1]
    assert failed[0] == failed[1]
    assert {m: s.to_bytes() for m, s in singly.state.items()} == {m: s.to_bytes() for m, s in batched.state.items()}
    assert plain(singly.health) == plain(batched.health)
    assert singly.alerts == batched.alerts
    _assert_one_life_each(singly.alerts, open_alerts(singly.state))
    for kept in singly.state.values():
        assert MotorState.from_bytes(kept.to_bytes()).to_bytes() == kept.to_bytes()
        assert all(math.isfinite(v) for v in np.frombuffer(kept.x + kept.P).tolist())


def _assert_one_life_each(messages: list[Alert], still_open: list[Alert]) -> None:
    """Revisions grow, a clear is followed by nothing but a later opening, what is open is what was said last."""
    last: dict[str, Alert] = {}
    for alert in messages:
        before = last.get(alert.id)
        if before is not None:
            assert alert.revision > before.revision
            assert (alert.state == "open") == (before.state == "clear")
        else:
            assert alert.state == "open"
        last[alert.id] = alert
        assert alert.condition in CONDITIONS
        assert len(alert.reason) <= 400
        Alert.model_validate_json(alert.model_dump_json())
    assert {alert.id for alert in still_open} == {name for name, alert in last.items() if alert.state != "clear"}
    per_motor: dict[str, set[str]] = {}
    for alert in still_open:
        per_motor.setdefault(alert.motor, set()).add(alert.condition)
    assert all("anomaly" not in names or names == {"anomaly"} for names in per_motor.values())
