"""How much louder a motor shakes than at its own start. Pure.

The first ``READINGS`` readings of an axis, over ``SPAN_S`` at least, are its start: the mean of ``y``, the logarithm of
its RMS with the training's influence of load and speed taken out (``service.contract.sketch``). From then on::

    level = max over axes of (y - start) / ln 2.5

One is a whole zone: the limits of small machines in ISO 10816-1, annex B (0.71, 1.8, 4.5 mm/s), lie 2.5 apart, 8 dB,
which the practice since ISO 2372 calls a significant change. It is a rule and no fit. It sees what the shape of a
spectrum does not tell, whatever the sensor's gain; it can't see what was wrong from the first day on. A motor that
turns at another speed than at its start is not compared, a reading under a named fault teaches nothing.

Within ``SPAN_S`` of its start a motor is settling: bearings run in, and alignment and balance are those of a machine
that grows warm. Whether its shaft is sound is judged on a machine that runs steadily (ISO 20816-1).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.sketch import AXIS_COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

READINGS = 24
SPAN_S = 600.0
SIGNIFICANT = 2.5
SPEED_SLACK = 0.2
"""Of the logarithm of the speed: beyond, the training's influence of speed is not trusted."""
_MOST = 60_000
# since; per axis: readings, sum of y; readings, sum of ln(speed / rated speed)
_RECORD = struct.Struct(f"<d{AXIS_COUNT}H{AXIS_COUNT}fHf")
_SINCE = struct.Struct("<d")
_NEW = (0.0, *(0,) * AXIS_COUNT, *(0.0,) * AXIS_COUNT, 0, 0.0)


class Risen(NamedTuple):
    """A motor's record after a reading, and its level, 1 at a significant change; None where nothing is compared."""

    record: bytes
    level: float | None


def advance(record: bytes, y: Sequence[float], turning: float, ts_s: float, *, faulty: bool) -> Risen:
    """One reading of one motor.

    Plain arithmetic, as it is a few numbers: arrays would cost more than they save.

    Args:
        record: as this returned it, empty for a motor not met before.
        y: by axis (``AXIS_COUNT``), NaN where absent or not to be compared.
        turning: ``ln(speed / rated speed)``.
        ts_s: the reading's time.
        faulty: whether a named fault is known; then nothing is learnt.
    """
    since, *rest = _RECORD.unpack(record) if len(record) == _RECORD.size else _NEW
    counts, sums = rest[:AXIS_COUNT], rest[AXIS_COUNT : 2 * AXIS_COUNT]
    speeds, speed = rest[2 * AXIS_COUNT :]
    if not any(counts):
        since = ts_s
    early = _early(ts_s, since)
    alike = speeds > 0 and abs(turning - speed / speeds) <= SPEED_SLACK
    risen, taught = None, False
    for axis, value in enumerate(y):
        count = counts[axis]
        if math.isnan(value):
            continue
        if count < READINGS or (early and count < _MOST):
            if not faulty:
                counts[axis], sums[axis] = count + 1, sums[axis] + value
                taught = True
        elif alike:
            over = (value - sums[axis] / count) / math.log(SIGNIFICANT)
            risen = over if risen is None else max(risen, over)
    if not taught:
        return Risen(record, risen)
    if speeds < _MOST:
        speeds, speed = speeds + 1, speed + turning
    return Risen(_RECORD.pack(since, *counts, *sums, speeds, speed), risen)


def advanced(
    records: Sequence[bytes],
    y: NDArray[np.float64],
    turning: NDArray[np.float64],
    ts_s: Sequence[float],
    faulty: NDArray[np.bool_],
) -> tuple[list[bytes], list[float | None]]:
    """One reading of each of ``m`` different motors: records and levels. ``y`` is ``(m, AXIS_COUNT or more)``."""
    rows = zip(records, y[:, :AXIS_COUNT].tolist(), turning.tolist(), ts_s, faulty.tolist(), strict=True)
    found = [advance(record, axes, turned, at_s, faulty=named) for record, axes, turned, at_s, named in rows]
    return [risen.record for risen in found], [risen.level for risen in found]


def settling(records: Sequence[bytes], ts_s: Sequence[float]) -> NDArray[np.bool_]:
    """Which motors are within ``SPAN_S`` of their start, ``(m,)``; one of which nothing was learnt yet is not.

    Args:
        records: as ``advance`` returned them, this reading learnt.
        ts_s: the readings' times.
    """
    return np.array([
        len(record) == _RECORD.size and _early(at_s, *_SINCE.unpack_from(record))
        for record, at_s in zip(records, ts_s, strict=True)
    ])  # fmt: skip


def _early(ts_s: float, since: float) -> bool:
    """A sensor's clock that was set back does not make a motor young."""
    return 0.0 <= ts_s - since < SPAN_S


def said(level: float) -> str:
    """In words, for an alert's reason."""
    return f"its level, {SIGNIFICANT**level:.1f} times that of its own start"
