"""The sans-I/O core: ``(state, readings) -> (state', messages)``.

``step`` admits readings (window), runs the vibration graphs once over all of them (score), then goes through them in
rounds: the k-th reading of every motor forms the k-th round, so the filter and the alarms see each motor's readings in
order while every round is one batch over motors. A step over a batch gives what the readings one by one would give.

What happens when numbers mean nothing:

- An anomaly or classifier output that is not finite (or a graph that fails) withholds the reading: no health message,
  alarms and filter untouched; its place in the sequence is taken, and it counts for whether a sensor stands still. It
  is reported in ``failures``.
- A filter output that is not finite never enters the state: this motor's filter starts afresh from the manifest,
  reported in ``failures`` and ``resets``; health and remaining life are absent from this reading's message and the
  alarms go on. A health graph that fails leaves the filter where it was, to predict over the gap next time.
- A bundle with another ``health.schema_id`` resets the filter of each motor at its next reading (``resets``); alarms
  survive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service import alarm
from service.contract.codec import Refused
from service.motor import FleetState, MotorState, Profile, generic_profile, profile_of
from service.rounds import Admitted, Failure, Rounds
from service.score import Models, score
from service.senses import sift
from service.steady import NEVER, Moment
from service.window import Policy, arrive, check_clock, check_sampling, operating

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.contract.manifest import Manifest
    from service.contract.messages import Alert, Health, Reading
    from service.motor import BootMark

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
    "relearn",
    "retire",
    "step",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading (by its index in the call) that changed nothing, and why."""

    index: int
    refused: Refused


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step leads to.

    Attributes:
        state: the fleet after the step.
        changed: ids of motors whose state must be saved, or removed where ``state`` no longer has them.
        health: one message per reading that was taken, in order.
        taken: the index in the call of the reading that each of them answers.
        alerts: alert messages, in order.
        refusals: readings that changed nothing.
        masked: signal to number of implausible values that were treated as missing.
        failures: readings whose result was withheld because a graph failed or answered nonsense.
        resets: motors whose filter started afresh although they were known.
        doubted: readings whose time stamps no witness confirmed, see ``service.clock``.
    """

    state: FleetState
    changed: tuple[str, ...] = ()
    health: list[Health] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    masked: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    resets: tuple[str, ...] = ()
    doubted: int = 0


def step(
    state: Mapping[str, MotorState],
    readings: Sequence[Reading],
    profiles: Mapping[str, Profile],
    models: Models,
    *,
    now_ts_s: float,
    policy: Policy,
    moment: Moment = NEVER,
) -> StepResult:
    """Takes readings, in the order of their arrival, and says what follows from them.

    Args:
        state: the fleet so far; not changed.
        readings: any number, several of one motor allowed.
        profiles: motors that introduced themselves.
        models: the bundle that runs.
        now_ts_s: the edge's clock, Unix seconds.
        policy: what is accepted.
        moment: the edge's steady clock, a witness of how much time passes between a motor's readings.
    """
    admitted, refusals = _admit(state, readings, profiles, models.manifest, now_ts_s, policy)
    if not admitted.indices:
        return StepResult(state=_fleet(state), refusals=refusals)
    scalars, masked = operating(admitted.readings)
    nameplates = np.array([profile.nameplate for profile in admitted.profiles])
    sensed = sift(admitted, scalars, nameplates, state, models.manifest.sketch)
    scores = score(admitted.readings, scalars, nameplates, models)
    rounds = Rounds(state, admitted, scalars, nameplates, scores, models, moment, sensed)
    rounds.run()
    answered = sorted(rounds.health)
    return StepResult(
        state=_fleet(state).changed(rounds.states),
        changed=tuple(rounds.states),
        health=[rounds.health[at] for at in answered],
        taken=[admitted.indices[at] for at in answered],
        alerts=[alert for at in sorted(rounds.alerts) for alert in rounds.alerts[at]],
        refusals=refusals,
        masked=masked,
        failures=sorted(rounds.failures, key=lambda failure: failure.index),
        resets=tuple(dict.fromkeys(rounds.resets)),
        doubted=rounds.doubted,
    )


def open_alerts(state: Mapping[str, MotorState]) -> list[Alert]:
    """Every alert that is open, as last published: what a restarted edge asserts again."""
    return [alert for motor in state.values() for alert in motor.alerts]


def relearn(state: Mapping[str, MotorState], motor: str) -> StepResult:
    """A motor whose own past no longer counts: what its levels are held against is learnt anew from now on."""
    known = state.get(motor)
    if known is None:
        return StepResult(state=_fleet(state))
    return StepResult(
        state=_fleet(state).changed({motor: known._replace(drift=b"", level=b"", innovation=b"")}), changed=(motor,)
    )


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
        return StepResult(state=_fleet(state))
    alerts = [alarm.cleared(alert, max(now_ts_s, alert.ts_s), reason, alert.model) for alert in known.alerts]
    return StepResult(state=_fleet(state).without(motor), changed=(motor,), alerts=alerts)


def _admit(
    state: Mapping[str, MotorState],
    readings: Sequence[Reading],
    profiles: Mapping[str, Profile],
    manifest: Manifest,
    now_ts_s: float,
    policy: Policy,
) -> tuple[Admitted, list[Refusal]]:
    admitted = Admitted([], [], [], [])
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
            stored = state.get(motor)
            known = stored.boots if stored is not None else ()
        after = arrive(reading, known)
        if isinstance(after, Refused):
            refusals.append(Refusal(index, after))
            continue
        boots[motor] = after
        admitted.indices.append(index)
        admitted.readings.append(reading)
        admitted.profiles.append(profile)
        admitted.boots.append(after)
    return admitted, refusals


def _fleet(state: Mapping[str, MotorState]) -> FleetState:
    return state if isinstance(state, FleetState) else FleetState(state)


def _unknown(motor: str) -> Refused:
    return Refused(
        "unknown_motor",
        "motor",
        f"{motor} has not introduced itself",
        f"publish a retained birth message, or add [motors.{motor}] to the edge's TOML",
    )
