"""Recordings in the publishers' formats, made up."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def cwru_file(tmp_path: Path) -> Path:
    """Like Case Western's: the prefix differs from the file's number, RPM included."""
    savemat = pytest.importorskip("scipy.io").savemat
    rng = np.random.default_rng(0)
    path = tmp_path / "12k_DE" / "174.mat"
    path.parent.mkdir()
    savemat(
        path,
        {
            "X173_DE_time": rng.normal(0, 0.1, (20_000, 1)),
            "X173_FE_time": rng.normal(0, 0.2, (20_000, 1)),
            "X173RPM": np.array([[1772]]),
        },
    )
    return path


@pytest.fixture
def mfpt_file(tmp_path: Path) -> Path:
    """Like the MFPT challenge's: a struct."""
    savemat = pytest.importorskip("scipy.io").savemat
    gs = np.random.default_rng(1).normal(0, 1, (30_000, 1))
    path = tmp_path / "OuterRaceFault_1.mat"
    savemat(path, {"bearing": {"sr": 48_828.0, "gs": gs, "load": 25.0, "rate": 25.0}})
    return path


@pytest.fixture
def femto_file(tmp_path: Path) -> Path:
    """Like the repacked PRONOSTIA files."""
    acc = np.random.default_rng(2).integers(-900, 900, (6, 2560, 2)).astype(np.int16)
    path = tmp_path / "Learning_set_Bearing2_1.npz"
    np.savez_compressed(path, acc_milli_g=acc)
    return path
