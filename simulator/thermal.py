"""Thermal network of winding, housing with stator iron, and rotor with bearings, against ambient; solved exactly.

    C_w dT_w/dt = P_w (1 + a (T_w - T_ref)) - G_wh (T_w - T_h)
    C_h dT_h/dt = P_h + G_wh (T_w - T_h) - c G_ha (T_h - T_a)
    tau_b dT_b/dt = T_h + R_b P_b - T_b

P_w is the stator copper loss, which grows with the winding's temperature, P_h every other loss, c in (0, 1] what is
left of the cooling. Rotor and bearings hang on the housing: their heat P_b (friction and rotor copper, part of P_h)
ends there, and what they store is left out of the housing's balance. The network is linear between steps, so x(t) =
x_inf + exp(A t) (x_0 - x_inf) is exact for any step (Mellor, Roberts and Turner, IEE Proc. B 138 (1991) 205-218,
reduced; IEC 60034-29 for the time constants).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.parameter import Values, check, parameter

COPPER_PER_K = 0.00393
"""Temperature coefficient of copper's resistance at 20 degC, 1/K (IEC 60028)."""

REFERENCE_AMBIENT_C = 25.0
"""Ambient at which the rated rises are stated here, degC."""

LOOP_GAIN_MAX = 0.5
"""Above this gain of heat on resistance on heat a real winding has been tripped or burnt; the coefficient is capped."""


