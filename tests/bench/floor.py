"""The ONNX Runtime floor: the same graphs on the same readings, ready-made batches, nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from service import bundle
from service.contract.manifest import MERGED
from service.contract.signals import OPERATING
from service.motor import profile_of
from tests.bench.load import FS_HZ, SAMPLES, machines

if TYPE_CHECKING:
    from pathlib import Path


def nameplate_row(machine: int = 0) -> np.ndarray:
    """The nameplate of one of the bench's machines as a graph row, float32 ``(9,)``."""
    known = machines().births
    return profile_of(known[machine % len(known)]).nameplate


def cpu_s_per_reading(folder: Path, batch: int, *, merge: bool, seconds: float = 3.0) -> float:
    """CPU seconds a reading when the graphs run on ready-made batches of ``batch`` rows.

    With ``merge`` they are the graphs that the service runs; without, the three models as they stand.
    """
    loaded = bundle.load(folder, prove=False)
    manifest = loaded.manifest
    merged = merge and MERGED in manifest.graphs
    known = [reading for moment in zip(*machines().readings, strict=True) for reading in moment]
    readings = [known[row % len(known)] for row in range(batch)]
    operating = np.array([[getattr(reading, name) for name in OPERATING] for reading in readings], np.float32)
    window = {
        "accel_m_s2": np.stack([reading.accel_m_s2["x"] for reading in readings]),
        "samples": np.full(batch, SAMPLES, np.float32),
        "fs_hz": np.full(batch, FS_HZ, np.float32),
        "operating": operating,
        "nameplate": np.stack([nameplate_row(row) for row in range(batch)]),
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
