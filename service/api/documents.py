"""The shapes of the answers, for the OpenAPI document and for whoever writes a client."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.contract.messages import Alert, Health  # noqa: TC001 - pydantic reads annotations at run time


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(_Document):
    """What is wrong and what to do."""

    code: str
    message: str
    remedy: str


class Failure(_Document):
    """Every answer that is not a success."""

    error: Problem


class Liveness(_Document):
    """Whether the process does its work at all."""

    status: Literal["live", "dead"]
    reasons: tuple[str, ...] = ()


class Readiness(_Document):
    """``degraded`` is ready with something amiss; the reasons say what."""

    status: Literal["ready", "degraded", "unready"]
    reasons: tuple[str, ...]
    mqtt_protocol: str
    version: str


class Motor(_Document):
    """One motor: who it is, its newest health, what is open."""

    motor: str
    name: str
    clock: Literal["wall", "simulated"]
    interval_s: float
    availability: Literal["online", "silent"] | None
    heard_ts_s: float | None
    health: Health | None
    alerts: tuple[str, ...]


class MotorDetail(Motor):
    """One motor with what the models know of it."""

    nameplate: dict[str, float | None]
    open_alerts: tuple[Alert, ...]


class Motors(_Document):
    """The fleet, by id."""

    motors: tuple[Motor, ...]


class Alerts(_Document):
    """Open alerts, newest first, then (if asked for) those that ended lately."""

    alerts: tuple[Alert, ...]


class Model(_Document):
    """The bundle in use."""

    name: str
    version: int
    digest: str
    classes: tuple[str, ...]
    window_samples: int
    window_min_samples: int
    fs_hz: tuple[float, float]
    training: dict[str, str]
    metrics: dict[str, float]
