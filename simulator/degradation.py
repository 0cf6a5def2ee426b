"""How severity grows: nothing until onset, then an exponential or a crack-like path with random effects to failure.

With u from 0 at onset to 1 at failure::

    exponential   s = (exp(k u) - 1) / (exp(k) - 1)                     Gebraeel et al., IIE Trans. 37 (2005) 543-557
    crack         s = ((1 - c u)^-p - 1) / ((1 - c)^-p - 1)             Paris' law integrated, exponent p = 2 / (m - 2)

u itself is a gamma process rather than time, so two motors with the same parameters differ and a path is monotone until
it is repaired (van Noortwijk, Reliab. Eng. Syst. Saf. 94 (2009) 2-21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.contract.faults import TAUGHT
from simulator.parameter import OutOfRangeError, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

Law = Literal["exponential", "crack"]

KNOTS = 65
"""Points of the random clock from onset to failure."""

CRACK_REACH = 0.97
"""Share c of the critical life at which the crack path counts as failed; 1 would be infinitely steep."""


def clocks(rng: np.random.Generator, count: int, roughness: Values) -> Values:
    """Random clocks u at ``KNOTS`` even times from onset to failure, from 0 to 1, monotone; ``(count, KNOTS)``.

    Gamma increments with a coefficient of variation ``roughness`` each; 0 gives the straight line.
    """
    shape = 1.0 / np.maximum(roughness, 1e-3) ** 2
    steps = rng.gamma(shape[:, None], size=(count, KNOTS - 1)) + 1e-9
    clock: Values = np.concatenate([np.zeros((count, 1)), np.cumsum(steps, axis=1)], axis=1)
    return clock / clock[:, -1:]


def exponential(u: Values, k: Values) -> Values:
    """The exponential path; k > 0."""
    s: Values = np.expm1(k * u) / np.expm1(k)
    return s


def crack(u: Values, p: Values) -> Values:
    """The crack-like path; p > 0."""
    s: Values = ((1.0 - CRACK_REACH * u) ** -p - 1.0) / ((1.0 - CRACK_REACH) ** -p - 1.0)
    return s


@dataclass(frozen=True, slots=True)
class Paths:
    """One growing fault per motor, ``m`` of them.

    ``fault`` int (m,) is the column of ``TAUGHT``; ``onset_s`` and ``failure_s`` (m,) are inf for motors that stay
    healthy; ``knots`` (m, KNOTS) are severities at even times from onset to failure.
    """

    fault: NDArray[np.intp]
    onset_s: Values
    failure_s: Values
    knots: Values

    @classmethod
    def drawn(cls, rng: np.random.Generator, count: int, span_s: float, healthy_share: float = 0.2) -> Paths:
        """Random faults: onset anywhere in the first 70 % of the span, life from onset 10-120 % of the span."""
        healthy = rng.random(count) < healthy_share
        onset = rng.uniform(0.02, 0.7, count) * span_s
        life = rng.uniform(0.1, 1.2, count) * span_s
        return cls(
            fault=rng.integers(0, len(TAUGHT), count),
            onset_s=np.where(healthy, np.inf, onset),
            failure_s=np.where(healthy, np.inf, onset + life),
            knots=severities(rng, count),
        )

    def severity(self, ts_s: NDArray[np.float64]) -> Values:
        """Severities at the times ``(T,)``: ``(m, T, len(TAUGHT))``."""
        out = np.zeros((len(self.fault), ts_s.size, len(TAUGHT)))
        for row, (fault, onset, failure) in enumerate(zip(self.fault, self.onset_s, self.failure_s, strict=True)):
            if np.isfinite(onset):
                out[row, :, fault] = grown(ts_s, onset, failure, self.knots[row])
        return out


def severities(rng: np.random.Generator, count: int, law: Law | None = None) -> Values:
    """Severity at ``KNOTS`` even times from onset to failure, ``(count, KNOTS)``, 0 to 1; law None draws it too."""
    u = clocks(rng, count, rng.uniform(0.1, 0.9, count))
    k, p = rng.uniform(1.0, 4.5, (count, 1)), rng.uniform(0.15, 0.8, (count, 1))
    chosen = rng.random((count, 1)) < 0.5 if law is None else np.full((count, 1), law == "exponential")
    return np.where(chosen, exponential(u, k), crack(u, p))


def grown(ts_s: NDArray[np.float64], onset_s: float, failure_s: float, knots: Values) -> Values:
    """Severity at times ``(T,)`` of one path: 0 before onset, 1 from failure on.

    Raises:
        OutOfRangeError: failure does not come after onset.
    """
    if not failure_s > onset_s:
        raise OutOfRangeError(f"failure_s={failure_s:g}: must lie after onset_s={onset_s:g}")
    return np.interp((ts_s - onset_s) / (failure_s - onset_s), np.linspace(0.0, 1.0, KNOTS), knots)


def course(
    at_h: NDArray[np.float64],
    onset_h: float,
    failure_h: float | None,
    severity: float | None,
    repair_h: float | None,
    *,
    law: Law | None,
    rng: np.random.Generator,
) -> Values:
    """Severity of one planned fault at times ``(T,)``: it grows to failure or stays at ``severity``; repair ends it."""
    knots = severities(rng, 1, law)[0]
    if failure_h is not None:
        level = grown(at_h, onset_h, failure_h, knots)
    else:
        level = np.where(at_h >= onset_h, severity or 0.0, 0.0)
    return level if repair_h is None else np.where(at_h < repair_h, level, 0.0)
