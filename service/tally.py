"""A Prometheus histogram that is told a batch at once: one by one would cost a microsecond a value."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry


class Tally(Collector):
    """Counts values by upper bound, infinity being the last; a value counts under the first bound it does not exceed.

    Args:
        name: of the metric, with its unit.
        text: what it tells.
        buckets: upper bounds, growing, finite.
        registry: that asks for it.
    """

    def __init__(self, name: str, text: str, *, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._bounds = np.array(buckets, dtype=np.float64)
        self._labels = [str(floatToGoString(bound)) for bound in (*buckets, np.inf)]  # type: ignore[no-untyped-call]
        self._counts = np.zeros(len(buckets) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, values: Sequence[float]) -> None:
        """Count values, finite ones."""
        if not values:
            return
        told = np.array(values, dtype=np.float64)
        counts = np.bincount(np.searchsorted(self._bounds, told), minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(told.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The counts so far."""
        with self._lock:
            counts, total = self._counts.cumsum().tolist(), self._sum
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], list(zip(self._labels, counts, strict=True)), sum_value=total)
        yield family
