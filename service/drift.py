"""Whether what a sensor says has moved away from its own past, or never resembled the training's machines. Pure.

Readings are averaged over blocks of ``block_s`` of their own time, so that how often a sensor speaks and what it has in
common with a minute ago do not matter. The first ``learning_blocks`` blocks of a channel are its baseline: level, slope
over load (towards the training's slope), spread. Each later block gives a residual ``r`` in spreads, and for a rise and
for a fall a Shiryaev-Roberts sum of bets against "the level is within ``tolerated`` of the baseline"::

    R' = (1 + R) exp(min(d (+-r - e) - d^2 / 2, 2))     found at R >= A

``e`` is the tolerated change and no less than what a baseline of so few blocks can be wrong by; ``d`` is what the
sought change would show beyond it. For a residual whose mean is within the tolerance the exponential is an e-value
(its expectation is at most 1 for normal errors, and a cap only lowers it), hence ``R - blocks`` is a supermartingale
and the mean number of blocks to a false finding is at least A, however often one looks (Pollak, Ann. Stat. 13 (1985)
206-227; Shin, Ramdas, Rinaldo, "E-detectors", NEJSDS (2023)). A finding passes when the level comes back.

At the end of its learning each channel's level is held against the sketch's outermost quantiles, once: a motor unlike
all that the models have learnt from. Blocks of a motor with a named fault are left out of everything: that the level
moves is known then. 210 bytes a motor; nothing grows.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from service.contract.sketch import CHANNELS, KIND_OF, KINDS, adjusted, bins, conditions, levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from service.contract.sketch import SketchSpec
    from service.score import Models

Status = Literal["unknown", "learning", "usual", "unlike", "drifted"]
STATUSES: tuple[Status, ...] = ("unknown", "learning", "usual", "unlike", "drifted")

_COUNT = len(CHANNELS)
_RECORD = np.dtype([
    ("sketch", "<u4"),  # which one this was learnt with
    ("learnt", "u1"),  # bit per channel
    ("unlike", "u1"),  # bit per channel
    ("block", "<i8"),
    ("n", "<u2", (_COUNT,)),  # readings in the present block
    ("n_load", "<u2"),
    ("sum", "<f4", (_COUNT,)),  # of y in the present block
    ("sum_load", "<f4"),
    # while learning: blocks, sums of y, l, l^2, l y, y^2; then: level, slope, spread, ln R up, ln R down, mean l
    ("fit", "<f4", (_COUNT, 6)),
    ("reach", "<f4"),  # how far from its mean the load was while learning
])  # fmt: skip
BYTES = _RECORD.itemsize
_BLOCK = struct.Struct("<q")
_PRESENT = struct.Struct(f"<{_COUNT + 1}H{_COUNT + 1}f")  # n, n_load, sum, sum_load
_LN_R = struct.Struct("<" + "12x2f4x" * _COUNT)  # ln R up and down of each fit
assert _RECORD.fields is not None
_BLOCK_AT, _PRESENT_AT, _FIT_AT = (_RECORD.fields[name][1] for name in ("block", "n", "fit"))
_MOST = 60_000
_CAP = 2.0
_SPREAD_FLOOR = 0.02
_LOAD_SLACK = 0.05
_SLOPE_PRIOR = 0.02
"""As many squared loads speak for the training's slope."""
_BASELINE_SE = 2.8
_ROOM = 4.0
"""How far ``ln R`` may lie above the threshold: a level that comes back is believed after a few blocks."""
_NEARLY = 0.99
"""Of the threshold: below it no rounding makes a finding."""
_BITS = 1 << np.arange(_COUNT)


class Advanced(NamedTuple):
    """Records after a batch, and by row the names of channels that have drifted; rows without any are left out.

    Beside them what was compared: ``y`` ``(m, len(CHANNELS))`` and the conditions ``(m, 3)``.
    """

    records: list[bytes]
    names: dict[int, tuple[str, ...]]
    y: NDArray[np.float64]
    condition: NDArray[np.float64]


NOTHING = Advanced([], {}, np.zeros((0, len(CHANNELS))), np.zeros((0, 3)))
"""Where there is no sketch."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of one motor: its score over the threshold 1, and whether it resembles the training's machines."""

    score: float
    learnt: bool
    unlike: bool


