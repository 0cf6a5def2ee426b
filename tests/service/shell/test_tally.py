"""A histogram that is told many values at once says what one that is told them singly says."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest

from service.tally import Tally

BOUNDS = (0.5, 1.0, 2.0)


def test_a_tally_is_exposed_as_the_librarys_own_histogram_is() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as service.metrics does
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("made_seconds", "Made.", buckets=BOUNDS, registry=ours)
    histogram = Histogram("made_seconds", "Made.", buckets=BOUNDS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs)
    values = [*BOUNDS, 0.0, 0.25, 7.0, *np.random.default_rng(3).integers(0, 96, 50) / 32.0]
    for part in (values[:7], [], values[7:]):
        tally.observe(part)
    for value in values:
        histogram.observe(value)
    assert generate_latest(ours) == generate_latest(theirs)
