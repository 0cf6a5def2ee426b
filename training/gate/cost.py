"""Size, latency and memory; the last two in processes of their own: a bundle that hangs costs its process alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from training.bundle import LIMIT_BYTES
from training.gate.check import Check

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIMEOUT_S = 120.0
SLOWER, MEMORY, SIZE = 1.25, 1.1, 1.6
"""Largest ratios of candidate to champion: 95th percentile of latency, peak memory, bytes."""
_DRAWS = 2000
_SEED = 1


def size(champion: Path, candidate: Path) -> Check:
    """Bytes of the folder; a bundle travels over thin lines."""
    before, now = (
        sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) for folder in (champion, candidate)
    )
    return Check(
        "size_ratio",
        now <= SIZE * before and now <= LIMIT_BYTES,
        f"{now / before:.3f} ({now} bytes, champion {before})",
        f"<= {SIZE:g}, and <= {LIMIT_BYTES} bytes",
        now / before,
    )


def latency(champion: Path, candidate: Path) -> Check:
    """Ratio of 95th percentiles over a motor's three graphs; refused where the interval's lower end is too much."""
    limit = f"<= {SLOWER:g} (lower end of the 95 % interval)"
    found, trouble = _probed("latency", champion, candidate)
    if trouble:
        return Check("latency_p95_ratio", False, trouble, limit)
    blocks = np.array(found["blocks"])
    ratio, lo, hi = p95_ratio(blocks)
    before_ms, now_ms = 1e3 * np.quantile(blocks.reshape(2, -1), 0.95, axis=1)
    return Check(
        "latency_p95_ratio",
        bool(lo <= SLOWER),
        f"{ratio:.3f} [{lo:.3f}, {hi:.3f}] ({now_ms:.2f} ms, champion {before_ms:.2f} ms)",
        limit,
        ratio,
    )


def p95_ratio(blocks: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of times ``(2, blocks, repeats)``, champion first; the interval resamples whole blocks, both sides' together."""
    count = blocks.shape[1]
    drawn = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
    p95 = [np.quantile(side[drawn].reshape(_DRAWS, -1), 0.95, axis=1) for side in blocks]
    lo, hi = np.quantile(p95[1] / p95[0], [0.025, 0.975])
    before, now = (float(np.quantile(side, 0.95)) for side in blocks)
    return now / before, float(lo), float(hi)


def memory(champion: Path, candidate: Path) -> Check:
    """Ratio of peak resident memory, each in a fresh process, with the edge's own runtime in it."""
    limit = f"<= {MEMORY:g}"
    peaks = []
    for folder in (champion, candidate):
        found, trouble = _probed("memory", folder)
        if trouble:
            return Check("memory_ratio", False, trouble, limit)
        peaks.append(float(found["peak_mib"]))
    ratio = peaks[1] / peaks[0]
    return Check(
        "memory_ratio", ratio <= MEMORY, f"{ratio:.3f} ({peaks[1]:.1f} MiB, champion {peaks[0]:.1f} MiB)", limit, ratio
    )


def _probed(*arguments: str | Path) -> tuple[dict[str, Any], str]:
    """What the probe printed, or what was wrong with it."""
    command = [sys.executable, "-m", "training.gate.probe", *map(str, arguments)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {}, f"did not finish within {TIMEOUT_S:g} s"
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {}, said[-1][:200] if said else f"ended with status {done.returncode}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found, ""