class Rules:
    """A sketch, ready for batches."""

    def __init__(self, spec: SketchSpec) -> None:
        self._spec = spec
        self.id = zlib.crc32(spec.model_dump_json().encode()) or 1
        blank = np.zeros(1, dtype=_RECORD)
        blank["sketch"] = self.id
        self._blank = blank.tobytes()
        self._head = self._blank[: _RECORD["sketch"].itemsize]
        self._slopes = np.array([spec.slopes[KINDS[kind]] for kind in KIND_OF])
        ends = np.array([[(row[0], row[-1]) for row in spec.quantiles[KINDS[kind]]] for kind in KIND_OF])
        self._tolerated = np.array([spec.tolerated[KINDS[kind]] for kind in KIND_OF])
        self._sought = np.array([spec.sought[KINDS[kind]] for kind in KIND_OF])
        self._low, self._high = ends[..., 0], ends[..., 1]
        self.learning_h = spec.learning_blocks * spec.block_s / 3600.0
        self.false_alarm_h = spec.false_alarm_h
        blocks = spec.false_alarm_h * 3600.0 / spec.block_s
        self.threshold = float(np.log(2 * _COUNT * blocks))
        """Of ``ln R``, so that all channels of a motor together keep ``false_alarm_h``."""

    def advance(
        self,
        records: Sequence[bytes],
        ln_rms_of_axes: NDArray[np.floating],
        operating: NDArray[np.floating],
        nameplate: NDArray[np.floating],
        ts_s: NDArray[np.float64],
        faulty: NDArray[np.bool_],
    ) -> Advanced:
        """One reading of each of ``m`` different motors.

        Args:
            records: as this returned them, empty for a motor not met before.
            ln_rms_of_axes: ``(m, AXIS_COUNT)``, NaN for an absent axis.
            operating: ``(m, 6)``.
            nameplate: ``(m, 9)``.
            ts_s: time of each reading, ``(m,)``.
            faulty: motors of which a named fault is known, ``(m,)``; they are left as they are.
        """
        condition = conditions(operating, nameplate)
        y = adjusted(levels(ln_rms_of_axes, operating, nameplate), condition, self._slopes)
        rows = [r if len(r) == BYTES and r.startswith(self._head) else self._blank for r in records]
        blocks = [int(at_s // self._spec.block_s) for at_s in ts_s.tolist()]
        ended = [at for at, block in enumerate(blocks) if _BLOCK.unpack_from(rows[at], _BLOCK_AT)[0] != block]
        if ended:
            table = self._ended(self._table([rows[at] for at in ended]), condition[ended])
            table["block"] = [blocks[at] for at in ended]
            for at, row in zip(ended, table, strict=True):
                rows[at] = row.tobytes()
        said = zip(y.tolist(), condition[:, 0].tolist(), faulty.tolist(), strict=True)
        for at, (levels_of, load, left_out) in enumerate(said):
            if not left_out:
                rows[at] = _heard(rows[at], levels_of, load)
        return Advanced(rows, self._names(rows), y, condition)

    def channels(self, record: bytes) -> dict[str, Channel]:
        """What a record says of each channel that has been heard."""
        if len(record) != BYTES:
            return {}
        row = self._table([record])
        score, learnt, unlike = self._score(row)[0], self._bit(row, "learnt")[0], self._bit(row, "unlike")[0]
        heard = learnt | (row["fit"][0, :, 0] > 0) | (row["n"][0] > 0)
        return {
            name: Channel(round(float(max(score[k], 0.0)), 3), bool(learnt[k]), bool(unlike[k]))
            for k, name in enumerate(CHANNELS)
            if heard[k]
        }

    def census(self, records: Iterable[bytes]) -> tuple[dict[Status, int], dict[str, float]]:
        """Motors by status, and the highest score of each channel in the fleet, 1 at the threshold."""
        kept = [record for record in records if len(record) == BYTES]
        counts: dict[Status, int] = dict.fromkeys(STATUSES, 0)
        if not kept:
            return counts, dict.fromkeys(CHANNELS, 0.0)
        table = self._table(kept)
        learnt, unlike = table["learnt"] > 0, table["unlike"] > 0
        drifted = self._drifted(table).any(axis=1)
        counts["learning"] = int((~learnt).sum())
        counts["drifted"] = int(drifted.sum())
        counts["unlike"] = int((unlike & ~drifted).sum())
        counts["usual"] = int((learnt & ~unlike & ~drifted).sum())
        return counts, dict(zip(CHANNELS, np.maximum(self._score(table).max(axis=0), 0.0).tolist(), strict=True))

    def _table(self, records: Sequence[bytes]) -> NDArray[np.void]:
        """Records as an array of its own; one of another sketch, or of none, begins anew."""
        head, blank = self._head, self._blank
        rows = [r if len(r) == BYTES and r.startswith(head) else blank for r in records]
        return np.frombuffer(bytearray().join(rows), dtype=_RECORD)

    def _ended(self, table: NDArray[np.void], condition: NDArray[np.float64]) -> NDArray[np.void]:
        """Takes the blocks into their baselines, or judges by them; new ones begin."""
        (over,) = np.nonzero((table["n"] > 0).any(axis=1))
        if len(over):
            table[over] = self._closed(
                table[over], bins(condition[over], self._spec.load_edges, self._spec.speed_edges)
            )
        for name in ("n", "sum", "n_load", "sum_load"):
            table[name] = 0
        return table

    def _names(self, records: Sequence[bytes]) -> dict[int, tuple[str, ...]]:
        """By row the channels that have drifted. Nearly always none, which one comparison tells."""
        nearly = _NEARLY * self.threshold
        names: dict[int, tuple[str, ...]] = {}
        for at, record in enumerate(records):
            if max(_LN_R.unpack_from(record, _FIT_AT)) >= nearly:
                drifted = self._drifted(self._table([record]))[0].tolist()
                if any(drifted):
                    names[at] = tuple(name for name, off in zip(CHANNELS, drifted, strict=True) if off)
        return names

    def _closed(self, rows: NDArray[np.void], where: NDArray[np.intp]) -> NDArray[np.void]:
        """The rows with their block taken into the baseline, or judged by it."""
        said = rows["n"] > 0
        y = rows["sum"] / np.maximum(rows["n"], 1)
        load = (rows["sum_load"] / np.maximum(rows["n_load"], 1))[:, None]
        learnt = self._bit(rows, "learnt")
        fit = rows["fit"].astype(np.float64)
        judged = said & learnt & (np.abs(load - fit[..., 5]) <= rows["reach"][:, None] + _LOAD_SLACK)
        spread = np.maximum(fit[..., 2], _SPREAD_FLOOR)
        r = (y - fit[..., 0] - fit[..., 1] * (load - fit[..., 5])) / spread
        e = np.maximum(self._tolerated / spread, _BASELINE_SE / np.sqrt(self._spec.learning_blocks))
        d = np.clip(self._sought / spread - e, 0.5, 1.5)
        for column, sign in ((3, 1.0), (4, -1.0)):
            gain = np.minimum(d * (sign * r - e) - d**2 / 2.0, _CAP)
            after = np.minimum(np.logaddexp(0.0, fit[..., column]) + gain, self.threshold + _ROOM)
            fit[..., column] = np.where(judged, after, fit[..., column])
        learning = said & ~learnt
        terms = np.stack(np.broadcast_arrays(np.ones_like(y), y, load, load**2, load * y, y**2), axis=-1)
        fit += terms * learning[..., None]
        done = learning & (fit[..., 0] >= self._spec.learning_blocks)
        if done.any():
            self._learn(rows, fit, done, where)
        rows["fit"] = fit
        return rows

    def _learn(
        self, rows: NDArray[np.void], fit: NDArray[np.float64], done: NDArray[np.bool_], where: NDArray[np.intp]
    ) -> None:
        """Turns sums into a baseline where ``done``, in place."""
        n, y, load, load2, load_y, y2 = np.moveaxis(fit[done], -1, 0)
        mean, level = load / n, y / n
        across = np.maximum(load2 / n - mean**2, 0.0) * n
        slope = (load_y - n * mean * level) / (across + _SLOPE_PRIOR)
        left = np.maximum(y2 - n * level**2 - slope**2 * across, 0.0)
        spread = np.sqrt(left / (n - 2.0))
        start = np.full_like(level, -np.inf)
        fit[done] = np.stack((level, slope, spread, start, start, mean), axis=-1)
        row, channel = np.nonzero(done)
        rows["reach"][row] = np.maximum(rows["reach"][row], 2.0 * np.sqrt(across / n))
        at_usual_load = level - slope * mean
        odd = (at_usual_load < self._low[channel, where[row]]) | (at_usual_load > self._high[channel, where[row]])
        rows["learnt"] |= (done * _BITS).sum(axis=1).astype(np.uint8)
        np.bitwise_or.at(rows["unlike"], row[odd], _BITS[channel[odd]].astype(np.uint8))

    def _drifted(self, table: NDArray[np.void]) -> NDArray[np.bool_]:
        return np.asarray(self._score(table) >= 1.0)

    def _score(self, table: NDArray[np.void]) -> NDArray[np.float64]:
        """``ln R`` over its threshold; minus infinity while learning."""
        highest = table["fit"][..., 3:5].max(axis=-1) / self.threshold
        return np.where(self._bit(table, "learnt"), highest, -np.inf)

    @staticmethod
    def _bit(table: NDArray[np.void], name: str) -> NDArray[np.bool_]:
        return np.asarray((table[name][:, None] & _BITS) > 0)


def _heard(record: bytes, y: list[float], load: float) -> bytes:
    """The record with one reading in its present block. Plain arithmetic, as it is a few numbers."""
    present = list(_PRESENT.unpack_from(record, _PRESENT_AT))
    said = False
    for channel, value in enumerate(y):
        if present[channel] < _MOST and math.isfinite(value):
            present[channel] += 1
            present[_COUNT + 1 + channel] += value
            said = True
    if said and present[_COUNT] < _MOST:
        present[_COUNT] += 1
        present[-1] += load
    return record[:_PRESENT_AT] + _PRESENT.pack(*present) + record[_PRESENT_AT + _PRESENT.size :]


def rules_of(models: Models) -> Rules | None:
    """The rules of a bundle, made once; None where it brings no sketch."""
    spec = models.manifest.sketch
    if spec is None:
        return None
    rules = _made.get(models.digest)
    if rules is None:
        if len(_made) >= _MADE:
            _made.clear()
        rules = _made[models.digest] = Rules(spec)
    return rules


_MADE = 4  # the one that runs, the one before, a candidate
_made: dict[str, Rules] = {}


def status_of(channels: dict[str, Channel], *, sketched: bool) -> Status:
    """One motor's condition in a word."""
    if not sketched:
        return "unknown"
    if any(channel.score >= 1.0 for channel in channels.values()):
        return "drifted"
    if any(channel.unlike for channel in channels.values()):
        return "unlike"
    return "usual" if any(channel.learnt for channel in channels.values()) else "learning"
