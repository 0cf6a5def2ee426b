"""A recording through the shipped bundle and the edge's own core: what would have been said, without a broker."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service import monitor
from service.contract.faults import HEALTHY
from service.evidence import pooled
from simulator.recording import RecordingError
from training.stream import MOTOR, START_TS_S, stream

if TYPE_CHECKING:
    from service.bundle import Bundle
    from service.contract.bearing import BearingGeometry
    from simulator.unit import Unit
    from training.stream import Stream

UNKNOWN = "unknown"
"""The diagnosis of what is surely not healthy and no taught fault explains."""
FAR = "twin.faulty.anomaly_p999"
"""The bundle's metric that says how anomalous its own faults get: what lies beyond is like nothing it has learnt, and a
class that is sure of it is not believed. A bundle without it believes its classes always."""
_POLICY = monitor.Policy()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the edge said of one recording.

    Attributes:
        file: as given.
        readings: windows judged.
        alarm: whether any alert opened, or the recording as a whole is diagnosed as anything but healthy.
        alerts: conditions that opened, in order.
        anomaly: mean score; 1 is the threshold.
        probabilities: by class, all windows' evidence pooled (``service.evidence``).
        severity: mean, 0..1.
        speed_known: False where neither the file nor the caller says the shaft speed: then no bearing fault is named,
            since every bearing order hangs on it.
        diagnosis: the fault whose pooled log odds are farthest over its threshold's; ``unknown`` where none is over,
            yet the anomaly is, or where the anomaly lies beyond what the bundle's faults explain (``FAR``); else
            ``healthy``.
        doubts: what the caller should look at, a line each.
    """

    file: str
    readings: int
    alarm: bool
    alerts: tuple[str, ...]
    anomaly: float
    probabilities: dict[str, float]
    severity: float
    speed_known: bool
    diagnosis: str
    doubts: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "file": self.file,
                "alarm": self.alarm,
                "anomaly": round(self.anomaly, 4),
                "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
                "diagnosis": self.diagnosis,
                "alerts": list(self.alerts),
                "severity": round(self.severity, 4),
                "readings": self.readings,
                "speed_known": self.speed_known,
                "doubts": list(self.doubts),
            }
        )

    def to_text(self) -> str:
        """One line for a person."""
        leading = sorted(self.probabilities.items(), key=lambda item: -item[1])[:3]
        told = " ".join(f"{name}={value:.2f}" for name, value in leading)
        return (
            f"{self.file}: {self.diagnosis}{' ALARM ' + ','.join(self.alerts) if self.alarm else ''} "
            f"anomaly={self.anomaly:.2f} {told} ({self.readings} readings)"
        )


def score(
    source: str,
    models: Bundle,
    *,
    bearing: BearingGeometry | None = None,
    channel: str | None = None,
    speed_rpm: float | None = None,
    fs_hz: float | None = None,
    unit: Unit | None = None,
) -> Verdict:
    """Judges one recording, window by window, as the edge would.

    Args:
        source: path or ``archive:member``.
        models: the bundle.
        bearing: geometry; without it no bearing fault is named.
        channel: publisher's channel name; default the drive end.
        speed_rpm: shaft speed where the file does not say it.
        fs_hz: sampling rate where the file does not say it.
        unit: what the file's numbers are in, where it is not what the format usually has.

    Raises:
        RecordingError: the file cannot be used; one line with the remedy.
    """
    told = stream(source, models, bearing=bearing, channel=channel, speed_rpm=speed_rpm, fs_hz=fs_hz, unit=unit)
    result = monitor.step(
        monitor.FleetState({}),
        told.readings,
        {MOTOR: monitor.profile_of(told.birth)},
        models,
        now_ts_s=START_TS_S,
        policy=_POLICY,
    )
    if not any(health.anomaly is not None for health in result.health):
        why = next((failure.error for failure in result.failures), "it holds none, or it stands still")
        raise RecordingError(f"{source}: no vibration could be judged: {why}")
    doubts = [told.doubt] if told.doubt else []
    if bearing is not None and not told.speed_known:
        doubts.append("no shaft speed is known, so no bearing fault is named; give --speed-rpm")
    return _verdict(source, result, models, told, tuple(doubts))


def _verdict(source: str, result: monitor.StepResult, models: Bundle, told: Stream, doubts: tuple[str, ...]) -> Verdict:
    judged = [health for health in result.health if health.anomaly is not None]
    opened = tuple(dict.fromkeys(alert.condition for alert in result.alerts if alert.state == "open"))
    classes = models.manifest.classes
    by_window = np.array([[health.probabilities[fault] for fault in classes] for health in judged])
    whole = pooled(by_window)
    probabilities = {str(fault): float(value) for fault, value in zip(classes, whole, strict=True)}
    anomaly = float(np.mean([health.anomaly for health in judged]))
    excess = {name: _odds(value) - _odds(models.manifest.alarms[name].open_at) for name, value in probabilities.items()}
    leading = max(excess, key=lambda name: excess[name])
    explained = anomaly <= models.manifest.metrics.get(FAR, math.inf)
    diagnosis = leading if excess[leading] > 0.0 and explained else UNKNOWN if anomaly > 1.0 else HEALTHY
    severity = float(np.mean([health.severity or 0.0 for health in judged]))
    alarm = bool(opened) or diagnosis != HEALTHY
    return Verdict(
        file=source,
        readings=len(judged),
        alarm=alarm,
        alerts=opened,
        anomaly=anomaly,
        probabilities=probabilities,
        severity=severity,
        speed_known=told.speed_known,
        diagnosis=diagnosis,
        doubts=doubts,
    )


def _odds(probability: float) -> float:
    """Log odds, of any probability."""
    inside = min(max(probability, 1e-9), 1.0 - 1e-9)
    return math.log(inside / (1.0 - inside))
