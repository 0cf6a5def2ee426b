"""The sans-I/O core: ``(state, readings) -> (state', messages)``.

``step`` admits readings (window), runs the vibration graphs once over all of them (score), then goes through them in
rounds: the k-th reading of every motor forms the k-th round, so the filter and the alarms see each motor's readings in
order while every round is one batch over motors. A step over a batch gives what the readings one by one would give.

What happens when numbers mean nothing:

- An anomaly or classifier output that is not finite (or a graph that fails) withholds the reading: no health message,
  alarms and filter untouched; only its place in the sequence is taken. It is reported in ``failures``.
- A filter output that is not finite never enters the state: this motor's filter starts afresh from the manifest,
  reported in ``failures`` and ``resets``; health and remaining life are absent from this reading's message and the
  alarms go on. A health graph that fails leaves the filter where it was, to predict over the gap next time.
- A bundle with another ``health.schema_id`` resets the filter of each motor at its next reading (``resets``); alarms
  survive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import alarm
from service.contract.codec import Refused
from service.contract.faults import ANOMALY, CONDITIONS, HEALTHY
from service.contract.messages import Alert, Health
from service.contract.signals import OPERATING
from service.errors import InferenceError
from service.health import Filtered, Inputs, advance
from service.motor import BootMark, FleetState, MotorState, Profile, generic_profile, profile_of
from service.score import Models, Scores, score
from service.window import Policy, arrive, check_clock, check_sampling, operating, passed_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.contract.manifest import Manifest
    from service.contract.messages import Reading

__all__ = [
    "Failure",
    "FleetState",
    "Models",
    "MotorState",
    "Policy",
    "Profile",
    "Refusal",
    "StepResult",
    "generic_profile",
    "open_alerts",
    "profile_of",
    "retire",
    "step",
]

_CONDITIONS = len(CONDITIONS)
_NO_HITS = np.zeros(_CONDITIONS, dtype=np.uint64).tobytes()
_NO_QUIET = np.zeros(_CONDITIONS, dtype=np.uint32).tobytes()
_HITS_BYTES, _QUIET_BYTES = len(_NO_HITS), len(_NO_QUIET)
_IS_FAULT = np.array([condition != ANOMALY for condition in CONDITIONS])
_NOTHING_TOLD = [math.nan] * 5
_MISSING: dict[int, tuple[str, ...]] = {
    code: tuple(name for bit, name in enumerate((*OPERATING, "accel_m_s2")) if code >> bit & 1)
    for code in range(2 ** (len(OPERATING) + 1))
}
_MISSING_BITS = 1 << np.arange(len(OPERATING) + 1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading (by its index in the call) that changed nothing, and why."""

    index: int
    refused: Refused


