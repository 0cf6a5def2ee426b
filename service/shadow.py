"""A candidate beside the running bundle: both judge the same live readings from the same state, and are compared.

Neither result reaches anyone. Starting both from the state that the running bundle had lets a reading be compared by
itself: what would have been said, had the bundles been swapped the moment before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service import monitor
from service.swap import Shadowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from service.candidate import Candidate
    from service.contract.manifest import GraphName, Manifest
    from service.contract.messages import Health, Reading
    from service.monitor import FleetState, Models, Policy, Profile, StepResult
    from service.steady import Moment

MAX_READINGS = 32
"""Readings of one comparison: a longer batch is compared in part."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Live readings with all that was known when they were judged."""

    before: FleetState
    readings: Sequence[Reading]
    profiles: Mapping[str, Profile]
    now_ts_s: float
    moment: Moment


class _Timed:
    """The running bundle, with a watch on it."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.run_s = 0.0

    @property
    def manifest(self) -> Manifest:
        return self._models.manifest

    @property
    def digest(self) -> str:
        return self._models.digest

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        started = time.perf_counter()
        try:
            return self._models.run(graph, feeds)
        finally:
            self.run_s += time.perf_counter() - started


def compare(sample: Sample, running: Models, candidate: Candidate, policy: Policy) -> Shadowed:
    """Both bundles over one sample; raises ``candidate.Lost`` where the candidate's process does not survive it."""
    timed, before_s = _Timed(running), candidate.run_s
    ours = _step(sample, timed, policy)
    theirs = _step(sample, candidate, policy)
    return Shadowed(
        readings=len(sample.readings),
        disagreements=disagreements(ours.health, theirs.health),
        failures=_withheld(theirs),
        running_failures=_withheld(ours),
        opened=_opened(theirs),
        running_opened=_opened(ours),
        run_s=candidate.run_s - before_s,
        running_run_s=timed.run_s,
    )


def disagreements(ours: Sequence[Health], theirs: Sequence[Health]) -> int:
    """Readings that both judged, with another diagnosis or another answer to whether there is an alarm."""
    said = {(health.motor, health.boot, health.seq): health for health in ours}
    count = 0
    for health in theirs:
        other = said.get((health.motor, health.boot, health.seq))
        if other is not None:
            count += health.diagnosis != other.diagnosis or (health.state == "alarm") != (other.state == "alarm")
    return count


def _step(sample: Sample, models: Models, policy: Policy) -> StepResult:
    return monitor.step(
        sample.before,
        sample.readings,
        sample.profiles,
        models,
        now_ts_s=sample.now_ts_s,
        moment=sample.moment,
        policy=policy,
    )


def _withheld(result: StepResult) -> int:
    """Readings of which this bundle could not make sense; a sampling that it does not take counts too."""
    return len(result.failures) + sum(refusal.refused.reason == "sampling" for refusal in result.refusals)


def _opened(result: StepResult) -> int:
    return sum(alert.state == "open" for alert in result.alerts)
