"""Sensors that say nothing although they send: what stands still is left out, as if it were missing. Pure.

An axis of acceleration is flat when no sample differs from the others, or when it is quieter than the bundle's sketch
allows a turning machine to be. A temperature is flat when it is the same to the last bit although the machine must have
become warmer or cooler by ``MOVED_K``: the steady rise goes with the square of the load (or of the current over the
rated one), reached with the motor's time constant. Where the load does not move or is unknown, nothing is concluded.
One other value and the sensor is believed again.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.messages import AXES
from service.contract.signals import NAMEPLATE, OPERATING
from service.contract.sketch import ln_rms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.contract.sketch import SketchSpec
    from service.motor import MotorState
    from service.rounds import Admitted

MOVED_K = 8.0
FLAT_SIGNALS = (*(f"accel_m_s2.{axis}" for axis in AXES), "winding_c", "housing_c")
"""What can be found flat."""

_STILL = struct.Struct("<d6f")  # time; per temperature: value, square of the load at its last change, kelvins expected
STILL_BYTES = _STILL.size
_SPEED, _CURRENT, _LOAD = (OPERATING.index(name) for name in ("speed_rpm", "current_a", "load"))
_RATED_SPEED, _RATED_CURRENT = (NAMEPLATE.index(name) for name in ("rated_speed_rpm", "rated_current_a"))
_TAU = NAMEPLATE.index("thermal_tau_s")
_WARM = tuple(
    (name, OPERATING.index(name), NAMEPLATE.index(rise))
    for name, rise in (("winding_c", "winding_rise_k"), ("housing_c", "housing_rise_k"))
)
_TURNS_FROM = 0.05
_NEVER = _STILL.pack(math.nan, *(math.nan, math.nan, 0.0) * len(_WARM))


class Sensed(NamedTuple):
    """What the sensors of ``N`` readings say at all.

    Attributes:
        ln_rms: float64 ``(N, len(AXES))``, NaN for an axis that is absent or flat.
        flat: by reading, the signals that were left out.
        missing: by reading, the signals that are flat, were masked or never came; ``accel_m_s2`` without any axis.
        still: by reading, what to remember of the motor's temperatures.
    """

    ln_rms: NDArray[np.float64]
    flat: list[tuple[str, ...]]
    missing: list[tuple[str, ...]]
    still: list[bytes]


def sift(
    admitted: Admitted,
    scalars: NDArray[np.float32],
    nameplates: NDArray[np.float32],
    state: Mapping[str, MotorState],
    sketch: SketchSpec | None,
) -> Sensed:
    """Takes flat signals out of ``admitted.readings`` and ``scalars``, in place; says which."""
    ln_rms_of: list[list[float]] = []
    flats: list[tuple[str, ...]] = []
    absent: list[tuple[str, ...]] = []
    remembered: list[bytes] = []
    lowest = -math.inf if sketch is None else math.log(sketch.silent_m_s2)
    stills: dict[str, bytes] = {}
    rows = zip(list(admitted.readings), scalars.tolist(), nameplates.tolist(), strict=True)
    for at, (reading, values, plate) in enumerate(rows):
        flat: list[str] = []
        of_axes = [math.nan] * len(AXES)
        ln_rms_of.append(of_axes)
        for axis, samples in reading.accel_m_s2.items():
            level = ln_rms(samples)
            stands = values[_SPEED] < _TURNS_FROM * plate[_RATED_SPEED]
            if level == -math.inf or (level < lowest and not stands):
                flat.append(f"accel_m_s2.{axis}")
            else:
                of_axes[AXES.index(axis)] = level
        if flat:
            heard = {axis: x for axis, x in reading.accel_m_s2.items() if f"accel_m_s2.{axis}" not in flat}
            admitted.readings[at] = reading.model_copy(update={"accel_m_s2": heard})
        motor = reading.motor
        before = stills.get(motor)
        if before is None:
            known = state.get(motor)
            before = known.still if known is not None else b""
        stills[motor] = after = _warmed(before, reading.ts_s, values, plate, flat)
        remembered.append(after)
        if flat:
            for name, column, _ in _WARM:
                if name in flat:
                    scalars[at, column] = math.nan
        flats.append(tuple(flat))
        absent.append(_absent(values, flat, vibrates=bool(admitted.readings[at].accel_m_s2)))
    return Sensed(np.array(ln_rms_of), flats, absent, remembered)


def _absent(scalars: list[float], flat: list[str], *, vibrates: bool) -> tuple[str, ...]:
    if vibrates and not flat and not math.isnan(sum(scalars)):
        return ()
    names = (name for name, value in zip(OPERATING, scalars, strict=True) if math.isnan(value) or name in flat)
    return (*names, *(() if vibrates else ("accel_m_s2",)))


def _warmed(before: bytes, ts_s: float, scalars: list[float], plate: list[float], flat: list[str]) -> bytes:
    """What to remember after one reading; names of flat temperatures go into ``flat``."""
    last_s, *memory = _STILL.unpack(before if len(before) == STILL_BYTES else _NEVER)
    load = scalars[_LOAD]
    if math.isnan(load):
        load = scalars[_CURRENT] / plate[_RATED_CURRENT]
    square = load * load
    passed = max(ts_s - last_s, 0.0) / plate[_TAU]
    for k, (name, column, rise) in enumerate(_WARM):
        value, since, moved = memory[3 * k : 3 * k + 3]
        if math.isnan(scalars[column]):
            continue
        if scalars[column] != value or math.isnan(since):
            memory[3 * k : 3 * k + 3] = scalars[column], square, 0.0
            continue
        if not math.isnan(square + passed):
            moved += plate[rise] * abs(square - since) * -math.expm1(-passed)
            memory[3 * k + 2] = min(moved, 1e6)
        if moved >= MOVED_K:
            flat.append(name)
    return _STILL.pack(ts_s, *memory)
