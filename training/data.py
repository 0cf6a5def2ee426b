"""Training data from the twin: windows, made rougher than the twin makes them, reduced to features by many processes.

Nothing real is in here. What the twin cannot know of other people's machines is drawn at random over wide ranges, see
``training.disturbance``; beside it sensors that are missing and plates that name another bearing.

A chunk of windows is drawn from ``(seed, chunk)`` alone, so the data do not depend on the number of workers. Motors are
numbered through, and a split is always one by motor.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import torch

from service.contract.bearing import CATALOGUE
from service.contract.faults import BEARING_FAULTS, Fault
from service.contract.signals import NAMEPLATE, OPERATING
from simulator import dataset
from training import shards
from training.disturbance import Rows, disturb
from training.features import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.dataset import Windows

CHUNK = 1024
"""Windows drawn together."""
STREAMS = 100_003
"""Streams of one seed: chunk ``i`` of seed ``s`` draws ``s * STREAMS + i``. The gate's replay lies far above them."""
_BATCH = 64
_MOTORS_APART = 1_000_000

_ORDERS_FROM = NAMEPLATE.index("ftf")
_THERMAL = [list(Fault).index(fault) for fault in (Fault.COOLING, Fault.OVERLOAD)]
_BEARING = np.array([list(Fault).index(fault) for fault in BEARING_FAULTS])
_SPEED_AND_NO_MORE = OPERATING.index("speed_rpm") + 1


@dataclass(frozen=True, slots=True)
class Table:
    """Features ``(N, F)`` float32, true severities ``(N, C)`` float32 and motors ``(N,)`` int64 of ``N`` windows."""

    features: NDArray[np.float32]
    severity: NDArray[np.float32]
    motor: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.motor)

    def rows(self, keep: NDArray[np.bool_]) -> Table:
        """The rows where ``keep``."""
        return Table(self.features[keep], self.severity[keep], self.motor[keep])

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """Rows without any fault, ``(N,)``."""
        return np.asarray(self.severity.max(axis=1) == 0.0)


@dataclass(frozen=True, slots=True)
class Split:
    """Three tables with no motor in common: to fit, to calibrate, and to report on."""

    fit: Table
    calibrate: Table
    report: Table


