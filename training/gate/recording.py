"""Real recordings through the edge's own core with both bundles: was the fault named, did a sound motor alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.contract.faults import HEALTHY
from training.corpora import cwru
from training.evaluate import edge
from training.gate.slice import summed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.bundle import Bundle
    from training.gate.slice import Slice

_NAMED, _FALSE = 0.1, 0.0


def slices(folder: Path, pair: tuple[Bundle, Bundle], told: Callable[[str], None]) -> list[Slice]:
    """CWRU's drive-end recordings, champion first; raises ``CorpusAbsentError`` where they are not on this machine.

    Units are bearings: the four loads of one bearing are no independent evidence.
    """
    recordings = cwru.recordings(folder)
    truth = np.array([one.entry.fault for one in recordings])
    bearing = np.array([one.entry.bearing for one in recordings])
    opened = [[_opened(models, one) for models in pair] for one in recordings]
    told(f"{len(recordings)} recordings of {len(np.unique(bearing))} bearings (CWRU)")
    made = []
    for fault in np.unique(truth):
        rows = truth == fault
        right = [
            np.array([bool(said[side]) if fault == HEALTHY else fault in said[side] for said in opened])[rows]
            for side in (0, 1)
        ]
        sound = fault == HEALTHY
        made.append(
            summed(
                "cwru.false" if sound else f"cwru.{fault}.named",
                "sound recordings on which an alert opened" if sound else "recordings on which the right alert opened",
                bearing[rows],
                right[0],
                right[1],
                higher_is_better=not sound,
                margin=_FALSE if sound else _NAMED,
            )
        )
    return made


def _opened(models: Bundle, one: cwru.Labelled) -> set[str]:
    entry = one.entry
    stream = edge.readings(
        "rig",
        {"x": one.windows(models.manifest.window.samples)},
        fs_hz=cwru.FS_HZ,
        speed_rpm=entry.speed_rpm,
        step_s=1.0,
    )
    heard = edge.listen(models, [edge.birth("rig", cwru.RATED_RPM, cwru.BEARING)], stream)
    return {str(alert.condition) for alert in heard.alerts if alert.state == "open"}
