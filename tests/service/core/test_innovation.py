"""Innovations that leave their motor's own past: found soon, seldom without reason, and not by what explains itself."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from service.contract.manifest import InnovationSpec
from service.innovation import BYTES, Rules

NAMES = ("winding_c", "housing_c", "ln_severity")
SPEC = InnovationSpec(
    block_s=3600.0,
    settling_blocks=24,
    learning_blocks=168,
    reference=0.5,
    limits={"winding_c": 14.0, "housing_c": 24.0},
    false_alarm_h=87_660.0,
)
START = 24 + 168
QUIET = np.zeros(1, dtype=np.bool_)


def innovations(hours: int, seed: int = 0) -> np.ndarray:
    """A motor with offsets of its own: one row an hour."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((hours, 3)) * np.array([0.5, 0.3, 1.0]) + np.array([-0.6, 0.7, 0.0])


@pytest.mark.parametrize("limits", [{"winding_c": 14.0}, {"winding_c": 14.0, "ln_severity": 9.0}, {}])
def test_a_bundle_has_to_give_the_limit_of_both_temperatures(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="limits"):
        InnovationSpec.model_validate(SPEC.model_dump() | {"limits": limits})


def found(z: np.ndarray, rules: Rules, faulty: np.ndarray | None = None, per_hour: int = 1) -> list[tuple[str, ...]]:
    record, told = b"", []
    for at, row in enumerate(z):
        (record,), names = rules.advance(
            [record], row[None], np.array([1e9 // 3600 * 3600 + at * 3600.0 / per_hour]),
            QUIET if faulty is None else faulty[at : at + 1],
        )  # fmt: skip
        told.append(names.get(0, ()))
    return told


@pytest.fixture
def rules() -> Rules:
    return Rules(SPEC, NAMES, "thermal:1")


def test_offsets_that_a_motor_always_had_are_no_finding(rules: Rules) -> None:
    assert not any(found(innovations(2000), rules))


def test_a_shift_of_one_deviation_is_found_within_three_days_and_named(rules: Rules) -> None:
    z = innovations(START + 400)
    z[START + 200 :, 0] += 0.5
    told = found(z, rules)
    assert not any(told[: START + 200])
    first = next(at for at, names in enumerate(told) if names)
    assert first - START - 200 <= 72
    assert told[first] == ("winding_c",)


def test_a_fall_is_found_like_a_rise(rules: Rules) -> None:
    z = innovations(START + 400)
    z[START + 200 :, 1] -= 0.6
    assert ("housing_c",) in found(z, rules)[START + 200 : START + 272]


def test_a_sensor_that_was_put_right_is_believed_after_some_blocks(rules: Rules) -> None:
    z = innovations(START + 400)
    z[START : START + 100, 0] += 2.0
    told = found(z, rules)
    assert told[START + 99] == ("winding_c",)
    assert not any(told[START + 150 :])


def test_what_was_not_measured_says_nothing(rules: Rules) -> None:
    z = innovations(START + 300)
    z[START:, 0] += 3.0
    z[START:, 0] = np.nan
    assert not any(found(z, rules))


def test_a_named_fault_explains_what_it_moves(rules: Rules) -> None:
    z = innovations(START + 300)
    z[START:, :2] += 3.0
    faulty = np.arange(len(z)) >= START
    assert not any(found(z, rules, faulty))


def test_how_often_a_sensor_speaks_does_not_matter(rules: Rules) -> None:
    hourly = innovations(START + 300)
    hourly[START + 100 :, 0] += 1.0
    often = np.repeat(hourly, 20, axis=0)
    assert found(often, rules, per_hour=20)[::20] == found(hourly, rules)


def test_another_filter_learns_anew(rules: Rules) -> None:
    z = innovations(START + 300)
    record = b""
    for at, row in enumerate(z):
        (record,), _ = rules.advance([record], row[None], np.array([at * 3600.0]), QUIET)
    other = Rules(SPEC, NAMES, "thermal:2")
    far = z[:1] + 50.0
    for at in range(100):
        (record,), names = other.advance([record], far, np.array([1e7 + at * 3600.0]), QUIET)
        assert not names
    assert len(record) == BYTES


def test_a_batch_is_its_motors_one_by_one(rules: Rules) -> None:
    both = [innovations(START + 100, seed) for seed in (1, 2)]
    both[1][START:, 0] += 1.0
    records = [b"", b""]
    for at in range(START + 100):
        records, names = rules.advance(
            records, np.stack([z[at] for z in both]), np.full(2, at * 3600.0), np.zeros(2, dtype=np.bool_)
        )
    alone = []
    for z in both:
        record = b""
        for at, row in enumerate(z):
            (record,), _ = rules.advance([record], row[None], np.array([at * 3600.0]), QUIET)
        alone.append(record)
    assert records == alone
    assert names == {1: ("winding_c",)}


def test_numbers_out_of_this_world_leave_numbers_behind(rules: Rules) -> None:
    z = innovations(START + 50)
    z[::7, 0], z[::5, 1] = 1e30, -1e300
    record = b""
    with np.errstate(over="ignore"):
        for at, row in enumerate(z):
            (record,), _ = rules.advance([record], row[None], np.array([at * 3600.0]), QUIET)
    assert np.isfinite(np.frombuffer(record, dtype=np.float32)[-10:]).all()
