"""The ONNX Runtime floor: the same graphs, the same batch, nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from service import bundle
from service.contract.bearing import CATALOGUE
from service.contract.manifest import MERGED
from service.contract.signals import NAMEPLATE
from tests.bench.load import FS_HZ, SAMPLES, SPEED_RPM

if TYPE_CHECKING:
    from pathlib import Path


def nameplate_row() -> np.ndarray:
    """The bench motors' nameplate as a graph row, float32 ``(9,)``."""
    values = {
        "rated_speed_rpm": SPEED_RPM,
        "rated_current_a": 15.0,
        "winding_rise_k": 80.0,
        "housing_rise_k": 40.0,
        "thermal_tau_s": 2400.0,
        **CATALOGUE["6205"].orders()._asdict(),
    }
    return np.array([values[name] for name in NAMEPLATE], dtype=np.float32)


def cpu_s_per_reading(folder: Path, batch: int, *, merge: bool, seconds: float = 3.0) -> float:
    """CPU seconds a reading when the graphs run on ready-made batches of ``batch`` rows.

    With ``merge`` they are the graphs that the service runs; without, the three models as they stand.
    """
    loaded = bundle.load(folder, prove=False)
    manifest = loaded.manifest
    merged = merge and MERGED in manifest.graphs
    rng = np.random.default_rng(1)
    operating = np.tile(np.array([[SPEED_RPM, 12.0, 0.8, 75.0, 50.0, 22.0]], np.float32), (batch, 1))
    window = {
        "accel_m_s2": rng.normal(0, 1, (batch, SAMPLES)).astype(np.float32),
        "samples": np.full(batch, SAMPLES, np.float32),
        "fs_hz": np.full(batch, FS_HZ, np.float32),
        "operating": operating,
        "nameplate": np.tile(nameplate_row(), (batch, 1)),
    }
    state = np.tile(np.array([manifest.health.initial_state]), (batch, 1))
    cov = np.tile(np.array([manifest.health.initial_cov]), (batch, 1, 1))
    done, start = 0, 0.0
    end = time.perf_counter() + seconds
    for turn in range(1_000_000):
        if turn == 3:
            done, start = 0, time.process_time()
        for graph in (MERGED,) if merged else ("anomaly", "classifier"):
            answer = loaded.run(graph, window)
        feeds = {
            "state": state,
            "cov": cov,
            "operating": operating,
            "nameplate": window["nameplate"],
            "severity": answer["severity"].astype(np.float64),
            "dt_s": np.ones(batch),
        }
        answer = loaded.run("health", feeds)
        state, cov = answer["state_next"], answer["cov_next"]
        done += batch
        if turn > 3 and time.perf_counter() > end:
            break
    return (time.process_time() - start) / done