class Temperatures(NamedTuple):
    """Winding and housing temperature, degC."""

    winding_c: Values
    housing_c: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What the network is made from. Scalars or shape ``(n,)``."""

    winding_rise_k: Values = parameter(
        75.0,
        "K",
        limits=(5.0, 200.0),
        spread=(55.0, 95.0),
        source="IEC 60034-1, class B use of class F: 80 K by resistance",
    )
    housing_share: Values = parameter(
        0.5,
        "1",
        limits=(0.1, 0.95),
        spread=(0.42, 0.60),
        source="housing rise over winding rise; data sheets, fan cooled",
    )
    mass_factor: Values = parameter(
        1.0, "1", limits=(0.2, 5.0), spread=(0.8, 1.25), law="log", source="mass against 14 kg (P/kW)^0.87, catalogues"
    )
    winding_mass_share: Values = parameter(
        0.10, "1", limits=(0.02, 0.3), spread=(0.08, 0.14), source="copper and slot iron that follow the winding"
    )

    bearing_rise_k: Values = parameter(
        15.0, "K", limits=(0.0, 80.0), source="drive-end bearing over housing at rated load; makers say 10-20 K"
    )
    bearing_tau_s: Values = parameter(
        900.0, "s", limits=(10.0, 1e5), source="rotor and bearings behind the housing, a third of the whole motor's"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Thermal:
    """The network: heat capacities in J/K, conductances in W/K, reference of the copper loss in degC."""

    C_w: Values
    C_h: Values
    G_wh: Values
    G_ha: Values
    reference_c: Values

    @classmethod
    def of(cls, body: Body, power_w: Values, winding_w: Values, housing_w: Values) -> Thermal:
        """The network whose steady rises at the given rated losses (W) are the body's."""
        housing_rise_k = body.housing_share * body.winding_rise_k
        mass_kg = 14.0 * (power_w / 1000.0) ** 0.87 * body.mass_factor
        return cls(
            C_w=mass_kg * body.winding_mass_share * 400.0,
            C_h=mass_kg * (1.0 - body.winding_mass_share) * 500.0,
            G_wh=winding_w / (body.winding_rise_k - housing_rise_k),
            G_ha=(winding_w + housing_w) / housing_rise_k,
            reference_c=REFERENCE_AMBIENT_C + body.winding_rise_k,
        )

    def steady(
        self, winding_w: Values, housing_w: Values, ambient_c: float | Values, cooling: float | Values = 1.0
    ) -> Temperatures:
        """Temperatures after a long time at constant losses, in closed form."""
        a_w, p_w = self._copper(winding_w, cooling)
        G_c = self.G_ha * cooling
        # G_wh (T_w - T_h) = p_w + a_w T_w and G_c (T_h - T_a) = P_h + p_w + a_w T_w
        T_w = (p_w / self.G_wh + (housing_w + p_w) / G_c + ambient_c) / (1.0 - a_w / self.G_wh - a_w / G_c)
        return Temperatures(T_w, T_w - (p_w + a_w * T_w) / self.G_wh)

    def step(
        self,
        before: Temperatures,
        dt_s: float | Values,
        winding_w: Values,
        housing_w: Values,
        ambient_c: float | Values,
        cooling: float | Values = 1.0,
    ) -> Temperatures:
        """Temperatures ``dt_s`` later at constant losses; exact for any ``dt_s``."""
        final = self.steady(winding_w, housing_w, ambient_c, cooling)
        a, b, c, d = self._matrix(winding_w, cooling)
        fast, slow = self._eigenvalues(a, b, c, d)
        e_fast, e_slow = np.exp(fast * dt_s), np.exp(slow * dt_s)
        # exp(A t) = e_slow I + (e_fast - e_slow) / (fast - slow) (A - slow I)
        mix = (e_fast - e_slow) / (fast - slow)
        w = before.winding_c - final.winding_c
        h = before.housing_c - final.housing_c
        return Temperatures(
            final.winding_c + e_slow * w + mix * ((a - slow) * w + b * h),
            final.housing_c + e_slow * h + mix * (c * w + (d - slow) * h),
        )

    @staticmethod
    def bearing_step(
        body: Body, before_c: Values, dt_s: float | Values, housing_c: tuple[Values, Values], heat_share: Values
    ) -> Values:
        """Bearing temperature ``dt_s`` later, degC, while the housing goes straight from one temperature to the other.

        ``heat_share`` is friction and rotor copper over theirs at the rated point. Exact for such a housing.
        """
        first, last = housing_c
        slope = (last - first) / dt_s * body.bearing_tau_s
        over = body.bearing_rise_k * heat_share
        # A first-order lag follows a ramp one time constant behind.
        return np.asarray(last - slope + over + (before_c - first + slope - over) * np.exp(-dt_s / body.bearing_tau_s))

    def stored_j(self, temperatures: Temperatures) -> Values:
        """Heat stored above 0 degC, J."""
        return self.C_w * temperatures.winding_c + self.C_h * temperatures.housing_c

    def copper_w(self, winding_w: Values, winding_c: Values, cooling: float | Values = 1.0) -> Values:
        """Stator copper loss at a winding temperature, W; ``winding_w`` is the loss at the reference temperature."""
        a_w, p_w = self._copper(winding_w, cooling)
        return p_w + a_w * winding_c

    def tau_s(self, winding_w: Values) -> Values:
        """The slowest time constant at constant losses, s."""
        _, slow = self._eigenvalues(*self._matrix(winding_w, 1.0))
        return -1.0 / slow

    def _copper(self, winding_w: Values, cooling: float | Values) -> tuple[Values, Values]:
        """Slope (W/K) and intercept (W at 0 degC) of the copper loss."""
        gain_per_a = winding_w * (1.0 / self.G_wh + 1.0 / (self.G_ha * cooling))
        alpha = np.minimum(COPPER_PER_K / (1.0 + COPPER_PER_K * (self.reference_c - 20.0)), LOOP_GAIN_MAX / gain_per_a)
        return winding_w * alpha, winding_w * (1.0 - alpha * self.reference_c)

    def _matrix(self, winding_w: Values, cooling: float | Values) -> tuple[Values, Values, Values, Values]:
        a_w, _ = self._copper(winding_w, cooling)
        return (
            (a_w - self.G_wh) / self.C_w,
            self.G_wh / self.C_w,
            self.G_wh / self.C_h,
            -(self.G_wh + self.G_ha * cooling) / self.C_h,
        )

    @staticmethod
    def _eigenvalues(a: Values, b: Values, c: Values, d: Values) -> tuple[Values, Values]:
        """Both are real, since b c > 0; the faster (more negative) one first."""
        mean = 0.5 * (a + d)
        root = np.sqrt(0.25 * (a - d) ** 2 + b * c)
        return mean - root, mean + root