@dataclass(frozen=True, slots=True)
class Failure:
    """A reading (by its index in the call) whose result is withheld, wholly or in its filter part."""

    index: int
    error: InferenceError


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step leads to.

    Attributes:
        state: the fleet after the step.
        changed: ids of motors whose state must be saved, or removed where ``state`` no longer has them.
        health: one message per reading that was taken, in order.
        alerts: alert messages, in order.
        refusals: readings that changed nothing.
        masked: signal to number of implausible values that were treated as missing.
        failures: readings whose result was withheld because a graph failed or answered nonsense.
        resets: motors whose filter started afresh although they were known.
    """

    state: FleetState
    changed: tuple[str, ...] = ()
    health: list[Health] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    masked: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    resets: tuple[str, ...] = ()


class _Admitted(NamedTuple):
    """Readings that are new, believable and fit; parallel lists."""

    index: list[int]
    readings: list[Reading]
    profiles: list[Profile]
    boots: list[tuple[BootMark, ...]]


def step(
    state: Mapping[str, MotorState],
    readings: Sequence[Reading],
    profiles: Mapping[str, Profile],
    models: Models,
    *,
    now_ts_s: float,
    policy: Policy,
) -> StepResult:
    """Takes readings, in the order of their arrival, and says what follows from them.

    Args:
        state: the fleet so far; not changed.
        readings: any number, several of one motor allowed.
        profiles: motors that introduced themselves.
        models: the bundle that runs.
        now_ts_s: the edge's clock, Unix seconds.
        policy: what is accepted.
    """
    admitted, refusals = _admit(state, readings, profiles, models.manifest, now_ts_s, policy)
    if not admitted.index:
        return StepResult(state=FleetState(state), refusals=refusals)
    scalars, masked = operating(admitted.readings)
    nameplates = np.stack([profile.nameplate for profile in admitted.profiles])
    scores = score(admitted.readings, scalars, nameplates, models)
    work = _Work(state, admitted, scalars, nameplates, scores, models)
    for members in _rounds(admitted.readings):
        work.round(members)
    result = FleetState(state)
    result.update(work.states)
    return StepResult(
        state=result,
        changed=tuple(work.states),
        health=[work.health[at] for at in sorted(work.health)],
        alerts=[alert for at in sorted(work.alerts) for alert in work.alerts[at]],
        refusals=refusals,
        masked=masked,
        failures=sorted(work.failures, key=lambda failure: failure.index),
        resets=tuple(dict.fromkeys(work.resets)),
    )


def open_alerts(state: Mapping[str, MotorState]) -> list[Alert]:
    """Every alert that is open, as last published: what a restarted edge asserts again."""
    return [alert for motor in state.values() for alert in motor.alerts]


def retire(state: Mapping[str, MotorState], motor: str, now_ts_s: float, reason: str) -> StepResult:
    """Forgets a motor and clears its alerts, so that nothing sticks on. An unknown motor changes nothing.

    Args:
        state: the fleet so far.
        motor: who leaves.
        now_ts_s: time of the clearing; never before the alert's own last message.
        reason: one sentence for a person.
    """
    known = state.get(motor)
    if known is None:
        return StepResult(state=FleetState(state))
    rest = FleetState(state)
    del rest[motor]
    alerts = [alarm.cleared(alert, max(now_ts_s, alert.ts_s), reason, alert.model) for alert in known.alerts]
    return StepResult(state=rest, changed=(motor,), alerts=alerts)


def _admit(
    state: Mapping[str, MotorState],
    readings: Sequence[Reading],
    profiles: Mapping[str, Profile],
    manifest: Manifest,
    now_ts_s: float,
    policy: Policy,
) -> tuple[_Admitted, list[Refusal]]:
    admitted = _Admitted([], [], [], [])
    refusals: list[Refusal] = []
    boots: dict[str, tuple[BootMark, ...]] = {}
    for index, reading in enumerate(readings):
        motor = reading.motor
        profile = profiles.get(motor) or (generic_profile(motor) if policy.unknown_motor == "generic" else None)
        if profile is None:
            refusals.append(Refusal(index, _unknown(motor)))
            continue
        refused = check_sampling(reading, manifest.window) or check_clock(reading, profile, now_ts_s, policy)
        if refused is not None:
            refusals.append(Refusal(index, refused))
            continue
        known = boots.get(motor)
        if known is None:
            known = state[motor].boots if motor in state else ()
        after = arrive(reading, known)
        if isinstance(after, Refused):
            refusals.append(Refusal(index, after))
            continue
        boots[motor] = after
        admitted.index.append(index)
        admitted.readings.append(reading)
        admitted.profiles.append(profile)
        admitted.boots.append(after)
    return admitted, refusals


def _unknown(motor: str) -> Refused:
    return Refused(
        "unknown_motor",
        "motor",
        f"{motor} has not introduced itself",
        f"publish a retained birth message, or add [motors.{motor}] to the edge's TOML",
    )


def _rounds(readings: Sequence[Reading]) -> list[list[int]]:
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


class _Work:
    """One step on its way through the rounds: what is known of the readings, and what has come out so far."""

    def __init__(
        self,
        state: Mapping[str, MotorState],
        admitted: _Admitted,
        scalars: NDArray[np.float32],
        nameplates: NDArray[np.float32],
        scores: Scores,
        models: Models,
    ) -> None:
        self._before = state
        self._admitted = admitted
        self._scalars = scalars
        self._nameplates = nameplates
        self._scores = scores
        self._models = models
        self._model = models.digest[:12]
        manifest = models.manifest
        self._alarms = manifest.alarms
        self._rules = alarm.rules_of(manifest.alarms)
        self._classes = manifest.classes
        self._schema_id = manifest.health.schema_id
        self._x0 = np.array(manifest.health.initial_state, dtype=np.float64).tobytes()
        self._P0 = np.array(manifest.health.initial_cov, dtype=np.float64).tobytes()
        bare = np.array([not reading.accel_m_s2 for reading in admitted.readings])
        absent = np.concatenate((np.isnan(scalars), bare[:, None]), axis=1)
        self._missing: list[int] = (absent @ _MISSING_BITS).tolist()
        values = np.full((len(bare), _CONDITIONS), np.nan)
        values[:, alarm.COLUMN[ANOMALY]] = scores.anomaly
        values[:, [alarm.COLUMN[fault] for fault in manifest.classes]] = scores.probability
        self._values = values
        # Four digits are more than the models know, and keep the messages short.
        self._anomaly: list[float] = np.round(scores.anomaly, 4).tolist()
        self._severity: list[float] = np.round(scores.severity, 4).tolist()
        self._probability: list[list[float]] = np.round(scores.probability, 4).tolist()
        self.states: dict[str, MotorState] = {}
        self.health: dict[int, Health] = {}
        self.alerts: dict[int, list[Alert]] = {}
        self.failures: list[Failure] = []
        self.resets: list[str] = []

    def round(self, members: list[int]) -> None:
        """One reading each of different motors."""
        taken: list[int] = []
        for at in members:
            error = self._scores.failures.get(at)
            if error is None:
                taken.append(at)
            else:
                self._withhold(at, error)
        if not taken:
            return
        states = [self._state(at) for at in taken]
        filtered = self._advance(taken, states)
        hits = np.frombuffer(b"".join([s.hits for s in states]), dtype=np.uint64).reshape(-1, _CONDITIONS)
        quiet = np.frombuffer(b"".join([s.quiet for s in states]), dtype=np.uint32).reshape(-1, _CONDITIONS)
        is_open = np.zeros(hits.shape, dtype=np.bool_)
        for row, motor in enumerate(states):
            for alert in motor.alerts:
                is_open[row, alarm.COLUMN[alert.condition]] = True
        verdict = alarm.judge(hits, quiet, is_open, self._values[taken], self._rules)
        self._conclude(taken, states, filtered, verdict)

    def _withhold(self, at: int, error: InferenceError) -> None:
        self.failures.append(Failure(self._admitted.index[at], error))
        self.states[self._admitted.readings[at].motor] = replace(self._state(at), boots=self._admitted.boots[at])

    def _state(self, at: int) -> MotorState:
        motor = self._admitted.readings[at].motor
        known = self.states.get(motor) or self._before.get(motor)
        if known is None:
            return MotorState((), self._schema_id, self._x0, self._P0, math.nan, _NO_HITS, _NO_QUIET, (), 0, 0)
        if known.schema_id != self._schema_id or len(known.x) != len(self._x0):
            self.resets.append(motor)
            return replace(known, schema_id=self._schema_id, x=self._x0, P=self._P0, filter_ts_s=math.nan)
        return known

    def _advance(self, taken: list[int], states: list[MotorState]) -> Filtered:
        size = len(self._x0) // 8
        readings, max_dt_s = self._admitted.readings, self._models.manifest.health.max_dt_s
        dt_s = [passed_s(readings[at].ts_s, s.filter_ts_s, max_dt_s) for at, s in zip(taken, states, strict=True)]
        return advance(
            self._models,
            Inputs(
                state=np.frombuffer(b"".join([s.x for s in states])).reshape(-1, size),
                cov=np.frombuffer(b"".join([s.P for s in states])).reshape(-1, size, size),
                operating=self._scalars[taken],
                nameplate=self._nameplates[taken],
                severity=self._scores.severity[taken],
                dt_s=np.array(dt_s),
            ),
        )

    def _conclude(self, taken: list[int], states: list[MotorState], filtered: Filtered, verdict: alarm.Verdict) -> None:
        xs, Ps = filtered.x.tobytes(), filtered.P.tobytes()
        hits, quiet = verdict.hits.tobytes(), verdict.quiet.tobytes()
        n_x, n_P = len(self._x0), len(self._P0)
        told = np.round(filtered.told, 4).tolist()
        turned: list[bool] = (verdict.opened | verdict.cleared).any(axis=1).tolist()
        warm: list[bool] = verdict.hits.any(axis=1).tolist()
        passing = self._values[taken] >= self._rules.open_at
        passed: list[bool] = passing.any(axis=1).tolist()
        for row, at in enumerate(taken):
            reading, state = self._admitted.readings[at], states[row]
            x, P, ts_s = xs[row * n_x : (row + 1) * n_x], Ps[row * n_P : (row + 1) * n_P], reading.ts_s
            if row in filtered.unsound or row in filtered.failed:
                x, P, ts_s = self._unsettled(at, state, filtered.failed.get(row))
                told[row] = _NOTHING_TOLD
            health, rul_h, rul_low_h, rul_high_h, nis = (v if math.isfinite(v) else None for v in told[row])
            alerts = state.alerts
            peak_ms, peak_revision = state.peak_ms, state.peak_revision
            if turned[row] or alerts:
                messages, alerts = self._speak(at, row, state, verdict, rul_h)
                if messages:
                    self.alerts[at] = messages
                    peak_ms = max(peak_ms, *(int(a.opened_ts_s * 1000) for a in messages))
                    peak_revision = max(peak_revision, *(a.revision for a in messages))
            self.states[reading.motor] = MotorState(
                self._admitted.boots[at],
                self._schema_id,
                x,
                P,
                ts_s,
                hits[row * _HITS_BYTES : (row + 1) * _HITS_BYTES],
                quiet[row * _QUIET_BYTES : (row + 1) * _QUIET_BYTES],
                alerts,
                peak_ms,
                peak_revision,
            )
            bare = not reading.accel_m_s2
            self.health[at] = Health(
                motor=reading.motor,
                ts_s=reading.ts_s,
                boot=reading.boot,
                seq=reading.seq,
                state="alarm" if alerts else "warning" if warm[row] else "ok",
                diagnosis=self._diagnosis(at, alerts, passing[row]) if alerts or passed[row] else HEALTHY,
                anomaly=None if bare else self._anomaly[at],
                probabilities={} if bare else dict(zip(self._classes, self._probability[at], strict=True)),
                severity=None if bare else self._severity[at],
                health=health,
                rul_h=rul_h,
                rul_low_h=rul_low_h,
                rul_high_h=rul_high_h,
                nis=nis,
                missing=_MISSING[self._missing[at]],
                model=self._model,
            )

    def _unsettled(self, at: int, state: MotorState, error: InferenceError | None) -> tuple[bytes, bytes, float]:
        """The filter part of the state after a step that cannot be kept."""
        if error is not None:
            self.failures.append(Failure(self._admitted.index[at], error))
            return state.x, state.P, state.filter_ts_s
        text = "health: an output is not finite or outside its range; this motor's filter starts afresh"
        self.failures.append(Failure(self._admitted.index[at], InferenceError(text)))
        self.resets.append(self._admitted.readings[at].motor)
        return self._x0, self._P0, math.nan

    def _diagnosis(self, at: int, alerts: tuple[Alert, ...], passing: NDArray[np.bool_]) -> str:
        """The most probable fault with an open alert, else the most probable over its threshold, else the anomaly."""
        values = self._values[at]
        named = [alert for alert in alerts if alert.condition != ANOMALY]
        if named:
            told = {a.condition: (a.probability or 0.0) for a in named}
            now = {c: float(values[alarm.COLUMN[c]]) for c in told}
            return max(told, key=lambda c: told[c] if math.isnan(now[c]) else now[c])
        faults = np.flatnonzero(passing & _IS_FAULT)
        return CONDITIONS[int(faults[values[faults].argmax()])] if len(faults) else ANOMALY

    def _speak(
        self, at: int, row: int, state: MotorState, verdict: alarm.Verdict, rul_h: float | None
    ) -> tuple[list[Alert], tuple[Alert, ...]]:
        """Alert messages that follow from one reading, and the alerts open after it."""
        evidence = self._evidence(at, rul_h)
        motor = self._admitted.readings[at].motor
        messages: list[Alert] = []
        still: list[Alert] = []
        opening = [CONDITIONS[column] for column in np.flatnonzero(verdict.opened[row])]
        for alert in state.alerts:
            if verdict.cleared[row, alarm.COLUMN[alert.condition]]:
                named = [c for c in opening if c != ANOMALY] or [
                    a.condition
                    for a in state.alerts
                    if a.condition != ANOMALY and not verdict.cleared[row, alarm.COLUMN[a.condition]]
                ]
                reason = alarm.clear_reason(
                    alert.condition, evidence, self._alarms.get(alert.condition), named[0] if named else None
                )
                messages.append(alarm.cleared(alert, evidence.ts_s, reason, self._model))
            else:
                told = alarm.updated(alert, evidence)
                still.append(told or alert)
                messages += [told] if told else []
        for condition in opening:
            hits = int(np.bitwise_count(verdict.hits[row, alarm.COLUMN[condition]]))
            # An id may repeat one of an earlier life (a replayed recording); its revisions must then go on growing.
            again = int(evidence.ts_s * 1000) <= state.peak_ms
            revision = state.peak_revision + 1 if again else 0
            alert = alarm.open_alert(motor, condition, evidence, self._alarms[condition], hits, revision)
            messages.append(alert)
            still.append(alert)
        return messages, tuple(still)

    def _evidence(self, at: int, rul_h: float | None) -> alarm.Evidence:
        reading, bare = self._admitted.readings[at], not self._admitted.readings[at].accel_m_s2
        band = int(self._scores.band[at])
        return alarm.Evidence(
            ts_s=reading.ts_s,
            anomaly=None if bare else self._anomaly[at],
            probability={} if bare else dict(zip(self._classes, self._probability[at], strict=True)),
            severity=None if bare else self._severity[at],
            rul_h=rul_h,
            band=self._models.manifest.bands[band] if band >= 0 else None,
            model=self._model,
        )
