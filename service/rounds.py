"""One step on its way through its rounds: filter, alarms and messages, each round one batch over motors.

The k-th reading of every motor forms the k-th round, so every motor's readings are taken in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import alarm, clock, drift, innovation, level
from service.contract.faults import ANOMALY, CONDITIONS, HEALTHY
from service.contract.messages import Health
from service.drivers import drivers
from service.errors import InferenceError
from service.health import Filtered, Inputs, advance
from service.motor import MotorState
from service.steady import elapsed_s
from service.terms import terms_of
from service.window import turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.contract.messages import Alert, Reading
    from service.motor import BootMark, Profile
    from service.score import Models, Scores
    from service.senses import Sensed
    from service.steady import Moment

    _Rows = slice | list[int]

_CONDITIONS = len(CONDITIONS)
_NO_HITS = np.zeros(_CONDITIONS, dtype=np.uint64).tobytes()
_NO_QUIET = np.zeros(_CONDITIONS, dtype=np.uint32).tobytes()
_HITS_BYTES, _QUIET_BYTES = len(_NO_HITS), len(_NO_QUIET)
_IS_FAULT = np.array([condition != ANOMALY for condition in CONDITIONS])
_NOTHING_TOLD = [math.nan] * 7


@dataclass(frozen=True, slots=True)
class Failure:
    """A reading (by its index in the call) whose result is withheld, wholly or in its filter part."""

    index: int
    error: InferenceError


class Admitted(NamedTuple):
    """Readings that are new, believable and fit; parallel lists."""

    indices: list[int]
    readings: list[Reading]
    profiles: list[Profile]
    boots: list[tuple[BootMark, ...]]


class Rounds:
    """What is known of a step's readings, and what has come out of them so far.

    Attributes:
        states: motors that changed.
        health: position to health message.
        alerts: position to alert messages.
        failures: readings whose result is withheld.
        resets: motors whose filter started afresh although they were known.
        doubted: readings whose time stamps no witness confirmed.
    """

    def __init__(
        self,
        state: Mapping[str, MotorState],
        admitted: Admitted,
        scalars: NDArray[np.float32],
        nameplates: NDArray[np.float32],
        scores: Scores,
        models: Models,
        moment: Moment,
        sensed: Sensed,
    ) -> None:
        self._before = state
        self._admitted = admitted
        self._scalars = scalars
        self._nameplates = nameplates
        self._scores = scores
        self._models = models
        self._model = models.digest[:12]
        self._moment = moment
        self._sensed = sensed
        self._rules_of_drift = drift.rules_of(models)
        self._rules_of_innovation = innovation.rules_of(models)
        self._terms = terms_of(models.manifest)
        self._values = np.empty((len(scalars), _CONDITIONS))
        self._values.fill(np.nan)
        self._values[:, self._terms.columns] = scores.table[:, : 1 + scores.classes]
        # Four digits are more than the models know, and keep the messages short.
        self._told: list[list[float]] = scores.table[:, : 2 + scores.classes].round(4).tolist()
        self._risen: dict[int, float] = {}
        self._driven_by = drivers(scores.contribution, models.manifest.bands)
        self.states: dict[str, MotorState] = {}
        self.health: dict[int, Health] = {}
        self.alerts: dict[int, list[Alert]] = {}
        self.failures: list[Failure] = []
        self.resets: list[str] = []
        self.doubted = 0

    def run(self) -> None:
        """Takes all readings, round by round."""
        for members in turns(self._admitted.readings):
            self._round(members)

    def _round(self, members: list[int]) -> None:
        taken: list[int] = []
        for at in members:
            error = self._scores.failures.get(at)
            if error is None:
                taken.append(at)
            else:
                self._withhold(at, error)
        if not taken:
            return
        # Nearly every step is one round, and then its rows need no picking.
        rows = slice(None) if len(taken) == len(self._told) else taken
        states = [self._state(at) for at in taken]
        filtered = self._advance(taken, rows, states)
        hits = np.frombuffer(b"".join([s.hits for s in states]), dtype=np.uint64).reshape(-1, _CONDITIONS)
        quiet = np.frombuffer(b"".join([s.quiet for s in states]), dtype=np.uint32).reshape(-1, _CONDITIONS)
        is_open = np.zeros(hits.shape, dtype=np.bool_)
        for row, motor in enumerate(states):
            if motor.alerts:
                is_open[row, [alarm.COLUMN[alert.condition] for alert in motor.alerts]] = True
        times = [self._admitted.readings[at].ts_s for at in taken]
        followed = self._followed(taken, rows, states, times, filtered, (is_open & _IS_FAULT).any(axis=1))
        settling = partial(level.settling, followed[1], times)
        verdict = alarm.judge(hits, quiet, is_open, self._values[rows], self._terms.rules, settling)
        self._conclude(taken, states, filtered, verdict, *followed)

    def _followed(
        self,
        taken: list[int],
        rows: _Rows,
        states: list[MotorState],
        times: list[float],
        filtered: Filtered,
        faulty: NDArray[np.bool_],
    ) -> tuple[drift.Advanced, list[bytes], list[bytes]]:
        """Each motor beside its own past; a level that rose is evidence of an anomaly.

        Drift, with signals that have left what the filter expects of them, and levels' and innovations' records.
        """
        ts_s = np.array(times)
        left: dict[int, tuple[str, ...]] = {}
        innovations = [state.innovation for state in states]
        if self._rules_of_innovation is not None:
            innovations, left = self._rules_of_innovation.advance(innovations, filtered.normalised, ts_s, faulty)
        if self._rules_of_drift is None:
            return drift.NOTHING._replace(names=left), [state.level for state in states], innovations
        drifts = self._rules_of_drift.advance(
            [state.drift for state in states],
            self._sensed.ln_rms[rows],
            self._scalars[rows],
            self._nameplates[rows],
            ts_s,
            faulty,
        )
        records, risen = level.advanced([s.level for s in states], drifts.y, drifts.condition[:, 1], times, faulty)
        for at, found in zip(taken, risen, strict=True):
            if found is not None and found > self._told[at][0]:
                self._values[at, alarm.COLUMN[ANOMALY]] = self._risen[at] = found
                self._told[at][0] = round(found, 4)
        names = {row: (*dict.fromkeys(drifts.names.get(row, ()) + left.get(row, ())),) for row in drifts.names | left}
        return drifts._replace(names=names), records, innovations

    def _withhold(self, at: int, error: InferenceError) -> None:
        self.failures.append(Failure(self._admitted.indices[at], error))
        self.states[self._admitted.readings[at].motor] = self._state(at)._replace(
            boots=self._admitted.boots[at], still=self._sensed.still[at]
        )

    def _state(self, at: int) -> MotorState:
        motor = self._admitted.readings[at].motor
        known = self.states.get(motor) or self._before.get(motor)
        if known is None:
            return MotorState(
                (), self._terms.schema_id, self._terms.x0, self._terms.P0, math.nan, _NO_HITS, _NO_QUIET, (), 0, 0
            )
        if known.schema_id != self._terms.schema_id or len(known.x) != len(self._terms.x0):
            self.resets.append(motor)
            return known._replace(
                schema_id=self._terms.schema_id,
                x=self._terms.x0,
                P=self._terms.P0,
                filter_ts_s=math.nan,
                innovation=b"",
            )
        return known

    def _advance(self, taken: list[int], rows: _Rows, states: list[MotorState]) -> Filtered:
        size, most_s = len(self._terms.x0) // 8, self._models.manifest.health.max_dt_s
        return advance(
            self._models,
            Inputs(
                state=np.frombuffer(b"".join([s.x for s in states])).reshape(-1, size),
                cov=np.frombuffer(b"".join([s.P for s in states])).reshape(-1, size, size),
                operating=self._scalars[rows],
                nameplate=self._nameplates[rows],
                severity=self._scores.severity[rows],
                dt_s=np.array([min(self._passed_s(at, s), most_s) for at, s in zip(taken, states, strict=True)]),
            ),
        )

    def _passed_s(self, at: int, state: MotorState) -> float:
        reading, profile = self._admitted.readings[at], self._admitted.profiles[at]
        last = state.boots[0] if state.boots else None
        same_boot = last is not None and last.boot == reading.boot
        passed = clock.passed(
            reading.ts_s - state.filter_ts_s,
            (reading.seq - last.seq) * profile.interval_s if last is not None and same_boot else None,
            elapsed_s(state.heard, self._moment),
            simulated=profile.clock == "simulated",
        )
        self.doubted += passed.doubted
        return passed.dt_s

    def _conclude(
        self,
        taken: list[int],
        states: list[MotorState],
        filtered: Filtered,
        verdict: alarm.Verdict,
        drifts: drift.Advanced,
        risen: list[bytes],
        innovations: list[bytes],
    ) -> None:
        xs, Ps = filtered.x.tobytes(), filtered.P.tobytes()
        hits, quiet = verdict.hits.tobytes(), verdict.quiet.tobytes()
        n_x, n_P = len(self._terms.x0), len(self._terms.P0)
        told = filtered.told.round(4).tolist()
        turned = warm = passed = [False] * len(taken)
        if not verdict.calm:
            turned = np.asarray((verdict.opened | verdict.cleared).any(axis=1)).tolist()
            warm = np.asarray(verdict.hits.any(axis=1)).tolist()
            passed = np.asarray(verdict.passing.any(axis=1)).tolist()
        # A look-up outside the loop is one that no reading pays for.
        readings, boots, sensed = self._admitted.readings, self._admitted.boots, self._sensed
        model, now = self._model, self._moment
        schema_id = self._terms.schema_id
        for row, at in enumerate(taken):
            reading, state = readings[at], states[row]
            anomaly, probabilities, severity = self._heard(at)
            x, P, ts_s = xs[row * n_x : (row + 1) * n_x], Ps[row * n_P : (row + 1) * n_P], reading.ts_s
            heard, motor = now, reading.motor
            if row in filtered.unsound:
                x, P, ts_s, heard = self._unsettled(at, state, filtered.failed.get(row))
                told[row] = _NOTHING_TOLD
                innovations[row] = b"" if math.isnan(ts_s) else state.innovation
            # Infinite: no end in sight. NaN: nothing was measured.
            health, rul_h, rul_low_h, rul_high_h, rul_q25_h, rul_q75_h, nis = [
                value if value < math.inf else None for value in told[row]
            ]
            alerts, peak_ms, peak_revision = state.alerts, state.peak_ms, state.peak_revision
            if turned[row] or (alerts and any(alarm.moved(alert, severity, rul_h) for alert in alerts)):
                messages, alerts = self._speak(at, row, state, verdict, rul_h)
                if messages:
                    self.alerts[at] = messages
                    peak_ms = max(peak_ms, *(int(a.opened_ts_s * 1000) for a in messages))
                    peak_revision = max(peak_revision, *(a.revision for a in messages))
            self.states[motor] = MotorState(
                boots[at],
                schema_id,
                x,
                P,
                ts_s,
                hits[row * _HITS_BYTES : (row + 1) * _HITS_BYTES],
                quiet[row * _QUIET_BYTES : (row + 1) * _QUIET_BYTES],
                alerts,
                peak_ms,
                peak_revision,
                heard,
                drifts.records[row] if drifts.records else state.drift,
                sensed.still[at],
                risen[row],
                innovations[row],
            )
            self.health[at] = Health.of(
                motor=motor,
                ts_s=reading.ts_s,
                boot=reading.boot,
                seq=reading.seq,
                state="alarm" if alerts else "warning" if warm[row] else "ok",
                diagnosis=self._diagnosis(at, alerts, verdict.passing[row]) if alerts or passed[row] else HEALTHY,
                anomaly=anomaly,
                probabilities=probabilities,
                severity=severity,
                health=health,
                rul_h=rul_h,
                rul_low_h=rul_low_h,
                rul_high_h=rul_high_h,
                rul_q25_h=rul_q25_h,
                rul_q75_h=rul_q75_h,
                nis=nis,
                missing=sensed.missing[at],
                flat=sensed.flat[at],
                drift=drifts.names.get(row, ()),
                contributions=self._driven_by[at] if reading.accel_m_s2 else None,
                model=model,
            )

    def _unsettled(
        self, at: int, state: MotorState, error: InferenceError | None
    ) -> tuple[bytes, bytes, float, Moment]:
        """The filter part of the state after a step that cannot be kept."""
        if error is not None:
            self.failures.append(Failure(self._admitted.indices[at], error))
            return state.x, state.P, state.filter_ts_s, state.heard
        text = "health: an output is not finite or outside its range; this motor's filter starts afresh"
        self.failures.append(Failure(self._admitted.indices[at], InferenceError(text)))
        self.resets.append(self._admitted.readings[at].motor)
        return self._terms.x0, self._terms.P0, math.nan, self._moment

    def _diagnosis(self, at: int, alerts: tuple[Alert, ...], passing: NDArray[np.bool_]) -> str:
        """The most probable fault with an open alert, else the most probable over its threshold, else the anomaly."""
        values = self._values[at]
        named = [alert for alert in alerts if alert.condition != ANOMALY]
        if len(named) == 1:
            return named[0].condition
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
                    alert.condition, evidence, self._terms.alarms.get(alert.condition), named[0] if named else None
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
            alert = alarm.open_alert(motor, condition, evidence, self._terms.alarms[condition], hits, revision)
            messages.append(alert)
            still.append(alert)
        return messages, tuple(still)

    def _evidence(self, at: int, rul_h: float | None) -> alarm.Evidence:
        anomaly, probabilities, severity = self._heard(at)
        band = int(self._scores.band[at])
        return alarm.Evidence(
            ts_s=self._admitted.readings[at].ts_s,
            anomaly=anomaly,
            probability=probabilities,
            severity=severity,
            rul_h=rul_h,
            band=level.said(self._risen[at])
            if at in self._risen
            else self._models.manifest.bands[band]
            if band >= 0
            else None,
            model=self._model,
        )

    def _heard(self, at: int) -> tuple[float | None, dict[str, float], float | None]:
        """Anomaly, probabilities and severity of one reading; without vibration nothing is said of them."""
        if not self._admitted.readings[at].accel_m_s2:
            return None, {}, None
        told = self._told[at]
        return told[0], dict(zip(self._terms.classes, told[1:-1], strict=True)), told[-1]
