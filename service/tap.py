"""What the worker lets the rollout see of its batches: counts of each, and now and then one whole batch.

The worker puts in, the rollout's thread takes out. While nobody watches, a batch costs one comparison.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from service.shadow import MAX_READINGS, Sample

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from service.contract.messages import Reading
    from service.monitor import FleetState, Models, Profile, StepResult
    from service.steady import Moment

_KEPT = 4096


class Batch(NamedTuple):
    """One batch in numbers."""

    models: Models
    readings: int
    failures: int
    opened: int
    step_s: float


class Tap:
    """Between two threads; ``wake`` is set when there is something worth a look."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._batches: deque[Batch] = deque(maxlen=_KEPT)
        self._sample: Sample | None = None
        self._wanting = False
        self._watching = False

    def watch(self) -> None:
        """Count batches from now on."""
        self._watching = True

    def want(self) -> None:
        """The next batch is wanted whole."""
        self._wanting = True

    def close(self) -> None:
        """Nothing is of interest any more."""
        self._watching = self._wanting = False
        self._sample = None
        self._batches.clear()

    def batches(self, models: Models) -> list[Batch]:
        """The batches since the last call that these models judged."""
        taken = [self._batches.popleft() for _ in range(len(self._batches))]
        return [batch for batch in taken if batch.models is models]

    def sample(self) -> Sample | None:
        """The batch that was wanted, once it is there."""
        sample, self._sample = self._sample, None
        return sample

    def put(
        self,
        models: Models,
        before: FleetState,
        readings: Sequence[Reading],
        profiles: Mapping[str, Profile],
        result: StepResult,
        *,
        failures: int,
        step_s: float,
        now_ts_s: float,
        moment: Moment,
    ) -> None:
        """What came of one batch; called by the worker after every step.

        Args:
            models: the bundle that judged it.
            before: the fleet before it.
            readings: the batch.
            profiles: who is known.
            result: what followed.
            failures: readings that could not be judged, exceptions included.
            step_s: how long it took.
            now_ts_s: as given to the step.
            moment: as given to the step.
        """
        if not self._watching:
            return
        opened = sum(alert.state == "open" for alert in result.alerts)
        self._batches.append(Batch(models, len(readings), failures, opened, step_s))
        if self._wanting:
            self._wanting = False
            some = readings[:MAX_READINGS]
            known = {reading.motor: profiles[reading.motor] for reading in some if reading.motor in profiles}
            self._sample = Sample(before, some, known, now_ts_s, moment)
            self._wake.set()
        elif failures:
            self._wake.set()
