"""Drift on the twin: changing loads are none, a changed gain is one, and the sketch is reproducible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from service import bundle, drift
from service.contract.manifest import Manifest
from training.__main__ import MODELS, main
from training.evaluate.drift import Recorded, judge, recorded
from training.evaluate.fleet import healthy
from training.sketch import sketch

pytestmark = pytest.mark.training

MOTORS, DAYS, CHANGED_AT_H = 16, 8.0, 96


@pytest.fixture(scope="module")
def rules() -> drift.Rules:
    found = drift.rules_of(bundle.load(MODELS, prove=False))
    assert found is not None, "the shipped bundle holds no sketch: python -m training sketch"
    return found


@pytest.fixture(scope="module")
def fleet() -> Recorded:
    return recorded(healthy(7_300_000, MOTORS, DAYS))


def test_changing_loads_and_ambients_are_no_drift(rules: drift.Rules, fleet: Recorded) -> None:
    assert np.isnan(judge(fleet, rules).hour).all()


@pytest.mark.parametrize("gain", [0.8, 1.2])
def test_a_fifth_more_or_less_gain_of_an_accelerometer_is_found_within_a_day(
    gain: float, rules: drift.Rules, fleet: Recorded
) -> None:
    found = judge(fleet, rules, "accel_m_s2.x", gain, CHANGED_AT_H)
    assert found.learnt.all()
    late = found.hour - CHANGED_AT_H + 1
    assert (late > 0).all()
    assert np.mean(late <= 24) >= 0.9, sorted(late)


def test_the_same_seed_sketches_the_same_and_another_does_not() -> None:
    assert sketch(3, 512) == sketch(3, 512) != sketch(4, 512)


def test_a_bundle_is_given_the_sketch_that_its_training_would_have_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(MODELS, tmp_path / "models"))
    file = folder / "manifest.json"
    before = json.loads(file.read_bytes())
    file.write_text(json.dumps({key: value for key, value in before.items() if key != "sketch"}))
    assert bundle.load(folder, prove=False).manifest.sketch is None
    assert main(["sketch", "--models", str(folder)]) == 0
    loaded = bundle.load(folder, prove=False)
    assert loaded.digest[:12] in capsys.readouterr().out
    assert loaded.manifest == Manifest.model_validate(before)
