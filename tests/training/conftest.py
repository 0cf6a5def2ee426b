"""The real training, tiny, run once for all tests that look at what it leaves behind."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]

FS_HZ = 12_000.0
SAMPLES = 4096


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Folder and output of ``python -m training train`` on very few windows."""
    from training.train import Args, train

    folder = tmp_path_factory.mktemp("trained") / "models"
    lines: list[str] = []
    train(Args(out=folder, work=folder.parent / "work", windows=2048, epochs=4, workers=2, golden=6), lines.append)
    return folder, lines


def impacts(order: float, shaft_hz: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A resonance at 3 kHz struck ``order`` times a turn, in noise; ``(SAMPLES,)`` m/s^2."""
    time_s = np.arange(SAMPLES) / FS_HZ
    signal = 0.3 * rng.standard_normal(SAMPLES)
    for start_s in np.arange(0.003, time_s[-1], 1.0 / (order * shaft_hz)):
        after = np.clip(time_s - start_s, 0.0, None)
        signal += np.where(after > 0.0, 5.0 * np.exp(-800.0 * after) * np.sin(2.0 * np.pi * 3000.0 * after), 0.0)
    return signal.astype(np.float32)


@pytest.fixture
def struck() -> type:
    """Access to the signal maker from test modules, which are not a package."""
    return type("Struck", (), {"impacts": staticmethod(impacts), "fs_hz": FS_HZ, "samples": SAMPLES})
