"""Readings to model rows: what is refused, what is masked, how long windows are cut.

Cutting rule: a model row holds ``window.samples`` samples. A window that is longer becomes the fewest rows that hold
all of it, their starts spread evenly from its first to its last full row (neighbours overlap), so every sample is
used and every row is full. A shorter one, down to ``window.min_samples``, becomes one row padded with zeros.

Time rule: within a boot the sequence number and the time must grow. A new boot id starts a new sequence whatever its
clock says, so a sensor that restarts with its clock set back is heard at once; how much time passed for the filter is
decided in ``service.clock``. A few earlier boots are remembered: what they have delivered is a duplicate, no restart.
A wall clock is compared with the edge's, unless the edge's own clock has evidently never been set. So a wall clock that
is set back within a boot is refused for ``max_past_s + max_future_s`` at most, until it has caught up; a simulated one,
which nothing bounds, until it has caught up or the boot changes. No history makes a motor unheard for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.contract.codec import Refused
from service.contract.signals import OPERATING, SIGNALS
from service.motor import KNOWN_BOOTS, SEEN_BITS, BootMark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.contract.manifest import WindowSpec
    from service.contract.messages import Reading
    from service.motor import Profile

CLOCK_SET_S = 1_735_689_600.0
"""2025-01-01: an edge clock before it was never set (a gateway without a battery wakes in 1970)."""

_LOW = np.array([signal.low for signal in SIGNALS])
_HIGH = np.array([signal.high for signal in SIGNALS])
_SEEN_MASK = (1 << SEEN_BITS) - 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What the edge accepts.

    Attributes:
        max_past_s: a wall-clock reading older than this is refused.
        max_future_s: a wall-clock reading further ahead than this is refused.
        unknown_motor: ``reject`` or ``generic`` (a default nameplate, no bearing) for a motor without a profile.
    """

    max_past_s: float = 86_400.0
    max_future_s: float = 300.0
    unknown_motor: Literal["reject", "generic"] = "reject"


@dataclass(frozen=True, slots=True)
class Rows:
    """Model rows of several readings, ordered by reading, then axis, then start.

    Attributes:
        accel_m_s2: float32 ``(R, window.samples)``, zero-padded.
        samples: float32 ``(R,)``, how many are valid.
        owner: intp ``(R,)``, index of the reading.
        axis_starts: intp ``(A,)``, first row of every axis of every reading.
        reading_starts: intp ``(N,)``, first axis (index into ``axis_starts``) of every reading.
    """

    accel_m_s2: NDArray[np.float32]
    samples: NDArray[np.float32]
    owner: NDArray[np.intp]
    axis_starts: NDArray[np.intp]
    reading_starts: NDArray[np.intp]

    @property
    def alone(self) -> bool:
        """Whether every reading is one row."""
        return len(self.owner) == len(self.reading_starts)