def table(
    count: int,
    *,
    seed: int,
    workers: int,
    healthy_share: float,
    told: Callable[[int, int], None],
    kept: Path | None = None,
) -> Table:
    """Features of ``count`` windows.

    Args:
        count: windows, rounded up to whole chunks.
        seed: of everything random.
        workers: processes.
        healthy_share: share of windows without a fault.
        told: called with windows done and windows wanted.
        kept: folder that finished chunks are kept in, and taken from where they are whole and of this recipe.

    Raises:
        training.atomic.WriteError: a chunk could not be kept.
    """
    chunks = -(-count // CHUNK)
    made_by = shards.recipe(seed=seed, healthy_share=healthy_share, chunk=CHUNK)
    parts: dict[int, Table] = {}
    if kept is not None:
        found = {index: shards.read(kept, index, made_by) for index in range(chunks)}
        parts = {index: Table(**arrays) for index, arrays in found.items() if arrays is not None}  # type: ignore[arg-type]
    told(len(parts) * CHUNK, chunks * CHUNK)
    lacking = [index for index in range(chunks) if index not in parts]
    for index, part in zip(lacking, _made(partial(_chunk, seed, healthy_share), lacking, workers), strict=True):
        if kept is not None:
            shards.write(kept, index, made_by, {one.name: getattr(part, one.name) for one in fields(Table)})
        parts[index] = part
        told(len(parts) * CHUNK, chunks * CHUNK)
    return Table(*(np.concatenate([getattr(parts[k], one.name) for k in range(chunks)]) for one in fields(Table)))


def _made(job: Callable[[int], Table], indices: list[int], workers: int) -> Iterator[Table]:
    if workers == 1 or len(indices) < 2:
        yield from map(job, indices)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(job, indices)
    finally:
        # Whoever stops listening, as for a full disk, does not wait for what is not begun.
        pool.shutdown(cancel_futures=True)


def split(whole: Table, seed: int) -> Split:
    """By motor, before anything is fitted: 70 % to fit, 15 % to calibrate, 15 % to report on."""
    share = np.array([zlib.crc32(f"{seed}:{motor}".encode()) % 100 for motor in whole.motor])
    return Split(whole.rows(share < 70), whole.rows((share >= 70) & (share < 85)), whole.rows(share >= 85))


def windows(count: int, *, seed: int, healthy_share: float) -> Windows:
    """Rough windows with their waveforms, for golden vectors and tests; ``count`` of them from one stream."""
    rng = np.random.default_rng((seed, 1))
    return roughened(dataset.windows(count, seed=seed, healthy_share=healthy_share), rng)


def features_of(sample: Windows) -> NDArray[np.float32]:
    """Features ``(n, F)`` of windows, by the module that the graphs are made from."""
    model = Features().eval()
    out = []
    with torch.no_grad():
        for start in range(0, len(sample.fs_hz), _BATCH):
            part = slice(start, start + _BATCH)
            columns = (sample.accel_m_s2, sample.samples, sample.fs_hz, sample.operating, sample.nameplate)
            out.append(model(*(torch.from_numpy(np.ascontiguousarray(column[part])) for column in columns)).numpy())
    return np.concatenate(out)


def _chunk(seed: int, healthy_share: float, index: int) -> Table:
    torch.set_num_threads(1)
    stream = seed * STREAMS + index
    sample = windows(CHUNK, seed=stream, healthy_share=healthy_share)
    return Table(features_of(sample), sample.severity, sample.motor + index * _MOTORS_APART)


def roughened(sample: Windows, rng: np.random.Generator) -> Windows:
    """The windows as a machine nobody modelled might give them; severities follow what can still be told.

    A fault that the remaining inputs cannot show counts as absent: temperature faults without temperatures, a bearing
    fault under a plate that names another bearing.
    """
    accel = sample.accel_m_s2.astype(np.float32, copy=True)
    rows, length = accel.shape
    valid = np.arange(length) < sample.samples[:, None]
    rms = np.sqrt((accel**2 * valid).sum(axis=1) / sample.samples)

    speed = sample.operating[:, OPERATING.index("speed_rpm")]
    turning = np.where(np.isfinite(speed), speed, sample.nameplate[:, NAMEPLATE.index("rated_speed_rpm")])
    turn = np.maximum(turning, 60.0) / 60.0 / sample.fs_hz
    disturb(Rows(accel, rms.astype(np.float64), turn.astype(np.float64), sample.fs_hz.astype(np.float64)), rng)
    accel *= valid

    operating, nameplate, severity = sample.operating.copy(), sample.nameplate.copy(), sample.severity.copy()
    bare = rng.random(rows) < 0.1
    operating[bare, _SPEED_AND_NO_MORE:] = np.nan
    other = np.flatnonzero(rng.random(rows) < 0.05)
    catalogue = np.array([geometry.orders() for geometry in CATALOGUE.values()], dtype=np.float32)
    mistaken = catalogue[rng.integers(0, len(catalogue), other.size)]
    apart = np.abs(mistaken / np.nan_to_num(nameplate[other, _ORDERS_FROM:], nan=1.0) - 1.0).min(axis=1) > 0.05
    other, mistaken = other[apart], mistaken[apart]
    nameplate[other, _ORDERS_FROM:] = mistaken
    severity[other[:, None], _BEARING] = 0.0
    _forget_unseen(operating, nameplate, severity)
    return replace(sample, accel_m_s2=accel, operating=operating, nameplate=nameplate, severity=severity)


def _forget_unseen(
    operating: NDArray[np.float32], nameplate: NDArray[np.float32], severity: NDArray[np.float32]
) -> None:
    missing = np.isnan(operating)
    at = OPERATING.index
    warm = ~missing[:, at("ambient_c")] & ~(missing[:, at("winding_c")] & missing[:, at("housing_c")])
    effort = ~missing[:, at("load")] | (~missing[:, at("current_a")] & ~np.isnan(nameplate[:, 1]))
    severity[~(warm & effort), _THERMAL[0]] = 0.0
    severity[~effort, _THERMAL[1]] = 0.0
    severity[np.flatnonzero(np.isnan(nameplate[:, _ORDERS_FROM]))[:, None], _BEARING] = 0.0
