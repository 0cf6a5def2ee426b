"""The bundle in the repository on this machine: proven, close to what torch said, and quick enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service import bundle

MODELS = Path(__file__).resolve().parents[2] / "service" / "models"


@pytest.fixture(scope="module")
def shipped() -> bundle.Bundle:
    return bundle.load(MODELS, prove=True)


@pytest.fixture(scope="module")
def cases(shipped: bundle.Bundle) -> dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Inputs, and what torch made of them, for every graph."""
    with np.load(MODELS / shipped.manifest.golden.file) as vectors:
        return {name: bundle._case(shipped.manifest, name, dict(vectors)) for name in shipped.manifest.graphs}


def test_graphs_agree_with_torch_within_1e_4(shipped: bundle.Bundle, cases: dict) -> None:
    for name, (feeds, wanted) in cases.items():
        for key, got in shipped.run(name, feeds).items():
            assert np.allclose(got, wanted[key], rtol=1e-4, atol=1e-4, equal_nan=True), (name, key)


def test_a_row_gets_the_same_answer_alone_and_in_company(shipped: bundle.Bundle, cases: dict) -> None:
    for name, (feeds, _) in cases.items():
        together = shipped.run(name, feeds)
        for row in range(len(next(iter(feeds.values())))):
            alone = shipped.run(name, {key: value[row : row + 1] for key, value in feeds.items()})
            for key, value in alone.items():
                assert np.allclose(value[0], together[key][row], rtol=1e-4, atol=1e-4, equal_nan=True), (name, key)


def test_the_bundle_fits_a_thin_line(shipped: bundle.Bundle) -> None:
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 2_000_000
    assert shipped.manifest.seed >= 0
    assert set(shipped.manifest.metrics) >= {f"twin.{fault}.recall" for fault in shipped.manifest.classes}


def test_silence_and_ignorance_raise_nothing(shipped: bundle.Bundle) -> None:
    feeds = {
        "accel_m_s2": np.zeros((2, 4096), dtype=np.float32),
        "samples": np.array([4096, 2048], dtype=np.float32),
        "fs_hz": np.array([10_000, 26_000], dtype=np.float32),
        "operating": np.full((2, 6), np.nan, dtype=np.float32),
        "nameplate": np.full((2, 9), np.nan, dtype=np.float32),
    }
    named = shipped.run("classifier", feeds)
    opens = np.array([shipped.manifest.alarms[fault].open_at for fault in shipped.manifest.classes])
    assert np.isfinite(named["probability"]).all()
    assert (named["probability"] < opens).all()
    assert np.isfinite(shipped.run("anomaly", feeds)["anomaly"]).all()
