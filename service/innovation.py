"""Whether a temperature leaves what the health filter expects of it: a two-sided CUSUM of its innovations. Pure.

The filter predicts winding and housing from load, ambient and the cooling that it has learnt; what a sensor says beyond
that is the innovation, here over its own deviation. A sensor that drifts by a kelvin moves it, and neither the level
itself nor a single NIS would tell. It has a mean and a spread of its own in every motor, because no nameplate is
exact: the first blocks are learnt from (averages over ``block_s``, so that how often a sensor speaks does not matter),
and every later block's residual ``r``, in the motor's own deviations, goes into Page's sums (Biometrika 41 (1954)
100-115)::

    up' = max(0, up + r - k),  down' = max(0, down - r - k)        found above the limit, until it falls below again

Reference ``k`` and limits stand in the manifest; the limits are those that healthy fleets of the twin, with all the
autocorrelation of their innovations, reach once in ``false_alarm_h``. Learning starts anew with another filter, when a
motor is repaired, and when its filter starts afresh. Blocks with a named fault are left out. 68 bytes a motor.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, get_args

import numpy as np

from service.contract.manifest import Temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.contract.manifest import InnovationSpec
    from service.score import Models

SIGNALS: tuple[Temperature, ...] = get_args(Temperature)
_COUNT = len(SIGNALS)
_RECORD = np.dtype([
    ("filter", "<u4"),  # whose innovations these are
    ("block", "<i8"),
    ("n", "<u4", (_COUNT,)),  # innovations in the present block
    ("sum", "<f4", (_COUNT,)),
    ("blocks", "<u4", (_COUNT,)),
    ("mean", "<f4", (_COUNT,)),
    ("squares", "<f4", (_COUNT,)),  # sum of squared deviations from the mean
    ("up", "<f4", (_COUNT,)),
    ("down", "<f4", (_COUNT,)),
])  # fmt: skip
BYTES = _RECORD.itemsize
_BLOCK = struct.Struct("<q")
_PRESENT = struct.Struct(f"<{_COUNT}I{_COUNT}f")  # n, sum
_SUMS = struct.Struct(f"<{2 * _COUNT}f")  # up, down
assert _RECORD.fields is not None
_BLOCK_AT, _PRESENT_AT, _SUMS_AT = (_RECORD.fields[name][1] for name in ("block", "n", "up"))
_SPREAD_FLOOR = 0.1
_MOST = 4.0
"""No block counts for more than so many deviations."""
_FAR = 25.0
"""No innovation counts for more, also while it is learnt from."""
_ROOM = 1.5
"""How far a sum may grow, in limits: a sensor that was put right is believed after some blocks."""


class Rules:
    """The numbers of a bundle, ready for batches.

    Args:
        spec: from the manifest.
        names: of the filter's innovations, in its order.
        filter_id: what names the filter, as it starts anew with another.
    """

    def __init__(self, spec: InnovationSpec, names: Sequence[str], filter_id: str) -> None:
        self._spec = spec
        self._columns = [names.index(signal) for signal in SIGNALS]
        self._limits = [spec.limits[signal] for signal in SIGNALS]
        self._lowest = min(self._limits)
        blank = np.zeros(1, dtype=_RECORD)
        blank["filter"] = zlib.crc32(filter_id.encode())
        self._blank = blank.tobytes()
        self._head = self._blank[: _RECORD["filter"].itemsize]

    def advance(
        self,
        records: Sequence[bytes],
        normalised: NDArray[np.float64],
        ts_s: NDArray[np.float64],
        faulty: NDArray[np.bool_],
    ) -> tuple[list[bytes], dict[int, tuple[str, ...]]]:
        """One reading of each of ``m`` different motors.

        Plain arithmetic, as two numbers of a motor move; only the blocks that ended are arrays.

        Args:
            records: as this returned them, empty for a motor not met before.
            normalised: innovations over their deviations, ``(m, M)`` as the manifest names them, NaN unmeasured.
            ts_s: time of each reading, ``(m,)``.
            faulty: motors of which a named fault is known, ``(m,)``; they are left as they are.

        Returns:
            The records after it, and by row the signals that have left; rows without any are left out.
        """
        head, blank, block_s = self._head, self._blank, self._spec.block_s
        rows = [r if len(r) == BYTES and r.startswith(head) else blank for r in records]
        blocks = [int(at_s // block_s) for at_s in ts_s.tolist()]
        ended = [at for at, block in enumerate(blocks) if _BLOCK.unpack_from(rows[at], _BLOCK_AT)[0] != block]
        if ended:
            table = self._closed(np.frombuffer(bytearray().join([rows[at] for at in ended]), dtype=_RECORD))
            table["block"] = [blocks[at] for at in ended]
            for at, row in zip(ended, table, strict=True):
                rows[at] = row.tobytes()
        names: dict[int, tuple[str, ...]] = {}
        for at, (z, left_out) in enumerate(zip(normalised.tolist(), faulty.tolist(), strict=True)):
            if not left_out:
                rows[at] = self._heard(rows[at], z)
            sums = _SUMS.unpack_from(rows[at], _SUMS_AT)
            if max(sums) > self._lowest:
                up_down = zip(SIGNALS, sums[:_COUNT], sums[_COUNT:], self._limits, strict=True)
                off = tuple(signal for signal, up, down, limit in up_down if max(up, down) > limit)
                if off:
                    names[at] = off
        return rows, names

    def _heard(self, record: bytes, z: list[float]) -> bytes:
        """The record with one reading in its present block."""
        present = list(_PRESENT.unpack_from(record, _PRESENT_AT))
        for k, column in enumerate(self._columns):
            if not math.isnan(z[column]):
                present[k] += 1
                present[_COUNT + k] += min(max(z[column], -_FAR), _FAR)
        return record[:_PRESENT_AT] + _PRESENT.pack(*present) + record[_PRESENT_AT + _PRESENT.size :]

    def _closed(self, rows: NDArray[np.void]) -> NDArray[np.void]:
        """The rows with their block learnt from, or judged; a new one begins."""
        spec = self._spec
        said = rows["n"] > 0
        value = rows["sum"].astype(np.float64) / np.maximum(rows["n"], 1)
        counted = rows["blocks"].astype(np.float64) - spec.settling_blocks + 1.0
        learning = said & (counted >= 1.0) & (counted <= spec.learning_blocks)
        judged = said & (counted > spec.learning_blocks)
        step = value - rows["mean"]
        mean = np.where(learning, rows["mean"] + step / np.maximum(counted, 1.0), rows["mean"])
        squares = np.where(learning, rows["squares"] + step * (value - mean), rows["squares"])
        spread = np.maximum(np.sqrt(squares / (spec.learning_blocks - 1.0)), _SPREAD_FLOOR)
        r = np.where(judged, np.clip((value - mean) / spread, -_MOST, _MOST), 0.0)
        for name, sign in (("up", 1.0), ("down", -1.0)):
            after = np.clip(rows[name] + sign * r - spec.reference, 0.0, _ROOM * np.array(self._limits))
            rows[name] = np.where(judged, after, rows[name])
        rows["mean"], rows["squares"] = mean, squares
        rows["blocks"] += said
        rows["n"], rows["sum"] = 0, 0.0
        return rows


def rules_of(models: Models) -> Rules | None:
    """The rules of a bundle, made once; None where it says nothing of innovations."""
    spec = models.manifest.innovation
    if spec is None:
        return None
    rules = _made.get(models.digest)
    if rules is None:
        if len(_made) >= _MADE:
            _made.clear()
        health, filtered = models.manifest.health, models.manifest.graphs["health"]
        rules = _made[models.digest] = Rules(spec, health.innovation_names, f"{health.schema_id}:{filtered.sha256}")
    return rules


_MADE = 4  # the one that runs, the one before, a candidate
_made: dict[str, Rules] = {}
