"""How long parts live: Weibull under stress, exposure adding up over load, speed and temperature.

A part that lived ``dt`` under stress has used ``dt / eta(stress)`` of its scale; with the exposure ``x`` so far::

    S(x) = exp(-x^beta)                      survival
    h(x) = pdf / S = beta x^(beta - 1)       hazard per unit of exposure
    F^-1(p) = (-ln(1 - p))^(1 / beta)        exposure at which a share p has failed

(cumulative exposure: Nelson, Accelerated Testing, ch. 10). Scales under stress:

* bearing: ISO 281 basic rating life L10 = (C / P)^3 10^6 / (60 n) h, and eta = L10 / (-ln 0.9)^(1 / beta);
* winding: life halves for every 10 K above the temperature of its insulation class (Montsinger's form of Arrhenius);
* everything else: a scale in hours that load shortens by a power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.parameter import Values, check, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEARING_EXPONENT = 3.0
"""ISO 281, ball bearings."""

TENTH = -np.log(0.9)
"""Cumulated hazard at which 10 % have failed."""

LEAST_LOAD = 0.05
"""Bearings carry rotor and belt even when the motor idles; share of rated load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weibull:
    """Life in units of its scale. ``shape`` is beta."""

    shape: Values = parameter(1.5, "1", limits=(0.5, 10.0), source="1 chance, 1.1-1.5 bearings, 2-6 wear and ageing")

    def __post_init__(self) -> None:
        check(self)

    def survival(self, x: Values) -> Values:
        """Share that lives beyond the exposure ``x``."""
        return np.asarray(np.exp(-(np.asarray(x) ** self.shape)))

    def cdf(self, x: Values) -> Values:
        """Share that has failed by the exposure ``x``."""
        return np.asarray(-np.expm1(-(np.asarray(x) ** self.shape)))

    def pdf(self, x: Values) -> Values:
        """Density of failures over exposure."""
        return self.hazard(x) * self.survival(x)

    def hazard(self, x: Values) -> Values:
        """Failures per unit of exposure among those that live: pdf / survival."""
        return np.asarray(self.shape * np.asarray(x) ** (self.shape - 1.0))

    def quantile(self, share: Values) -> Values:
        """Exposure at which ``share`` has failed."""
        return np.asarray((-np.log1p(-np.asarray(share))) ** (1.0 / self.shape))

    def drawn(self, rng: np.random.Generator, count: int) -> Values:
        """Exposures at which ``count`` parts fail."""
        return self.quantile(rng.random(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """What shortens lives. Scalars or shape ``(n,)``."""

    dynamic_ratio: Values = parameter(
        12.0, "1", limits=(1.0, 100.0), spread=(9.0, 16.0), source="C / P at rated load; makers size for 10-20"
    )
    winding_h: Values = parameter(
        20_000.0, "h", limits=(100.0, 1e6), source="IEC 60216: thermal class temperature holds for 20 000 h"
    )
    winding_class_c: Values = parameter(
        155.0, "degC", limits=(90.0, 250.0), source="IEC 60085, class F; usual duty stays 20-50 K below"
    )
    halving_k: Values = parameter(10.0, "K", limits=(5.0, 20.0), source="Montsinger 1930; IEEE 1 gives 8-12 K")
    rotor_h: Values = parameter(
        60_000.0, "h", limits=(100.0, 1e6), source="imbalance, alignment and fit in pumps and fans, 5-10 years"
    )
    rotor_exponent: Values = parameter(1.0, "1", limits=(0.0, 5.0), source="wear of couplings and feet with torque")

    def __post_init__(self) -> None:
        check(self)

    def bearing_l10_h(self, load: Values, speed_rpm: Values) -> Values:
        """Basic rating life in hours at a load (share of rated) and speed."""
        ratio = self.dynamic_ratio / np.maximum(load, LEAST_LOAD)
        return np.asarray(ratio**BEARING_EXPONENT * 1e6 / (60.0 * np.asarray(speed_rpm)))

    def bearing_h(self, load: Values, speed_rpm: Values, life: Weibull) -> Values:
        """Scale eta of the bearing in hours: 10 % have failed at L10."""
        return np.asarray(self.bearing_l10_h(load, speed_rpm) / TENTH ** (1.0 / life.shape))

    def insulation_h(self, winding_c: Values) -> Values:
        """Scale of the winding in hours at a temperature."""
        return np.asarray(self.winding_h * 2.0 ** ((self.winding_class_c - np.asarray(winding_c)) / self.halving_k))

    def mounting_h(self, load: Values) -> Values:
        """Scale of alignment, balance and fit in hours at a load."""
        return np.asarray(self.rotor_h / np.maximum(load, LEAST_LOAD) ** self.rotor_exponent)


def exposure(scale_h: NDArray[np.float64], step_h: float) -> Values:
    """Exposure so far over even steps under changing stress, ``(..., T)`` from ``(..., T)`` scales."""
    used: Values = np.cumsum(step_h / scale_h, axis=-1)
    return used
