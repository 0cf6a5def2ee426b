"""Presets: what is identified from made-up recordings is what they were made of, and the defaults never see it."""

from pathlib import Path

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import identify, preset
from simulator.identify import KNOTS, Sample, cut, density, mean_slip
from simulator.path import Path as Transmission
from simulator.resemblance import FEATURES
from simulator.validate import compare

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


def test_the_density_of_a_recording_sums_to_its_mean_square() -> None:
    x = np.random.default_rng(0).normal(0, 2.0, 60_000).astype(np.float32)
    assert density([x]).sum() == pytest.approx(4.0, rel=0.02)


def test_slip_is_found_in_the_envelope() -> None:
    rig = preset.named("cwru")
    item = rig.find(Fault.INNER_RACE, "0.007", "").model_copy(update={"impact_scatter": 0.0})
    item = item.model_copy(update={"contact": item.contact | {"mean_slip": 0.012, "jitter": 0.002}})
    accel, _ = preset.windows(rig, item, 1750.0, 1, 60_000, np.random.default_rng(0))
    assert mean_slip([Sample(accel[0], 1750.0)], rig.fs_hz, BPFI) == pytest.approx(0.012, abs=0.002)


def test_a_specimen_identified_from_the_twins_own_windows_resembles_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "DRAWS", 10)
    monkeypatch.setattr(identify, "STEPS", 25)
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
    items = {item.fault: item for item in compare(recordings / "cwru", rig=preset.named("cwru"))}
    assert {pair.row.load_hp for item in items.values() for pair in item.pairs} == {"2", "3"}
    assert items[Fault.INNER_RACE].verdict.auroc <= 0.80
    assert items[Fault.OUTER_RACE].verdict.auroc <= 0.80
