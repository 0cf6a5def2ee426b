"""Three-phase induction motor in steady state: nameplate in; slip, current and losses out for any shaft load.

Per-phase equivalent circuit with the magnetising branch at the terminals (approximate or Gamma circuit; Chapman,
Electric Machinery Fundamentals, 5th ed., ch. 6; Fitzgerald, Electric Machinery, 6th ed., ch. 6)::

    I1 = V / R_fe + V / (j X_m) + I2          I2 = V / (R1 + R2 / s + j X)
    P_gap = 3 I2^2 R2 / s                     T_em = P_gap / w_s
    T_max = 3 V^2 / (2 w_s (R1 + sqrt(R1^2 + X^2)))

In this circuit the rated point and the breakdown torque fix every element in closed form, and so does the slip at a
given torque, hence whole populations are solved at once and input = shaft + losses holds to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.parameter import OutOfRangeError, Values, check, parameter

LINE_VOLTAGE_V = 400.0

BOOST = 2.0
"""Voltage boost of a drive at standstill, in resistive drops at rated torque: enough to start a loaded machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What the plate says, and what a maker's data sheet adds. Scalars or shape ``(n,)``."""

    power_w: Values = parameter(1500.0, "W", limits=(50.0, 5e6), source="nameplate")
    speed_rpm: Values = parameter(1445.0, "1/min", limits=(100.0, 20_000.0), source="nameplate")
    supply_hz: Values = parameter(50.0, "Hz", limits=(5.0, 400.0), source="nameplate")
    poles: Values = parameter(4.0, "1", limits=(2.0, 48.0), source="nameplate")
    voltage_v: Values = parameter(LINE_VOLTAGE_V, "V", limits=(24.0, 15_000.0), source="IEC 60038, line to line")
    efficiency: Values = parameter(0.853, "1", limits=(0.3, 0.995), source="IEC 60034-30-1, IE3")
    power_factor: Values = parameter(0.80, "1", limits=(0.3, 0.98), source="makers' data sheets")
    breakdown_ratio: Values = parameter(
        2.9, "1", limits=(1.5, 6.0), spread=(2.3, 3.6), source="IEC 60034-1 asks 1.6 at least; data sheets 2.3-3.6"
    )
    iron_share: Values = parameter(
        0.20, "1", limits=(0.02, 0.6), spread=(0.15, 0.24), source="share of losses; IEC 60034-31, fig. on loss split"
    )
    friction_share: Values = parameter(
        0.08, "1", limits=(0.005, 0.4), spread=(0.05, 0.11), source="share of losses; IEC 60034-31"
    )

    def __post_init__(self) -> None:
        check(self)
        slip = self.slip
        if np.any(slip <= 0.0) or np.any(slip > 0.2):
            raise OutOfRangeError(
                f"Rating.speed_rpm={float(np.ravel(self.speed_rpm)[0]):g} 1/min: must lie within 80..100 % (exclusive) "
                f"of the synchronous speed 120 supply_hz / poles = {float(np.ravel(self.synchronous_rpm)[0]):g}"
            )

    @property
    def synchronous_rpm(self) -> Values:
        """120 f / poles."""
        return 120.0 * self.supply_hz / self.poles

    @property
    def slip(self) -> Values:
        """Rated slip, fraction of synchronous speed."""
        return 1.0 - self.speed_rpm / self.synchronous_rpm

    @property
    def current_a(self) -> Values:
        """Rated line current in A."""
        current: Values = self.power_w / (self.efficiency * self.power_factor * np.sqrt(3.0) * self.voltage_v)
        return current

    @property
    def torque_n_m(self) -> Values:
        """Rated shaft torque in N m."""
        return self.power_w / (2.0 * np.pi * self.speed_rpm / 60.0)

    @property
    def stator_copper_w(self) -> Values:
        """Stator copper loss at the rated point, W: what the other losses leave."""
        loss_w = self.power_w * (1.0 / self.efficiency - 1.0)
        friction_w = self.friction_share * loss_w
        rotor_w = (self.power_w + friction_w) * self.slip / (1.0 - self.slip)
        return (1.0 - self.iron_share) * loss_w - friction_w - rotor_w

    @property
    def breakdown_limit(self) -> Values:
        """The highest breakdown ratio this plate allows, that of a motor without leakage: 1 / (4 r (1 - r))."""
        loss_w = self.power_w * (1.0 / self.efficiency - 1.0)
        r = self.stator_copper_w / (self.power_w / self.efficiency - self.iron_share * loss_w)
        return 1.0 / (4.0 * r * (1.0 - r))


@dataclass(frozen=True, slots=True)
class Operation:
    """A steady operating point. Every field has the broadcast shape of circuit and load."""

    slip: Values
    speed_rpm: Values
    torque_n_m: Values
    current_a: Values
    power_factor: Values
    input_w: Values
    shaft_w: Values
    stator_copper_w: Values
    rotor_copper_w: Values
    iron_w: Values
    friction_w: Values

    @property
    def loss_w(self) -> Values:
        """All losses in W."""
        return self.stator_copper_w + self.rotor_copper_w + self.iron_w + self.friction_w


