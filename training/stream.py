"""A recording as the readings that an edge would have had: resampled, framed, with the motor's introduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.recording import read
from simulator.replay import Demand, birth, readings, resampled, target_fs_hz
from simulator.suspicion import examined

if TYPE_CHECKING:
    from service.bundle import Bundle
    from service.contract.bearing import BearingGeometry
    from service.contract.messages import Birth, Reading
    from simulator.unit import Unit

MOTOR = "recording"
START_TS_S = 1_767_225_600.0
"""2026-01-01: a recording's own time is not known and does not matter."""


class Stream(NamedTuple):
    """One recording's readings, in order.

    Attributes:
        birth: the motor's introduction; without a known speed it names no bearing, as every bearing order hangs on it.
        readings: windows as the bundle wants them.
        speed_known: whether the file or the caller says the shaft speed.
        doubt: one line about a recording that can be used all the same.
    """

    birth: Birth
    readings: list[Reading]
    speed_known: bool
    doubt: str | None


def stream(
    source: str,
    models: Bundle,
    *,
    bearing: BearingGeometry | None,
    channel: str | None,
    speed_rpm: float | None,
    fs_hz: float | None,
    unit: Unit | None = None,
) -> Stream:
    """Reads a recording by path or ``archive:member``; raises ``RecordingError`` with one line and the remedy."""
    window = models.manifest.window
    needs = Demand(window.samples, window.min_samples, window.fs_hz)
    recording = read(source, fs_hz=fs_hz, speed_rpm=speed_rpm, unit=unit)
    doubt = examined(recording, channel, accepted_hz=needs.fs_hz, told=unit is not None)
    measured = recording.scalars.get("speed_rpm", np.empty(0))
    speed_known = recording.speed_rpm is not None or bool(np.isfinite(measured).any())
    if recording.fs_hz is not None:
        recording = resampled(recording, target_fs_hz(recording.fs_hz, needs.fs_hz))
    introduced = birth(
        recording,
        MOTOR,
        ts_s=START_TS_S,
        interval_s=1.0,
        bearing=bearing if speed_known else None,
        channel=channel,
        clock="simulated",
    )
    pieces = readings(
        recording,
        MOTOR,
        boot="score",
        start_ts_s=START_TS_S,
        channel=channel,
        window=needs.window,
        min_samples=needs.min_samples,
    )
    return Stream(introduced, list(pieces), speed_known, doubt)
