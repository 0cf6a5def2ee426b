"""Profiles, stored state, the fleet."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.bearing import CATALOGUE
from service.contract.faults import CONDITIONS
from service.contract.messages import Alert, Birth, Nameplate
from service.contract.signals import NAMEPLATE
from service.errors import CorruptState
from service.motor import BootMark, FleetState, MotorState, generic_profile, profile_of, with_filters_of
from service.steady import Moment

T0 = 1_800_000_000.0


def alert(condition: str) -> Alert:
    return Alert(
        id=f"m1:{condition}:1",
        motor="m1",
        condition=condition,
        state="open",
        revision=3,
        opened_ts_s=T0,
        ts_s=T0 + 1.25,
        severity=0.25,
        probability=None if condition == "anomaly" else 0.9,
        reason="Because.",
        model="0123456789ab",
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
counts = len(CONDITIONS)


@st.composite
def states(draw: st.DrawFn) -> MotorState:
    size = draw(st.integers(0, 6))
    boots = draw(
        st.lists(
            st.builds(
                BootMark,
                st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
                st.integers(0, 2**53 - 1),
                finite,
                st.integers(0, 2**64 - 1),
            ),
            min_size=1,
            max_size=4,
        )
    )
    return MotorState(
        boots=tuple(boots),
        schema_id=draw(st.text(max_size=30)),
        x=np.array(draw(st.lists(finite, min_size=size, max_size=size))).tobytes(),
        P=np.array(draw(st.lists(finite, min_size=size**2, max_size=size**2))).tobytes(),
        filter_ts_s=draw(finite),
        hits=np.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=counts, max_size=counts)), np.uint64).tobytes(),
        quiet=np.array(
            draw(st.lists(st.integers(0, 2**32 - 1), min_size=counts, max_size=counts)), np.uint32
        ).tobytes(),
        alerts=tuple(alert(condition) for condition in draw(st.lists(st.sampled_from(CONDITIONS), unique=True))),
        peak_ms=draw(st.integers(0, 2**60)),
        peak_revision=draw(st.integers(0, 2**32 - 1)),
        heard=Moment(draw(st.integers(0, 2**32 - 1)), draw(st.floats(0.0, 1e12))),
        drift=draw(st.binary(max_size=8)),
        still=draw(st.binary(max_size=8)),
        level=draw(st.binary(max_size=8)),
    )


@given(states())
@settings(deadline=None)
def test_stored_state_reads_back_equal(state: MotorState) -> None:
    assert MotorState.from_bytes(state.to_bytes()) == state


@given(st.binary(max_size=400))
def test_hostile_bytes_raise_corrupt_state_only(raw: bytes) -> None:
    with pytest.raises(CorruptState, match="starts afresh"):
        MotorState.from_bytes(raw)


@given(states(), st.binary(max_size=400), st.integers(1, 3), st.integers(2, 4))
@settings(deadline=None)
def test_hostile_bytes_behind_a_true_checksum_raise_corrupt_state_only(
    state: MotorState, body: bytes, keep: int, form: int
) -> None:
    forged = state.to_bytes()[10 : 10 + 10 * keep] + body
    with pytest.raises(CorruptState):
        MotorState.from_bytes(struct.pack("<4sHI", b"MTWN", form, zlib.crc32(forged)) + forged)


@given(states(), st.data())
@settings(deadline=None)
def test_any_flipped_bit_and_any_cut_are_noticed(state: MotorState, data: st.DataObject) -> None:
    raw = bytearray(state.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(CorruptState):
        MotorState.from_bytes(bytes(raw[:at]))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptState):
        MotorState.from_bytes(bytes(raw))


def plain() -> MotorState:
    zeros = (np.zeros(counts, np.uint64).tobytes(), np.zeros(counts, np.uint32).tobytes())
    x, P = np.zeros(2).tobytes(), np.eye(2).tobytes()
    return MotorState((BootMark("b1", 1, T0, 1),), "s", x, P, math.nan, *zeros, (), 0, 0)


def test_a_filter_before_its_first_step_reads_back() -> None:
    assert math.isnan(MotorState.from_bytes(plain().to_bytes()).filter_ts_s)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": np.array([math.nan, 0.0]).tobytes()}, "filter holds NaN or infinity"),
        ({"P": np.array([math.inf, 0.0, 0.0, 1.0]).tobytes()}, "filter holds NaN or infinity"),
        ({"boots": ()}, "counts out of range"),
        ({"boots": (BootMark("a/b", 1, T0, 1),)}, "a boot's mark is not one"),
        ({"boots": (BootMark("b", 1, math.inf, 1),)}, "a boot's mark is not one"),
        ({"alerts": (alert("cage"), alert("cage"))}, "alerts contradict each other"),
        ({"alerts": (alert("wear"),)}, "alerts contradict each other"),
        ({"alerts": (alert("cage").model_copy(update={"state": "clear"}),)}, "alerts contradict each other"),
        ({"alerts": (alert("cage"), alert("ball").model_copy(update={"motor": "m2"}))}, "alerts contradict"),
        ({"alerts": (alert("cage").model_copy(update={"revision": -1}),)}, "ValidationError"),
    ],
)
def test_state_that_makes_no_sense_is_corrupt_though_its_checksum_holds(change: dict[str, object], text: str) -> None:
    with pytest.raises(CorruptState, match=text):
        MotorState.from_bytes(plain()._replace(**change).to_bytes())


def test_a_state_from_before_the_newest_fault_was_known_is_taken_up() -> None:
    older = plain()._replace(hits=b"\1" * 8 * (counts - 1), quiet=b"\2" * 4 * (counts - 1))
    state = MotorState.from_bytes(older.to_bytes())
    assert state.hits == b"\1" * 8 * (counts - 1) + bytes(8)
    assert state.quiet == b"\2" * 4 * (counts - 1) + bytes(4)


def test_a_later_format_is_refused_not_guessed_at() -> None:
    raw = bytearray(plain().to_bytes())
    raw[4] = 6
    with pytest.raises(CorruptState, match="format 6 is not 5"):
        MotorState.from_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("form", "kept"),
    [(2, {}), (3, {"drift": b"dr", "still": b"st"}), (4, {"drift": b"dr", "still": b"st", "level": b"lev"})],
)
def test_a_state_of_an_earlier_format_is_taken_up_and_nothing_it_knew_is_lost(
    form: int, kept: dict[str, bytes]
) -> None:
    newest = plain()._replace(**kept).to_bytes()
    tail = len(b"".join(kept.values()))
    lengths = struct.pack(f"<{len(kept)}H", *map(len, kept.values()))
    body = newest[10 : len(newest) - tail - 8] + lengths + b"".join(kept.values())
    older = struct.pack("<4sHI", b"MTWN", form, zlib.crc32(body)) + body
    assert MotorState.from_bytes(older)._replace(filter_ts_s=0.0) == plain()._replace(filter_ts_s=0.0, **kept)


def test_a_quiet_motor_takes_little_room() -> None:
    assert len(plain().to_bytes()) < 300


def test_a_profile_takes_rated_values_and_bearing_orders_from_the_birth() -> None:
    plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0, rated_current_a=3.4, thermal_tau_s=1200.0)
    profile = profile_of(Birth(motor="m1", ts_s=T0, nameplate=plate, bearing=CATALOGUE["6205"], interval_s=5.0))
    assert profile.nameplate.dtype == np.float32
    values = dict(zip(NAMEPLATE, profile.nameplate.tolist(), strict=True))
    assert values["rated_speed_rpm"] == 1450.0
    assert values["rated_current_a"] == pytest.approx(3.4)
    assert (values["winding_rise_k"], values["housing_rise_k"], values["thermal_tau_s"]) == (80.0, 40.0, 1200.0)
    # Bearing Data Centre, 6205-2RS: multiples of running speed.
    assert values["bpfi"] == pytest.approx(5.4152, abs=1e-3)
    assert values["bpfo"] == pytest.approx(3.5848, abs=1e-3)
    assert values["ftf"] == pytest.approx(0.39828, abs=1e-3)
    assert (profile.name, profile.interval_s, profile.clock) == ("m1", 5.0, "wall")


def test_what_the_birth_leaves_out_is_nan() -> None:
    profile = profile_of(Birth(motor="m1", ts_s=T0, nameplate=Nameplate(rated_power_w=1.0, rated_speed_rpm=1450.0)))
    assert np.isnan(profile.nameplate).tolist() == [
        name in {"rated_current_a", "ftf", "bsf", "bpfo", "bpfi"} for name in NAMEPLATE
    ]


def test_a_generic_profile_knows_no_bearing() -> None:
    profile = generic_profile("m9")
    assert profile.motor == "m9"
    assert np.isnan(profile.nameplate[-4:]).all()
    assert np.isfinite(profile.nameplate[[0, 2, 3, 4]]).all()


@given(st.lists(st.dictionaries(st.integers(0, 300), st.integers(0, 9), max_size=40), max_size=30), st.integers(0, 300))
@settings(deadline=None)
def test_a_fleet_behaves_as_a_dictionary_that_nobody_changes(steps: list[dict[int, int]], leaver: int) -> None:
    model: dict[str, MotorState] = {}
    fleet = FleetState()
    for step in steps:
        before, copy = fleet, dict(fleet)
        changes = {f"m{motor}": plain()._replace(peak_ms=value) for motor, value in step.items()}
        model |= changes
        fleet = fleet.changed(changes)
        assert dict(before) == copy
    assert dict(fleet) == model
    assert len(fleet) == len(model)
    assert list(fleet) == list(dict.fromkeys(fleet))
    model.pop(f"m{leaver}", None)
    assert dict(fleet.without(f"m{leaver}")) == model


def test_a_step_over_a_large_fleet_shares_what_it_did_not_touch() -> None:
    states = {f"m{k}": plain() for k in range(5000)}
    fleet = FleetState(states)
    later = fleet.changed({"m1": plain()._replace(peak_ms=1)})
    assert later["m2"] is fleet["m2"]
    assert (fleet["m1"].peak_ms, later["m1"].peak_ms) == (0, 1)


def test_what_a_step_copies_stays_small_in_a_large_fleet() -> None:
    fleet = FleetState({f"m{k}": plain() for k in range(5000)})
    for turn in range(300):
        fleet = fleet.changed({f"m{(turn * 32 + k) % 5000}": plain() for k in range(32)})
        assert len(fleet._layer) <= 8 * 70  # 70 squared is just under 5000
    assert len(fleet) == 5000


def test_filters_come_back_where_only_they_fit_and_alarms_stay() -> None:
    then = plain()._replace(schema_id="old", x=np.ones(2).tobytes(), filter_ts_s=T0, heard=Moment(3, 5.0))
    reset = plain()._replace(schema_id="new", quiet=np.ones(counts, np.uint32).tobytes(), peak_ms=9)
    now = FleetState({"swapped": reset, "kept": then, "newcomer": reset})
    back = with_filters_of(now, {"swapped": then, "kept": reset}, "old")
    assert back["swapped"] == reset._replace(schema_id="old", x=then.x, filter_ts_s=T0, heard=Moment(3, 5.0))
    assert back["kept"] == then
    assert back["newcomer"] == reset
