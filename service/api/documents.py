"""The shapes of the answers, for the OpenAPI document and for whoever writes a client."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.chronicle import Progress  # noqa: TC001 - pydantic reads annotations at run time
from service.contract.messages import Alert, Health  # noqa: TC001 - as above
from service.gate import Gate  # noqa: TC001 - as above
from service.swap import Phase  # noqa: TC001 - as above


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


class DriftChannel(_Document):
    """One signal against the motor's own baseline and the training's machines."""

    score: Annotated[float, Field(ge=0, description="evidence that the level has moved, 1: found")]
    learnt: Annotated[bool, Field(description="whether the baseline stands")]
    unlike: Annotated[bool, Field(description="whether the baseline lies outside what the training's machines show")]


class Drift(_Document):
    """Whether a motor's inputs have moved away from its own past, or from what the models have learnt from."""

    status: Literal["unknown", "learning", "usual", "unlike", "drifted"]
    signals: dict[str, DriftChannel]


class FleetDrift(_Document):
    """The same over the fleet; the scores are the highest of any motor."""

    motors: Annotated[dict[str, int], Field(description="by status")]
    score: Annotated[dict[str, float], Field(description="by signal, 1: found")]
    block_s: Annotated[float | None, Field(description="readings of such a time are judged as one")] = None
    learning_blocks: int | None = None
    false_alarm_h: Annotated[float | None, Field(description="mean time between false findings of a motor")] = None


class MotorDetail(Motor):
    """One motor with what the models know of it."""

    nameplate: dict[str, float | None]
    rated_power_w: float | None
    zones_mm_s: Annotated[tuple[float, float, float], Field(description="velocity RMS, A/B, B/C, C/D, ISO 20816-1")]
    filter: Annotated[dict[str, float], Field(description="the health filter's state by the manifest's names")]
    drift: Drift
    open_alerts: tuple[Alert, ...]


class Motors(_Document):
    """The fleet, by id."""

    motors: tuple[Motor, ...]


class NewNote(_Document):
    """What somebody says of an alert."""

    kind: Literal["acknowledged", "repaired", "false_alarm", "comment"]
    by: Annotated[str, Field(min_length=1, max_length=80, description="who says it")]
    text: Annotated[str, Field(max_length=1000)] = ""


class SavedNote(NewNote):
    """A note as it is kept."""

    alert: str
    ts_s: float


class Alerts(_Document):
    """Open alerts, newest first, then (if asked for) those that ended lately; and what was said of them."""

    alerts: tuple[Alert, ...]
    notes: tuple[SavedNote, ...]


class Candidate(_Document):
    """A bundle that was offered at run time: the one on its way, or the last one."""

    name: str
    version: int
    release: int
    digest: str | None
    phase: Phase
    reason: str
    shadow_readings: int
    disagreement: float
    slowdown: float
    soak_readings: int
    gate: str

    @classmethod
    def of(cls, progress: Progress) -> Candidate:
        """What the rollout says of it."""
        seen = progress.shadow
        return cls(
            name=progress.name,
            version=progress.version,
            release=progress.release,
            digest=progress.digest,
            phase=progress.phase,
            reason=progress.reason,
            shadow_readings=seen.readings,
            disagreement=round(seen.disagreement, 4),
            slowdown=round(seen.slowdown, 2),
            soak_readings=progress.soaked,
            gate=progress.gate,
        )


class Ended(_Document):
    """What became of an offered bundle, and when."""

    ts_s: float
    bundle: Candidate


class Earlier(_Document):
    """A bundle that ran here before and can run again."""

    name: str
    version: int
    release: int
    digest: str
    left_ts_s: float


class Back(_Document):
    """Which bundle to go back to."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$", description="its digest, or how that begins")]


class Model(_Document):
    """The bundle in use; ``ended`` are the last offers, ``earlier`` bundles to go back to, the newest first."""

    name: str
    version: int
    digest: str
    classes: tuple[str, ...]
    window_samples: int
    window_min_samples: int
    fs_hz: tuple[float, float]
    training: dict[str, str]
    metrics: dict[str, float]
    release: int
    gate: Gate
    candidate: Candidate | None
    drift: FleetDrift
    ended: tuple[Ended, ...]
    earlier: tuple[Earlier, ...]


class History(_Document):
    """A motor's past, thinned to one point a step: the worst of most columns, the mean of the rest."""

    motor: str
    from_ts_s: float
    to_ts_s: float
    step_s: float
    columns: dict[str, tuple[float | None, ...]]


class Window(_Document):
    """A motor's last vibration window on its strongest axis, with spectra and the frequencies to look for."""

    motor: str
    ts_s: float
    speed_rpm: float | None
    speed_measured: bool
    speed_before_rpm: Annotated[float | None, Field(description="at the window before")]
    steady: Annotated[bool | None, Field(description="false: the speed changed, so orders are blurred; null: unknown")]
    marks_hz: dict[str, float]
    axis: str
    fs_hz: float
    accel_m_s2: tuple[float, ...]
    spectrum: tuple[float, ...]
    spectrum_step_hz: float
    envelope: tuple[float, ...]
    envelope_step_hz: float
    envelope_band_hz: tuple[float, float]


class PastAlert(_Document):
    """An alert as the historian holds it, with what was said of it."""

    id: str
    motor: str
    condition: str
    state: Literal["open", "update", "clear"]
    revision: int
    opened_ts_s: float
    ts_s: float
    heard_ts_s: float
    severity: float | None
    probability: float | None
    anomaly: float | None
    rul_h: float | None
    reason: str
    model: str
    notes: tuple[SavedNote, ...]


class PastAlerts(_Document):
    """A motor's alerts, newest first."""

    alerts: tuple[PastAlert, ...]


class Money(_Document):
    """Sums, the formulas, and what they were counted from."""

    currency: str
    price_per_min: float
    unplanned_stop_min: float
    planned_stop_min: float
    motors_at_risk: tuple[str, ...]
    cost_at_risk: float
    cost_at_risk_formula: str
    repairs: int
    downtime_avoided_min: float
    cost_avoided: float
    cost_avoided_formula: str


class Site(_Document):
    """What the page needs to know of this edge."""

    node: str
    version: str
    changes: Annotated[bool, Field(description="whether a token is set, so that something can be changed with it")]
