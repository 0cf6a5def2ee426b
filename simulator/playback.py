"""Recordings into MQTT: birth and readings through an open link, paced by the wall clock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from simulator.replay import RATED_POWER_W, Demand, birth, readings

if TYPE_CHECKING:
    from service.contract.bearing import BearingGeometry
    from simulator.publish import Counts, Link
    from simulator.recording import Recording


def play(
    recording: Recording,
    link: Link,
    motor: str,
    *,
    boot: str,
    bearing: BearingGeometry | None = None,
    rate_hz: float | None = None,
    channel: str | None = None,
    window: int | None = None,
    rated_power_w: float = RATED_POWER_W,
    rated_speed_rpm: float | None = None,
    stop: threading.Event | None = None,
    needs: Demand | None = None,
) -> Counts:
    """Publishes birth and readings through an open link.

    Args:
        recording: at a rate the edge accepts.
        link: where to.
        motor: id to publish as.
        boot: boot id, new for every replay.
        bearing: geometry of the recorded bearing; None leaves bearing faults unnamed.
        rate_hz: readings per wall second; default as recorded.
        channel: publisher's channel name.
        window: samples per reading; default the bundle's row.
        rated_power_w: for the nameplate.
        rated_speed_rpm: for the nameplate; default the recorded speed.
        stop: set from elsewhere to end early.
        needs: what the edge takes; default the usual.
    """
    needs = needs or Demand()
    stop = stop or threading.Event()
    start_ts_s = time.time()
    pieces = list(
        readings(
            recording,
            motor,
            boot=boot,
            start_ts_s=start_ts_s,
            channel=channel,
            window=window or needs.window,
            min_samples=min(needs.min_samples, window or needs.window),
        )
    )
    recorded_s = pieces[1].ts_s - pieces[0].ts_s if len(pieces) > 1 else 1.0
    interval_s = 1.0 / rate_hz if rate_hz else recorded_s
    link.birth(
        birth(
            recording,
            motor,
            ts_s=start_ts_s,
            interval_s=interval_s,
            bearing=bearing,
            rated_power_w=rated_power_w,
            rated_speed_rpm=rated_speed_rpm,
            channel=channel,
        )
    )
    started = time.monotonic()
    for reading in pieces:
        due_s = reading.seq * interval_s if rate_hz else reading.ts_s - start_ts_s
        wait_s = started + due_s - time.monotonic()
        if stop.wait(wait_s) if wait_s > 0.0 else stop.is_set():
            break
        link.reading(reading)
    return link.counts