@dataclass(frozen=True, slots=True)
class Circuit:
    """Elements of the equivalent circuit per phase at rated frequency; ohm, V, Hz, N m."""

    R1: Values
    R2: Values
    X: Values
    X_m: Values
    R_fe: Values
    friction_n_m: Values
    rated_torque_n_m: Values
    phase_v: Values
    supply_hz: Values
    pole_pairs: Values

    @classmethod
    def of(cls, rating: Rating) -> Circuit:
        """The circuit that meets the rated point and the breakdown torque exactly.

        With A = I2 cos(phi2), r = R1 / (R1 + R2/s) and q = 1 / (2 k (1 - r)), the ratio k of breakdown to rated torque
        gives y = cos^2(phi2) as the larger root of y^2 - (1 + 2 q r) y + q^2 = 0.

        Raises:
            OutOfRangeError: the plate contradicts itself (losses or reactive power would be negative).
        """
        V = rating.voltage_v / np.sqrt(3.0)
        s = rating.slip
        input_w = rating.power_w / rating.efficiency
        loss_w = input_w - rating.power_w
        iron_w = rating.iron_share * loss_w
        friction_w = rating.friction_share * loss_w
        stator_w = rating.stator_copper_w
        if np.any(stator_w <= 0.02 * loss_w):
            raise OutOfRangeError(
                "Rating.efficiency: the rated slip alone costs more than the stated losses leave; "
                "lower efficiency or raise speed_rpm"
            )
        if np.any(rating.breakdown_ratio > rating.breakdown_limit):
            limit = float(np.min(rating.breakdown_limit))
            raise OutOfRangeError(f"Rating.breakdown_ratio: the stator's resistance allows {limit:.3g} at most")
        A = (input_w - iron_w) / (3.0 * V)
        r = stator_w / (input_w - iron_w)
        q = 0.5 / (rating.breakdown_ratio * (1.0 - r))
        b = 1.0 + 2.0 * q * r
        y = 0.5 * (b + np.sqrt(b * b - 4.0 * q * q))
        tan_phi2 = np.sqrt(np.maximum(1.0 - y, 0.0) / y)  # y exceeds 1 by rounding only, see breakdown_limit
        R = V * y / A
        magnetising_var = input_w * np.sqrt(1.0 / rating.power_factor**2 - 1.0) - 3.0 * V * A * tan_phi2
        if np.any(magnetising_var <= 0.0):
            raise OutOfRangeError("Rating.power_factor: too high for this breakdown_ratio; lower one of them")
        omega = 2.0 * np.pi * rating.speed_rpm / 60.0
        return cls(
            R1=r * R,
            R2=(1.0 - r) * R * s,
            X=R * tan_phi2,
            X_m=3.0 * V * V / magnetising_var,
            R_fe=3.0 * V * V / iron_w,
            friction_n_m=friction_w / omega,
            rated_torque_n_m=rating.torque_n_m,
            phase_v=V,
            supply_hz=rating.supply_hz,
            pole_pairs=rating.poles / 2.0,
        )

    def voltage_share(self, frequency: float | Values) -> Values:
        """A drive's voltage over rated: volts per hertz, boosted by the resistive drop when slow, line at most."""
        drop = (
            self.R1 * self.rated_torque_n_m * 2.0 * np.pi * self.supply_hz / self.pole_pairs / (3.0 * self.phase_v**2)
        )
        share: Values = np.minimum(frequency + BOOST * drop * np.maximum(1.0 - frequency, 0.0), 1.0)
        return share

    def torque_n_m(self, slip: Values, *, frequency: float | Values = 1.0) -> Values:
        """Electromagnetic torque in N m at a slip; ``frequency`` as in ``operate``."""
        V = self.phase_v * self.voltage_share(frequency)
        X = self.X * frequency
        omega_s = 2.0 * np.pi * self.supply_hz * frequency / self.pole_pairs
        u = self.R2 / slip
        return 3.0 * V * V * u / (omega_s * ((self.R1 + u) ** 2 + X**2))

    def operate(self, load: float | Values, *, frequency: float | Values = 1.0) -> Operation:
        """Steady operation.

        Args:
            load: shaft torque as a fraction of rated torque, 0 or more.
            frequency: drive frequency as a fraction of supply_hz; 1 is direct on line.

        Raises:
            OutOfRangeError: the load exceeds the breakdown torque (the motor would stall).
        """
        load = np.asarray(load, dtype=np.float64)
        V = self.phase_v * self.voltage_share(frequency)
        X = self.X * frequency
        X_m = self.X_m * frequency
        omega_s = 2.0 * np.pi * self.supply_hz * frequency / self.pole_pairs
        gap_w = (load * self.rated_torque_n_m + self.friction_n_m) * omega_s
        # gap_w ((R1 + u)^2 + X^2) = 3 V^2 u, u = R2 / s: the larger root is the stable branch.
        half_b = 1.5 * V * V / gap_w - self.R1
        radicand = half_b * half_b - (self.R1**2 + X**2)
        if np.any(radicand < 0.0) or np.any(half_b < 0.0):
            raise OutOfRangeError(f"load={float(np.max(load)):g}: exceeds the breakdown torque, the motor stalls")
        u = half_b + np.sqrt(radicand)
        s = self.R2 / u
        I2 = V / (self.R1 + u + 1j * X)
        I1 = V / self.R_fe + V / (1j * X_m) + I2
        I2_squared = np.abs(I2) ** 2
        speed_rpm = (1.0 - s) * 60.0 * omega_s / (2.0 * np.pi)
        omega = 2.0 * np.pi * speed_rpm / 60.0
        return Operation(
            slip=s,
            speed_rpm=speed_rpm,
            torque_n_m=load * self.rated_torque_n_m,
            current_a=np.abs(I1),
            power_factor=np.real(I1) / np.abs(I1),
            input_w=3.0 * V * np.real(I1),
            shaft_w=load * self.rated_torque_n_m * omega,
            stator_copper_w=3.0 * I2_squared * self.R1,
            rotor_copper_w=3.0 * I2_squared * self.R2,
            iron_w=3.0 * V * V / self.R_fe * np.ones_like(s),
            friction_w=self.friction_n_m * omega,
        )
