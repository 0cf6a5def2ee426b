"""Features at known orders, under missing values and at any level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from service.contract.bearing import CATALOGUE
from service.contract.signals import NAMEPLATE, OPERATING
from training.features import INDEX, NAMES, Features

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.training

SHAFT_HZ = 29.5
ORDERS = CATALOGUE["6205"].orders()
NAN = float("nan")


def features(
    accel: np.ndarray,
    *,
    samples: int = 4096,
    fs_hz: float = 12_000.0,
    operating: dict[str, float] | None = None,
    plate: dict[str, float] | None = None,
) -> dict[str, float]:
    values = {"speed_rpm": SHAFT_HZ * 60.0} if operating is None else operating
    known = {"rated_speed_rpm": 1780.0, **ORDERS._asdict()} if plate is None else plate
    row = (
        torch.from_numpy(accel.astype(np.float32))[None],
        torch.tensor([float(samples)]),
        torch.tensor([fs_hz]),
        torch.tensor([[values.get(name, NAN) for name in OPERATING]]),
        torch.tensor([[known.get(name, NAN) for name in NAMEPLATE]]),
    )
    with torch.no_grad():
        answer = Features()(*row)[0]
    assert torch.isfinite(answer).all()
    return dict(zip(NAMES, answer.tolist(), strict=True))


@pytest.mark.parametrize("name", ["bpfo", "bpfi"])
def test_impacts_at_a_bearing_order_lead_the_combs(name: str, struck: type) -> None:
    made: Callable[..., np.ndarray] = struck.impacts
    got = features(made(getattr(ORDERS, name), SHAFT_HZ, np.random.default_rng(0)))
    other = "bpfi" if name == "bpfo" else "bpfo"
    assert got[f"comb_{name}_low"] > got[f"comb_{other}_low"] + 1.0


def test_impacts_off_every_order_raise_no_comb(struck: type) -> None:
    got = features(struck.impacts(2.9, SHAFT_HZ, np.random.default_rng(0)))
    assert max(got["comb_bpfo_low"], got["comb_bpfi_low"]) < 0.8
    assert got["peak_low"] > 1.5


def test_two_per_cent_of_slip_are_forgiven_and_five_are_not(struck: type) -> None:
    rng = np.random.default_rng(0)
    near = features(struck.impacts(ORDERS.bpfo * 0.985, SHAFT_HZ, rng))
    far = features(struck.impacts(ORDERS.bpfo * 0.93, SHAFT_HZ, rng))
    assert near["comb_bpfo_low"] > far["comb_bpfo_low"] + 0.8


def test_velocity_of_a_known_line_is_told_in_mm_per_s() -> None:
    time_s = np.arange(4096) / 12_000.0
    rms_mm_s = 2.0
    omega = 2.0 * np.pi * SHAFT_HZ
    accel = rms_mm_s * 1e-3 * np.sqrt(2.0) * omega * np.sin(omega * time_s)
    got = features(accel)
    assert 10.0 ** got["order_1_velocity"] == pytest.approx(rms_mm_s * np.sqrt(2.0), rel=0.1)
    assert 10.0 ** got["level_velocity"] == pytest.approx(rms_mm_s, rel=0.15)


def test_only_levels_and_velocities_follow_the_gain(struck: type) -> None:
    accel = struck.impacts(ORDERS.bpfo, SHAFT_HZ, np.random.default_rng(0))
    soft, loud = features(accel), features(100.0 * accel)
    moved = {name for name in NAMES if abs(soft[name] - loud[name]) > 1e-3}
    assert moved == {name for name in NAMES if name.endswith("_velocity") or name.startswith("level_")}


def test_without_speed_the_rated_speed_stands_in(struck: type) -> None:
    accel = struck.impacts(ORDERS.bpfo, SHAFT_HZ, np.random.default_rng(0))
    plate = {"rated_speed_rpm": SHAFT_HZ * 60.0, **ORDERS._asdict()}
    told, untold = features(accel, plate=plate), features(accel, operating={}, plate=plate)
    assert untold["comb_bpfo_low"] == pytest.approx(told["comb_bpfo_low"], abs=1e-5)
    assert untold["has_order"] == 1.0


def test_without_geometry_every_bearing_feature_is_masked(struck: type) -> None:
    got = features(struck.impacts(ORDERS.bpfo, SHAFT_HZ, np.random.default_rng(0)), plate={"rated_speed_rpm": 1780.0})
    assert got["has_bearing"] == 0.0
    assert all(
        got[name] == 0.0 for name in NAMES if name.startswith(("comb_bpf", "comb_ball", "comb_cage", "near_", "apart_"))
    )
    assert got["has_order"] == 1.0


def test_nothing_known_and_nothing_moving_is_still_finite() -> None:
    got = features(np.zeros(4096), operating={}, plate={})
    assert got["has_order"] == got["has_bearing"] == 0.0


@pytest.mark.parametrize("constant", [0.0, 9.81])
def test_a_dead_channel_has_no_orders(constant: float) -> None:
    got = features(np.full(4096, constant))
    assert got["has_order"] == got["has_bearing"] == 0.0


def test_a_motor_at_rest_has_no_orders() -> None:
    got = features(np.random.default_rng(0).standard_normal(4096), operating={"speed_rpm": 0.0})
    assert got["has_order"] == got["has_bearing"] == got["order_1_ratio"] == 0.0


def test_heat_at_rated_load_is_no_excess_and_lost_cooling_is_one() -> None:
    noise = np.random.default_rng(0).standard_normal(4096)
    plate = {"rated_speed_rpm": 1450.0, "rated_current_a": 10.0, "winding_rise_k": 80.0, "housing_rise_k": 40.0}
    rated = {"speed_rpm": 1450.0, "load": 1.0, "current_a": 10.0, "ambient_c": 20.0}
    cool = features(noise, operating={**rated, "winding_c": 100.0, "housing_c": 60.0}, plate=plate)
    hot = features(noise, operating={**rated, "winding_c": 140.0, "housing_c": 100.0}, plate=plate)
    assert cool["winding_excess"] == pytest.approx(0.0, abs=1e-5)
    assert cool["resistance_ratio"] == pytest.approx(0.0, abs=0.01)
    assert hot["housing_heat"] == pytest.approx(np.log10(2.0), abs=0.01)
    assert hot["resistance_ratio"] == pytest.approx(np.log10(2.0), abs=0.01)


def test_every_name_has_its_own_column() -> None:
    assert len(INDEX) == len(NAMES)


def test_a_tone_and_a_coloured_machine_do_not_move_the_combs(struck: type) -> None:
    rng = np.random.default_rng(0)
    accel = struck.impacts(ORDERS.bpfo, SHAFT_HZ, rng)
    time_s = np.arange(4096) / 12_000.0
    plain = features(accel)
    toned = features(accel + 3.0 * np.sin(2.0 * np.pi * 2700.0 * time_s))
    assert toned["comb_bpfo_low"] > 1.0
    assert toned["comb_bpfo_low"] == pytest.approx(plain["comb_bpfo_low"], abs=0.4)
    gain = np.exp(2.0 * np.cos(np.pi * np.linspace(0.0, 3.0, 2049)))
    coloured = features(np.fft.irfft(np.fft.rfft(accel) * gain))
    assert coloured["comb_bpfo_low"] == pytest.approx(plain["comb_bpfo_low"], abs=0.4)


def test_a_shaft_harmonic_beside_a_bearing_line_is_told_from_it(struck: type) -> None:
    rolling = CATALOGUE["6203"].orders()
    plate = {"rated_speed_rpm": SHAFT_HZ * 60.0, **rolling._asdict()}
    shaft = features(struck.impacts(3.0, SHAFT_HZ, np.random.default_rng(0)), plate=plate)
    defect = features(struck.impacts(rolling.bpfo, SHAFT_HZ, np.random.default_rng(0)), plate=plate)
    assert shaft["near_bpfo_narrow_2"] > defect["near_bpfo_narrow_2"] + 0.3
    assert defect["comb_bpfo_narrow_2"] > 1.0
    bins = (rolling.bpfo - 3.0) * SHAFT_HZ / (12_000.0 / 4096.0) * 2.0
    assert defect["apart_bpfo"] == pytest.approx(bins, rel=1e-3)


def test_turns_are_those_of_the_valid_samples() -> None:
    noise = np.random.default_rng(0).standard_normal(4096)
    got = features(noise, samples=2400)
    assert 10.0 ** got["turns"] == pytest.approx(2400 / 12_000.0 * SHAFT_HZ + 0.1, rel=1e-3)
