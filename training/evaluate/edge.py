"""Recordings through the edge's own core, batch by batch: the framing, graphs, filter and alarms of the edge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service import monitor
from service.contract.messages import Birth, Nameplate, Reading
from service.score import score
from service.window import operating

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from service.contract.bearing import BearingGeometry
    from service.contract.messages import Alert, Axis, Health
    from service.score import Models, Scores

START_TS_S = 1_700_000_000.0
BATCH = 64


@dataclass(slots=True)
class Heard:
    """What the edge said of a stream of readings."""

    health: list[Health] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    refusals: list[monitor.Refusal] = field(default_factory=list)


def birth(motor: str, speed_rpm: float, bearing: BearingGeometry | None, interval_s: float = 1.0) -> Birth:
    """A motor of which only speed and bearing are known."""
    return Birth(
        motor=motor,
        ts_s=START_TS_S,
        nameplate=Nameplate(rated_power_w=1500.0, rated_speed_rpm=speed_rpm),
        bearing=bearing,
        interval_s=interval_s,
        clock="simulated",
    )


def readings(
    motor: str,
    axes: dict[Axis, NDArray[np.float32]],
    *,
    fs_hz: float,
    speed_rpm: float | None,
    step_s: float,
) -> list[Reading]:
    """Readings ``step_s`` apart from snapshots ``(k, samples)`` by axis."""
    count = len(next(iter(axes.values())))
    return [
        Reading(
            motor=motor,
            boot="recording",
            seq=seq,
            ts_s=START_TS_S + seq * step_s,
            fs_hz=fs_hz,
            accel_m_s2={axis: np.ascontiguousarray(samples[seq]) for axis, samples in axes.items()},
            speed_rpm=speed_rpm,
        )
        for seq in range(count)
    ]


def listen(models: Models, births: Iterable[Birth], stream: Sequence[Reading]) -> Heard:
    """Runs readings, in order, through ``service.monitor.step``."""
    profiles = {one.motor: monitor.profile_of(one) for one in births}
    heard, state = Heard(), monitor.FleetState()
    for start in range(0, len(stream), BATCH):
        result = monitor.step(
            state,
            stream[start : start + BATCH],
            profiles,
            models,
            now_ts_s=START_TS_S,
            policy=monitor.Policy(),
        )
        state = result.state
        heard.health += result.health
        heard.alerts += result.alerts
        heard.refusals += result.refusals
    return heard


def scored(models: Models, profile: Birth, stream: Sequence[Reading]) -> Scores:
    """The window graphs' answers to readings of one motor, as ``service.score`` reduces them: no memory, no alarms."""
    scalars, _ = operating(stream)
    plate = np.tile(monitor.profile_of(profile).nameplate, (len(stream), 1))
    return score(stream, scalars, plate, models)