@lru_cache(maxsize=256)
def cuts(length: int, samples: int) -> tuple[int, ...]:
    """Starts of the rows that a window of ``length`` samples becomes, by the cutting rule."""
    count = max(1, -(-length // samples))
    if count == 1:
        return (0,)
    return tuple((length - samples) * k // (count - 1) for k in range(count))


def row_count(reading: Reading, spec: WindowSpec) -> int:
    """How many model rows a reading becomes."""
    count = 0
    for samples in reading.accel_m_s2.values():
        count += len(cuts(len(samples), spec.samples))
    return count


def pack(readings: Sequence[Reading], spec: WindowSpec) -> Rows:
    """The model rows of readings that all carry vibration and passed ``check_sampling``."""
    pieces: list[NDArray[np.float32]] = []
    owner: list[int] = []
    axis_starts: list[int] = []
    reading_starts: list[int] = []
    for index, reading in enumerate(readings):
        reading_starts.append(len(axis_starts))
        for samples in reading.accel_m_s2.values():
            axis_starts.append(len(pieces))
            for start in cuts(len(samples), spec.samples):
                pieces.append(samples[start : start + spec.samples])
                owner.append(index)
    valid = [len(piece) for piece in pieces]
    if min(valid) == spec.samples:
        block = np.concatenate(pieces).reshape(len(pieces), spec.samples)
    else:
        block = np.zeros((len(pieces), spec.samples), dtype=np.float32)
        for row, piece in enumerate(pieces):
            block[row, : len(piece)] = piece
    samples = np.array(valid, dtype=np.float32)
    if len(pieces) == len(readings):
        each = np.arange(len(pieces))
        return Rows(block, samples, each, each, each)
    starts = np.array(axis_starts, dtype=np.intp), np.array(reading_starts, dtype=np.intp)
    return Rows(block, samples, np.array(owner, dtype=np.intp), *starts)


def check_sampling(reading: Reading, spec: WindowSpec) -> Refused | None:
    """Why the models cannot read this vibration, or None. A reading without vibration passes."""
    if not reading.accel_m_s2:
        return None
    low, high = spec.fs_hz
    if reading.fs_hz is None or not low <= reading.fs_hz <= high:
        return Refused(
            "sampling",
            "fs_hz",
            f"{reading.fs_hz} Hz is outside {low:g}..{high:g} Hz",
            f"sample or resample within {low:g}..{high:g} Hz",
        )
    for axis, samples in reading.accel_m_s2.items():
        if len(samples) < spec.min_samples:
            return Refused(
                "sampling",
                f"accel_m_s2.{axis}",
                f"{len(samples)} samples are fewer than {spec.min_samples}",
                f"send {spec.min_samples} samples or more per window, {spec.samples} at best",
            )
    return None


def operating(readings: Sequence[Reading]) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Scalars as graph input: float32 ``(N, 6)`` in the order of ``signals.OPERATING``, NaN where missing.

    Returns:
        The array, and per signal how many values were implausible and are masked as missing.
    """
    nan = math.nan
    told = [
        nan if value is None else value
        for r in readings
        for value in (r.speed_rpm, r.current_a, r.load, r.winding_c, r.housing_c, r.ambient_c)
    ]
    values = np.array(told, dtype=np.float64).reshape(len(readings), len(OPERATING))
    implausible = (values < _LOW) | (values > _HIGH)
    if not implausible.any():
        return values.astype(np.float32), {}
    values[implausible] = nan
    counts = implausible.sum(axis=0)
    return values.astype(np.float32), {name: int(n) for name, n in zip(OPERATING, counts, strict=True) if n}


def check_clock(reading: Reading, profile: Profile, now_ts_s: float, policy: Policy) -> Refused | None:
    """Why this reading's time is not believed, or None. Simulated clocks run as they like."""
    if profile.clock == "simulated" or now_ts_s < CLOCK_SET_S:
        return None
    age_s = now_ts_s - reading.ts_s
    if age_s > policy.max_past_s:
        return Refused(
            "past",
            "ts_s",
            f"{age_s:.0f} s behind the edge's clock, {policy.max_past_s:g} s are allowed",
            'set the sensor\'s clock, or declare clock "simulated" in the birth message',
        )
    if -age_s > policy.max_future_s:
        return Refused(
            "future",
            "ts_s",
            f"{-age_s:.0f} s ahead of the edge's clock, {policy.max_future_s:g} s are allowed",
            'set the sensor\'s clock, or declare clock "simulated" in the birth message',
        )
    return None


def arrive(reading: Reading, boots: tuple[BootMark, ...]) -> tuple[BootMark, ...] | Refused:
    """The marks after this reading, or why it is not new. ``boots`` is newest first, empty for a new motor."""
    boot, seq, ts_s = reading.boot, reading.seq, reading.ts_s
    if boots and boots[0].boot == boot:
        last = boots[0]
        ahead = seq - last.seq
        if ahead <= 0:
            return _repeated(reading, last)
        if ts_s <= last.ts_s:
            return Refused(
                "out_of_order",
                "ts_s",
                f"{ts_s:.3f} is not after {last.ts_s:.3f} of seq {last.seq}",
                "ts_s must grow with seq; start a new boot id when the clock is set back",
            )
        seen = (last.seen << ahead | 1) & _SEEN_MASK if ahead < SEEN_BITS else 1
        return (BootMark(boot, seq, ts_s, seen), *boots[1:])
    for earlier in boots[1:]:
        if earlier.boot == boot and seq <= earlier.seq and ts_s <= earlier.ts_s:
            return _repeated(reading, earlier)
    others = tuple(mark for mark in boots if mark.boot != boot)
    return (BootMark(boot, seq, ts_s, 1), *others[: KNOWN_BOOTS - 1])


def _repeated(reading: Reading, last: BootMark) -> Refused:
    behind = last.seq - reading.seq
    if behind < SEEN_BITS and last.seen >> behind & 1:
        return Refused(
            "duplicate", "seq", f"{reading.seq} of boot {reading.boot} was already taken", "send every reading once"
        )
    return Refused(
        "out_of_order",
        "seq",
        f"{reading.seq} comes after {last.seq} of boot {last.boot}",
        "send readings in order, and change boot at every start of the sensor",
    )


def turns(readings: Sequence[Reading]) -> list[list[int]]:
    """Positions in rounds: the k-th reading of every motor is in the k-th round."""
    turns: dict[str, int] = {}
    rounds: list[list[int]] = []
    for at, reading in enumerate(readings):
        turn = turns.get(reading.motor, 0)
        turns[reading.motor] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(at)
    return rounds
