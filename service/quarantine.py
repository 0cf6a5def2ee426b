"""A step that raises is halved until the reading that does it stands alone; the others are not its victims."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from service.monitor import FleetState, Refusal, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.contract.messages import Reading


@dataclass(frozen=True, slots=True)
class Poison:
    """A reading (by its index) on which the step raised, and what it raised."""

    index: int
    error: Exception


def step_around(
    step: Callable[[FleetState, Sequence[Reading]], StepResult], state: FleetState, readings: Sequence[Reading]
) -> tuple[StepResult, list[Poison]]:
    """The result of ``step`` over all readings but those that make it raise; order is kept."""
    try:
        return step(state, readings), []
    except Exception as error:  # noqa: BLE001 - whatever one reading does to the core, the fleet goes on; it is counted
        if len(readings) == 1:
            return StepResult(state=state), [Poison(0, error)]
    half = len(readings) // 2
    first, early = step_around(step, state, readings[:half])
    second, late = step_around(step, first.state, readings[half:])
    return _joined(first, second, half), [*early, *(Poison(poison.index + half, poison.error) for poison in late)]


def _joined(first: StepResult, second: StepResult, offset: int) -> StepResult:
    masked = dict(first.masked)
    for signal, count in second.masked.items():
        masked[signal] = masked.get(signal, 0) + count
    return replace(
        second,
        changed=tuple(dict.fromkeys((*first.changed, *second.changed))),
        health=[*first.health, *second.health],
        taken=[*first.taken, *(index + offset for index in second.taken)],
        alerts=[*first.alerts, *second.alerts],
        refusals=[*first.refusals, *(Refusal(item.index + offset, item.refused) for item in second.refusals)],
        masked=masked,
        failures=[*first.failures, *(replace(item, index=item.index + offset) for item in second.failures)],
        resets=tuple(dict.fromkeys((*first.resets, *second.resets))),
        doubted=first.doubted + second.doubted,
    )
