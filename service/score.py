"""Vibration through the anomaly detector and the classifier (merged where the bundle can): one score per reading.

All rows of all readings run together, in chunks of at most ``MAX_ROWS`` rows so that memory stays bounded whatever
arrives. Rows of a reading are reduced over its windows, then by the maximum over its axes: a defect near one axis
counts in full, a transient in one window does not. Over windows, probabilities are pooled as evidence
(``service.evidence``), everything else is the mean.

A reading on which a graph fails, or answers with numbers that mean nothing, is set apart; the others of its chunk are
scored as if it had not been there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from service.contract.manifest import MERGED
from service.errors import InferenceError
from service.evidence import pooled
from service.window import pack, row_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from service.contract.manifest import GraphName, Manifest, WindowSpec
    from service.contract.messages import Reading

MAX_ROWS = 32
"""Rows per graph run: past this a bigger batch gains little and costs memory."""

_SLACK = 1e-3  # how far float32 sigmoids may stray from 0..1 before they count as meaningless


class Models(Protocol):
    """A bundle that runs; ``service.bundle.Bundle`` is one."""

    @property
    def manifest(self) -> Manifest:
        """Thresholds, classes, window and filter settings."""

    @property
    def digest(self) -> str:
        """Names the bundle: 64 hex digits."""

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs by name; raises ``InferenceError``."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of ``N`` readings; NaN (band -1) without vibration and for failures.

    Attributes:
        table: float64 ``(N, 2 + C + K)``: anomaly, probabilities, severity, contributions.
        classes: ``C``.
        failures: index to error, for readings whose result is withheld.
    """

    table: NDArray[np.float64]
    classes: int
    failures: dict[int, InferenceError]

    @property
    def anomaly(self) -> NDArray[np.float64]:
        """``(N,)``, 1 at the calibrated threshold."""
        return self.table[:, 0]

    @property
    def probability(self) -> NDArray[np.float64]:
        """``(N, C)`` in the manifest's class order."""
        return self.table[:, 1 : 1 + self.classes]

    @property
    def severity(self) -> NDArray[np.float64]:
        """``(N,)``, 0..1."""
        return self.table[:, 1 + self.classes]

    @property
    def contribution(self) -> NDArray[np.float64]:
        """``(N, K)`` in the manifest's band order."""
        return self.table[:, 2 + self.classes :]

    @property
    def band(self) -> NDArray[np.intp]:
        """``(N,)``, column of the strongest contribution to the anomaly."""
        if not self.contribution.size:
            return np.full(len(self.table), -1, dtype=np.intp)
        return np.where(np.isnan(self.anomaly), -1, self.contribution.argmax(axis=1))


def score(
    readings: Sequence[Reading], operating: NDArray[np.float32], nameplate: NDArray[np.float32], models: Models
) -> Scores:
    """Scores of readings that passed ``window.check_sampling``.

    Args:
        readings: ``N`` readings, with or without vibration.
        operating: float32 ``(N, 6)``.
        nameplate: float32 ``(N, 9)``.
        models: the bundle that runs.
    """
    classes = len(models.manifest.classes)
    table = np.empty((len(readings), 2 + classes + len(models.manifest.bands)))
    table.fill(np.nan)
    scores = Scores(table, classes, {})
    for chunk in _chunks(readings, models.manifest.window):
        _score_chunk(chunk, readings, operating, nameplate, models, scores)
    return scores


def _chunks(readings: Sequence[Reading], window: WindowSpec) -> Iterator[list[int]]:
    chunk: list[int] = []
    rows = 0
    for index, reading in enumerate(readings):
        if not reading.accel_m_s2:
            continue
        count = row_count(reading, window)
        if chunk and rows + count > MAX_ROWS:
            yield chunk
            chunk, rows = [], 0
        chunk.append(index)
        rows += count
    if chunk:
        yield chunk


def _score_chunk(
    chunk: list[int],
    readings: Sequence[Reading],
    operating: NDArray[np.float32],
    nameplate: NDArray[np.float32],
    models: Models,
    scores: Scores,
) -> None:
    everything = len(chunk) == len(readings)
    rows = pack([readings[index] for index in chunk], models.manifest.window)
    fs_hz = np.array([readings[index].fs_hz for index in chunk], dtype=np.float32)
    source = slice(None) if everything and rows.alone else np.array(chunk, dtype=np.intp)[rows.owner]
    feeds = {
        "accel_m_s2": rows.accel_m_s2,
        "samples": rows.samples,
        "fs_hz": fs_hz if rows.alone else fs_hz[rows.owner],
        "operating": operating[source],
        "nameplate": nameplate[source],
    }
    try:
        if MERGED in models.manifest.graphs:
            found = named = models.run(MERGED, feeds)
        else:
            found = models.run("anomaly", feeds)
            named = models.run("classifier", feeds)
    except InferenceError as error:
        if len(chunk) == 1:
            scores.failures[chunk[0]] = error
            return
        # One reading must not take its neighbours along: halve until it stands alone.
        middle = len(chunk) // 2
        for half in (chunk[:middle], chunk[middle:]):
            _score_chunk(half, readings, operating, nameplate, models, scores)
        return
    classes = scores.classes
    columns = (found["anomaly"][:, None], named["probability"], named["severity"][:, None], found["contribution"])
    table = np.concatenate(columns, axis=1, dtype=np.float64)
    fractions = table[:, 1 : 2 + classes]
    if not (fractions.min() >= 0.0 and fractions.max() <= 1.0):
        fractions[np.abs(fractions - 0.5) > 0.5 + _SLACK] = np.nan
        np.clip(fractions, 0.0, 1.0, out=fractions)
    if not rows.alone:
        table = _reduced(table, slice(1, 1 + classes), rows.axis_starts, rows.reading_starts)
    finite = np.isfinite(table)
    if not finite.all():
        sound = finite.all(axis=1)
        table[~sound] = np.nan
        for index in np.flatnonzero(~sound):
            scores.failures[chunk[index]] = InferenceError(
                "anomaly and classifier: an output is not finite, or a fraction is outside 0..1; "
                "the reading's result is withheld"
            )
    scores.table[slice(None) if everything else chunk] = table


def _reduced(
    rows: NDArray[np.float64],
    probabilities: slice,
    axis_starts: NDArray[np.intp],
    reading_starts: NDArray[np.intp],
) -> NDArray[np.float64]:
    """One row for each axis, then the maximum over each reading's axes: ``(R, Q)`` to ``(N, Q)``."""
    if len(axis_starts) != len(rows):
        sizes = np.diff(axis_starts, append=len(rows))
        means = np.add.reduceat(rows, axis_starts, axis=0) / sizes[:, None]
        for axis in np.flatnonzero(sizes > 1):
            start = axis_starts[axis]
            means[axis, probabilities] = pooled(rows[start : start + sizes[axis], probabilities])
        rows = means
    return rows if len(reading_starts) == len(rows) else np.maximum.reduceat(rows, reading_starts, axis=0)
