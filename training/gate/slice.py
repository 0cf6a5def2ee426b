"""One figure of two bundles, paired by what was judged, and the interval of its change."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from training.gate.limit import limit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95
"""Of all slices together: each interval's own level is raised by Bonferroni's inequality."""
DRAWS = 5000
_PART = 250
ROUNDING = 1e-9

Verdict = Literal["worse", "same", "better", "poor"]


@dataclass(frozen=True, slots=True)
class Slice:
    """A mean over units, ``sum(total) / sum(weight)``, for both bundles.

    Attributes:
        name: like ``inner_race.recall``.
        what: what is counted on what, in words.
        higher_is_better: which direction is which.
        margin: a change for the worse beyond it is refused even where the interval does not exclude chance; a share of
            the champion's figure where ``relative``.
        champion: ``(G,)`` sums of each unit (a motor, a recording).
        candidate: ``(G,)``.
        weight: ``(G,)`` how much each unit counts, like its number of windows.
        relative: whether the margin is a share.
    """

    name: str
    what: str
    higher_is_better: bool
    margin: float
    champion: Floats
    candidate: Floats
    weight: Floats
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A slice's figures and what became of it; ``change`` is candidate less champion, with its interval.

    ``limit`` holds whatever the champion does (``training.gate.limit``); None where none is known or asked for.
    """

    name: str
    what: str
    better: Literal["higher", "lower"]
    units: int
    champion: float | None
    candidate: float | None
    change: float
    lo: float
    hi: float
    margin: float
    verdict: Verdict
    limit: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the slice lets the candidate through."""
        return self.verdict not in ("worse", "poor")


def summed(
    name: str,
    what: str,
    owner: NDArray[np.generic],
    champion: NDArray[np.generic],
    candidate: NDArray[np.generic],
    *,
    higher_is_better: bool,
    margin: float,
) -> Slice:
    """A slice from rows ``(n,)`` that belong to units ``owner`` ``(n,)``."""
    _, at = np.unique(owner, return_inverse=True)
    weight = np.bincount(at).astype(np.float64)
    theirs, ours = (
        np.bincount(at, rows.astype(np.float64), minlength=len(weight)).astype(np.float64)
        for rows in (champion, candidate)
    )
    return Slice(name, what, higher_is_better, margin, theirs, ours, weight)


def judge(slices: Sequence[Slice], *, limits: bool = False) -> list[Judged]:
    """Every slice with its interval at the level that all of them share; those without any unit are left out.

    Args:
        slices: the figures.
        limits: whether the candidate must also keep the limits that hold whatever the champion does.
    """
    judged = [one for one in slices if one.weight.sum() > 0.0]
    tail = (1.0 - LEVEL) / (2.0 * max(len(judged), 1))
    return [_judged(one, tail, limits=limits) for one in judged]


def _judged(one: Slice, tail: float, *, limits: bool) -> Judged:
    champion, candidate = (float(side.sum() / one.weight.sum()) for side in (one.champion, one.candidate))
    change = candidate - champion
    lo, hi = _interval(one.candidate - one.champion, one.weight, tail, zlib.crc32(one.name.encode()))
    margin = one.margin * abs(champion) if one.relative else one.margin
    sign = 1.0 if one.higher_is_better else -1.0
    worst, best = sorted((sign * lo, sign * hi))
    verdict: Verdict = "same"
    # not (a >= b), so that a change that is no number is refused too
    if best < -ROUNDING or not sign * change >= -margin - ROUNDING:
        verdict = "worse"
    elif worst > ROUNDING:
        verdict = "better"
    limit = limit_of(one.name) if limits else None
    if limit is not None and verdict != "worse" and limit.broken_by(candidate):
        verdict = "poor"
    return Judged(
        name=one.name,
        what=one.what,
        better="higher" if one.higher_is_better else "lower",
        units=int((one.weight > 0.0).sum()),
        champion=champion,
        candidate=candidate,
        change=change,
        lo=lo,
        hi=hi,
        margin=margin,
        verdict=verdict,
        limit=None if limit is None else limit.value,
    )


def _interval(difference: Floats, weight: Floats, tail: float, seed: int) -> tuple[float, float]:
    """Percentile bootstrap of ``sum(difference) / sum(weight)`` over units; NaN where a unit has no number."""
    counts = weight > 0.0
    difference, weight = difference[counts], weight[counts]
    units = len(weight)
    rng = np.random.default_rng(seed)
    found = np.empty(DRAWS)
    for start in range(0, DRAWS, _PART):
        drawn = rng.integers(0, units, (min(_PART, DRAWS - start), units))
        found[start : start + len(drawn)] = difference[drawn].sum(axis=1) / weight[drawn].sum(axis=1)
    # a NaN among the draws makes both ends NaN, and the slice is refused by its change
    lo, hi = np.quantile(found, [tail, 1.0 - tail])
    return float(lo), float(hi)
