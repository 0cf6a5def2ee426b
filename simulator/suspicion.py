"""What speaks against a recording before anyone judges it: a dead channel, numbers in another unit, too low a rate.

Levels are judged on the channels that are used. A machine is rarely quieter or louder than the bounds below; where it
is, whoever says the unit is believed. A sensor that measures down to 0 Hz feels gravity too: that
gives its unit away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from simulator.recording import RecordingError
from simulator.replay import chosen
from simulator.unit import G_M_S2, UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.recording import Recording
    from simulator.unit import Unit

QUIETEST_M_S2 = 0.12
"""RMS about the mean; the quietest of the twin's motors has 0.13, of Case Western's and FEMTO's 0.3."""
QUIET_M_S2 = 0.4
"""Worth a word where the file's format leaves the unit open."""
LOUDEST_M_S2 = 500.0
"""50 g, where most accelerometers clip."""
USUAL_M_S2 = 2.0
GRAVITY_WITHIN = 0.03
_OPEN = ("m/s2",)
"""Formats with these numbers are anybody's tables; the others come from publishers that say their unit."""


def examined(
    recording: Recording, channel: str | None, *, accepted_hz: tuple[float, float] | None, told: bool
) -> str | None:
    """Refuses a recording that cannot be what it is taken for.

    Args:
        recording: as read, at its own rate.
        channel: publisher's channel; None for the usual one.
        accepted_hz: lowest and highest sampling rate of the bundle; None where the caller chose another.
        told: whether somebody said the unit, so that the level is believed.

    Returns:
        One line of doubt about a recording that can be used, or None.

    Raises:
        RecordingError: one line with what is suspected and the option that says it.
    """
    used = chosen(recording, channel)
    if not used or recording.fs_hz is None:
        return None
    if accepted_hz is not None and recording.fs_hz < accepted_hz[0] / 2.0:
        raise RecordingError(
            f"{recording.name}: {recording.fs_hz:g} Hz; the models take {accepted_hz[0]:g} to {accepted_hz[1]:g} Hz "
            "and can do with half of that, not with less; record faster, or correct --fs-hz (in Hz)"
        )
    for name, samples in used.items():
        if float(np.ptp(samples)) == 0.0:
            raise RecordingError(
                f"{recording.name}: channel {channel or name} stands still at {float(samples.flat[0]):g} m/s^2; "
                "the sensor is dead or unplugged, or --channel names another"
            )
    return None if told else _doubted(recording, list(used.values()))


def _doubted(recording: Recording, used: Sequence[NDArray[np.float32]]) -> str | None:
    """Refuses levels that are no machine's; a line of doubt about those that hardly are."""
    level = max(float(samples.std(dtype=np.float64)) for samples in used)
    still = math.hypot(*(float(samples.mean(dtype=np.float64)) for samples in used))
    if _is_gravity(still):
        return None
    felt = [other for other in UNITS if other != recording.unit and _is_gravity(still * _times(recording.unit, other))]
    if felt and _is_usual(level * _times(recording.unit, felt[0])):
        raise _wrong(recording, f"a gravity of {still:.3g} m/s^2", felt[0])
    if not _is_usual(level):
        levels = {other: level * _times(recording.unit, other) for other in UNITS}
        likely = [other for other in UNITS if _is_usual(levels[other])]
        meant = min(likely, key=lambda other: abs(math.log(levels[other] / USUAL_M_S2)), default=None)
        raise _wrong(recording, f"{level:.3g} m/s^2 RMS", meant)
    if level < QUIET_M_S2 and recording.unit in _OPEN:
        return f"{level:.2g} m/s^2 RMS is a very quiet machine; if the numbers are in g, give --unit g"
    return None


def _wrong(recording: Recording, measured: str, meant: Unit | None) -> RecordingError:
    return RecordingError(
        f"{recording.name}: wrong unit? the numbers read as {recording.unit} make {measured}, "
        f"{f'which looks like {meant}' if meant else 'which no machine has in any known unit'}; "
        f"say which with --unit {'|'.join(UNITS)}"
    )


def _is_usual(level_m_s2: float) -> bool:
    return QUIETEST_M_S2 <= level_m_s2 <= LOUDEST_M_S2


def _is_gravity(m_s2: float) -> bool:
    return abs(m_s2 / G_M_S2 - 1.0) < GRAVITY_WITHIN


def _times(unit: Unit, other: Unit) -> float:
    """What a value read in one unit is multiplied with where the file meant another."""
    return UNITS[other] / UNITS[unit]
