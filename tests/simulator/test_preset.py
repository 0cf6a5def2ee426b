"""Presets: what is identified from made-up recordings is what they were made of, and the defaults never see it."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import identify, preset
from simulator.bearing import Contact, by_element
from simulator.console.validate import OCCASIONS
from simulator.identify import KNOTS, Sample, cut, density, mean_slip
from simulator.parameter import nominal
from simulator.path import Delay
from simulator.path import Path as Transmission
from simulator.resemblance import FEATURES
from simulator.validate import compare, known_bearing

BPFI = CATALOGUE["6205"].orders().bpfi


def test_the_rig_has_a_specimen_for_every_drive_end_defect() -> None:
    rig = preset.named("cwru")
    assert len({(item.fault, item.size_in, item.position) for item in rig.specimen}) == 15
    for item in rig.specimen:
        assert len(item.impact_db) == len(item.noise_db) == KNOTS
    with pytest.raises(KeyError, match="no specimen cage"):
        rig.find(Fault.CAGE, "0.007", "")


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="preset 'mfpt': unknown; known are cwru"):
        preset.named("mfpt")


def test_a_written_preset_reads_back_the_same() -> None:
    rig = preset.named("cwru")
    text = preset.written(rig)
    assert preset.written(preset.parsed(text)) == text


def test_windows_of_a_specimen_are_the_same_for_a_seed_and_have_its_level() -> None:
    rig = preset.named("cwru")
    item = rig.find(Fault.INNER_RACE, "0.021", "")
    one, shaft_hz = preset.windows(rig, item, 1750.0, 8, 4096, np.random.default_rng(4))
    other, _ = preset.windows(rig, item, 1750.0, 8, 4096, np.random.default_rng(4))
    assert (one == other).all()
    np.testing.assert_allclose(60.0 * shaft_hz, 1750.0, rtol=3e-3)
    assert one.std() > item.noise_m_s2


def test_an_identified_path_answers_with_its_amplitude_and_at_once() -> None:
    amplitude = 1.0 / np.hypot(1.0 - (np.linspace(0.0, 4.0, KNOTS)) ** 2, 0.2)
    via = Transmission.identified(np.array([12_000.0]), 4096, amplitude[None], np.ones((1, KNOTS)))
    answer = np.fft.irfft(via.impact[0], via.length)
    energy = np.cumsum(answer**2) / np.sum(answer**2)
    assert energy[400] > 0.99
    peak = int(np.argmax(np.abs(via.impact[0]))) / (via.length // 2)
    assert peak == pytest.approx(0.25, abs=0.01)


def test_echoes_prolong_the_answer_and_keep_every_amplitude() -> None:
    flat = np.ones((1, KNOTS))
    plain, echoing = (
        Transmission.identified(np.array([12_000.0]), 4096, flat, flat, Delay(0.0, 0.003, share))
        for share in (0.0, 0.6)
    )
    one, other = np.abs(plain.impact[0]), np.abs(echoing.impact[0])
    np.testing.assert_allclose(one / one[0], other / other[0], rtol=1e-4)
    answer = np.abs(np.fft.irfft(echoing.impact[0], echoing.length))
    # Echoes fall by the share, 36 samples apart; the first of them is the loudest.
    assert answer[72] / answer[36] == pytest.approx(0.6, abs=0.02)
    assert answer[108] / answer[72] == pytest.approx(0.6, abs=0.02)


def test_the_density_of_a_recording_sums_to_its_mean_square() -> None:
    x = np.random.default_rng(0).normal(0, 2.0, 60_000).astype(np.float32)
    power, floor = density([x])
    assert power.sum() == pytest.approx(4.0, rel=0.02)
    # Noise is all floor: the lower fifth of a mean of about six overlapping spectra lies at two thirds of their mean.
    assert floor.sum() / power.sum() == pytest.approx(0.65, abs=0.05)


def test_a_comb_of_lines_is_spread_from_tooth_to_tooth_and_is_no_floor() -> None:
    t = np.arange(60_000) / 12_000.0
    comb = np.sum([np.cos(2.0 * np.pi * f * t) for f in np.arange(100.0, 6000.0, 100.0)], axis=0).astype(np.float32)
    power, floor = density([comb], round(100.0 / 12_000.0 * identify.LONG))
    inside = power[10:-10]
    assert inside.std() < 0.1 * inside.mean()
    assert floor.sum() < 0.01 * power.sum()


def test_the_search_finds_the_least_of_a_tilted_valley() -> None:
    def valley(at: np.ndarray) -> float:
        x = at - np.array([0.7, 0.3, 0.5, 0.6])
        return float(x[0] ** 2 + 100.0 * (x[1] - x[0]) ** 2 + 10.0 * x[2] ** 2 + x[3] ** 2)

    found = identify.search(valley, np.full(4, 0.2), np.random.default_rng(0))
    assert valley(found) < 1e-4
    assert (found == identify.search(valley, np.full(4, 0.2), np.random.default_rng(0))).all()


def test_elements_that_differ_repeat_at_every_turn_of_the_cage() -> None:
    orders = np.array([CATALOGUE["6205"].orders()])
    contact = nominal(Contact, 1, pocket_play=0.05, ball_scatter=0.5, ball_pattern=0.3, jitter=0.0)
    even = np.arange(36.0)[None] / 100.0
    times, height = by_element(np.random.default_rng(0), even, np.array([100.0]), orders, contact)
    late = 100.0 * (times - even)[0]
    # A 6205 has nine balls.
    np.testing.assert_allclose(late[9:], late[:-9])
    np.testing.assert_allclose(height[0, 9:], height[0, :-9])
    assert 0.02 < late[:9].std() < 0.08
    alike, same = by_element(np.random.default_rng(0), even, np.array([100.0]), orders, nominal(Contact, 1))
    assert alike is even
    assert same == 1.0


def test_dispersion_delays_low_frequencies_and_keeps_every_amplitude() -> None:
    flat = np.ones((1, KNOTS))
    fs_hz = np.array([12_000.0])
    compact, spread = (Transmission.identified(fs_hz, 4096, flat, flat, Delay(late_s)) for late_s in (0.0, 0.01))
    one, other = np.abs(compact.impact[0]), np.abs(spread.impact[0])
    np.testing.assert_allclose(one / one[0], other / other[0], rtol=1e-4)
    delay_s = -np.diff(np.unwrap(np.angle(spread.impact[0]))) / (2.0 * np.pi) * spread.length / 12_000.0
    assert delay_s[10] == pytest.approx(0.01, rel=0.05)
    assert abs(delay_s[-10]) < 5e-4


def test_slip_is_found_in_the_envelope() -> None:
    rig = preset.named("cwru")
    item = rig.find(Fault.INNER_RACE, "0.007", "").model_copy(update={"impact_scatter": 0.0})
    item = item.model_copy(update={"contact": item.contact | {"mean_slip": 0.012, "jitter": 0.002}})
    accel, _ = preset.windows(rig, item, 1750.0, 1, 60_000, np.random.default_rng(0))
    assert mean_slip([Sample(accel[0], 1750.0)], rig.fs_hz, BPFI) == pytest.approx(0.012, abs=0.002)


def test_a_specimen_identified_from_the_twins_own_windows_resembles_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "GENERATIONS", 8)
    rig = preset.named("cwru")
    known = rig.find(Fault.OUTER_RACE, "0.007", "6")
    accel, _ = preset.windows(rig, known, 1760.0, 1, 60_000, np.random.default_rng(1))
    order = CATALOGUE["6205"].orders().bpfo
    found = identify.specimen(rig, known.fault, "0.007", "6", known.severity, [Sample(accel[0], 1760.0)], order)
    again, _ = preset.windows(rig, found, 1760.0, 12, 4096, np.random.default_rng(2))
    one, other = (identify.described(x, rig.fs_hz, 1760.0, order) for x in (cut(accel[0], 12), again))
    gap = np.abs(one.mean(axis=0) - other.mean(axis=0))
    assert gap[FEATURES.index("log_band_3")] < 0.3
    assert gap[FEATURES.index("log_kurtosis")] < 0.5


@pytest.mark.data("cwru/cwru.tar.xz")
def test_no_classifier_tells_the_rigs_preset_from_recordings_at_loads_it_never_saw(recordings: Path) -> None:
    again = [
        {item.fault: item for item in compare(recordings / "cwru", seed=seed, rig=preset.named("cwru"))}
        for seed in range(OCCASIONS)
    ]
    assert {pair.row.load_hp for item in again[0].values() for pair in item.pairs} == {"2", "3"}
    for fault in (Fault.INNER_RACE, Fault.OUTER_RACE):
        assert fmean(items[fault].verdict.auroc for items in again) <= 0.80


@pytest.mark.data("cwru/cwru.tar.xz")
def test_by_recordings_the_preset_is_told_apart_less_well_than_the_defaults(recordings: Path) -> None:
    """A classifier that met the same bearing on both sides judges more strictly: the report says by how much."""
    kinds = [
        {item.fault: known_bearing(item) for item in compare(recordings / "cwru", seed=0, rig=rig)}
        for rig in (preset.named("cwru"), None)
    ]
    for fault in (Fault.INNER_RACE, Fault.OUTER_RACE):
        assert kinds[0][fault] < kinds[1][fault] - 0.02, fault


def test_an_occasion_is_stranger_the_farther_its_load_lies_from_those_identified() -> None:
    item = preset.named("cwru").specimen[0].model_copy(update={"identified_rpm": (1797.0, 1772.0)})
    # From the mean of two points of a random walk to the next: 1 + 1/4 steps, each of twice the scatter's variance.
    assert item.strangeness(1784.5) == pytest.approx(np.sqrt(0.5))
    assert item.strangeness(1747.0) == pytest.approx(np.sqrt(2.0 * 1.25))
    assert item.strangeness(1722.0) == pytest.approx(np.sqrt(2.0 * 2.25))
    assert item.model_copy(update={"identified_rpm": ()}).strangeness(1700.0) == 1.0


def test_the_scatter_between_recordings_is_that_of_their_spectra() -> None:
    rng = np.random.default_rng(2)
    wave = preset.waves(4, 30_001)[3]

    def recording(tilt: float) -> Sample:
        lines = np.fft.rfft(rng.standard_normal(60_000)) * np.exp(tilt * wave)
        return Sample(np.fft.irfft(lines).astype(np.float32), 1790.0)

    assert identify.occasion_scatter([recording(0.2), recording(-0.2)], 1) == pytest.approx(
        0.2 * np.sqrt(2.0), rel=0.15
    )
    assert identify.occasion_scatter([recording(0.0), recording(0.0)], 1) < 0.05
    assert identify.occasion_scatter([recording(0.0)], 1) == 0.0
