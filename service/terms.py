"""What a manifest says to every step alike, as arrays and bytes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import alarm
from service.contract.faults import ANOMALY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.contract.faults import Fault
    from service.contract.manifest import AlarmSpec, Manifest


class Terms(NamedTuple):
    """The manifest's settings of alarms and filter.

    Attributes:
        alarms: by condition, as they stand there.
        rules: the same as arrays over ``CONDITIONS``.
        classes: what the classifier tells apart, in its order.
        columns: intp ``(1 + C,)``, of the anomaly and the classes among the conditions.
        schema_id: of the filter.
        x0: its initial state, float64 ``(S,)``, as bytes.
        P0: its initial covariance, float64 ``(S, S)``, as bytes.
    """

    alarms: Mapping[str, AlarmSpec]
    rules: alarm.Rules
    classes: tuple[Fault, ...]
    columns: NDArray[np.intp]
    schema_id: str
    x0: bytes
    P0: bytes


_last: tuple[Manifest, Terms] | None = None


def terms_of(manifest: Manifest) -> Terms:
    """Made once for the manifest that runs; a thread that tries another one meanwhile costs both a little."""
    global _last  # noqa: PLW0603 - a cache of one
    last = _last
    if last is None or last[0] is not manifest:
        terms = Terms(
            alarms=manifest.alarms,
            rules=alarm.rules_of(manifest.alarms),
            classes=tuple(manifest.classes),
            columns=np.array([alarm.COLUMN[name] for name in (ANOMALY, *manifest.classes)]),
            schema_id=manifest.health.schema_id,
            x0=np.array(manifest.health.initial_state, dtype=np.float64).tobytes(),
            P0=np.array(manifest.health.initial_cov, dtype=np.float64).tobytes(),
        )
        last = _last = (manifest, terms)
    return last[1]
