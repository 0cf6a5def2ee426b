"""What the healthy steady state leaves out: unbalance, a lost phase, starting, load steps, and phase currents in time.

Symmetrical components of the circuit in ``simulator.circuit`` (Fitzgerald, Electric Machinery, 6th ed., ch. 6 and 9): a
positive sequence sees the slip s, a negative one 2 - s, and both pull on the same shaft::

    T = 3 / w_s (|V1 / Z1'|^2 R2 / s - |V2 / Z2'|^2 R2 / (2 - s))        Z' = R1 + R2 / s + j X

With one phase open and the star point free, I1 = -I2, hence the two sequences are in series across the line voltage.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.parameter import OutOfRangeError, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.circuit import Circuit

SLIPS = 4000
"""Slips between synchronous and standstill at which the balance of torques is looked up."""

LEAST_SLIP = 1e-5
TURN = np.exp(2j * np.pi / 3.0)

HARMONICS = ((5, 0.035), (7, 0.02), (11, 0.008), (13, 0.006))
"""Current harmonics of a six-pulse drive behind its filter over the fundamental, IEC 61800-3 installations."""


class Supply(NamedTuple):
    """Voltages of the two sequences over rated phase voltage. ``lost_phase`` overrules them."""

    positive: float = 1.0
    negative: float = 0.0
    lost_phase: bool = False


@dataclass(frozen=True, slots=True)
class Unsymmetrical:
    """A steady point on an unsymmetrical supply; phasors are per phase, peak reference is phase a's voltage."""

    slip: float
    speed_rpm: float
    torque_n_m: float
    line_a: NDArray[np.complex128]
    """RMS phasors of the three line currents, A."""
    copper_w: float
    ripple_n_m: float
    """Peak of the torque's swing at twice the line frequency, which shakes stator and shaft."""


def operate(circuit: Circuit, load: float, supply: Supply, frequency: float = 1.0) -> Unsymmetrical:
    """The steady point of one motor (scalars in the circuit) at a load, fraction of rated torque.

    Raises:
        OutOfRangeError: a supply that is none, or a load that stalls the motor on it.
    """
    if not (0.0 < supply.positive <= 1.2 and 0.0 <= supply.negative < supply.positive):
        raise OutOfRangeError(f"Supply: positive={supply.positive:g} must lie within 0..1.2 and above negative")
    slip = np.geomspace(LEAST_SLIP, 1.0, SLIPS)
    torque = _torque_n_m(circuit, slip, supply, frequency)
    wanted = load * float(circuit.rated_torque_n_m) + float(circuit.friction_n_m)
    peak = int(np.argmax(torque))
    if torque[peak] < wanted:
        raise OutOfRangeError(f"load={load:g}: exceeds what this supply can turn, the motor stalls")
    # The stable branch: torque rises with slip up to its peak.
    s = float(np.interp(wanted, torque[: peak + 1], slip[: peak + 1]))
    share = float(circuit.voltage_share(frequency))
    V1, V2 = (float(circuit.phase_v) * v for v in _sequences(circuit, s, supply, frequency, share))
    I1, I2 = V1 / _impedance(circuit, s, frequency), V2 / _impedance(circuit, 2.0 - s, frequency)
    rotor = [_rotor_current(circuit, v, x, frequency) for v, x in ((V1, s), (V2, 2.0 - s))]
    copper_w = 3.0 * float(sum(abs(i) ** 2 for i in rotor)) * float(circuit.R1 + circuit.R2)
    omega_s = _omega_s(circuit, frequency)
    return Unsymmetrical(
        slip=s,
        speed_rpm=(1.0 - s) * omega_s * 60.0 / (2.0 * np.pi),
        torque_n_m=wanted - float(circuit.friction_n_m),
        line_a=np.array([I1 + I2, TURN**2 * I1 + TURN * I2, TURN * I1 + TURN**2 * I2]),
        copper_w=copper_w,
        ripple_n_m=float(3.0 / omega_s * (abs(V1) * abs(rotor[1]) + abs(V2) * abs(rotor[0]))),
    )


def starting_torque_n_m(circuit: Circuit, supply: Supply) -> float:
    """Torque at standstill; none with a lost phase."""
    return float(_torque_n_m(circuit, np.array([1.0]), supply, 1.0)[0])


@dataclass(frozen=True, slots=True)
class Course:
    """Speed over time, ``(T,)`` each: s, 1/min, N m, A."""

    t_s: NDArray[np.float64]
    speed_rpm: NDArray[np.float64]
    torque_n_m: NDArray[np.float64]
    current_a: NDArray[np.float64]

    @property
    def turns(self) -> NDArray[np.float64]:
        """Angle of the shaft in turns, ``(T,)``."""
        steps = np.diff(self.t_s) * 0.5 * (self.speed_rpm[1:] + self.speed_rpm[:-1]) / 60.0
        return np.concatenate([[0.0], np.cumsum(steps)])


def course(
    circuit: Circuit,
    inertia_kg_m2: float,
    load_n_m: Callable[[float, float], float],
    *,
    seconds: float,
    step_s: float = 1e-3,
    speed_rpm: float = 0.0,
    frequency: Callable[[float], float] = lambda _: 1.0,
    supply: Supply = Supply(),  # noqa: B008 - a named tuple of numbers
) -> Course:
    """Run-up, load steps, ramps of a drive: J dw/dt = T_em - T_friction - T_load, electrically quasi-steady.

    Args:
        circuit: of one motor, scalars.
        inertia_kg_m2: motor and load, referred to the shaft.
        load_n_m: torque asked at (time in s, speed in 1/min).
        seconds: how long.
        step_s: Heun's step; well below the mechanical time constant.
        speed_rpm: at the start.
        frequency: a drive's frequency over rated at a time; 1 is direct on line.
        supply: symmetrical by default.
    """
    if not inertia_kg_m2 > 0.0 or not 0.0 < step_s <= seconds:
        raise OutOfRangeError(f"inertia_kg_m2={inertia_kg_m2:g}, step_s={step_s:g}: must be above 0, step_s <= seconds")
    t = np.arange(0.0, seconds + 0.5 * step_s, step_s)
    omega = np.empty(t.size)
    torque, current = np.empty(t.size), np.empty(t.size)
    omega[0] = speed_rpm * 2.0 * np.pi / 60.0
    # Plain numbers: an array of one costs ten times as much a step.
    numbers: dict[str, Any] = {f.name: float(getattr(circuit, f.name)) for f in fields(circuit)}
    one: Any = replace(circuit, **numbers)

    @cache
    def supplied(f: float) -> tuple[float, float]:
        return _omega_s(one, f), float(one.voltage_share(f))

    def pull(w: float, at: float) -> tuple[float, float]:
        f = frequency(at)
        omega_s, share = supplied(f)
        behind = 1.0 - w / omega_s
        # At synchronism the torque passes through zero: the circuit needs a slip that is not.
        slip = behind if abs(behind) > LEAST_SLIP else LEAST_SLIP
        V1, V2 = (one.phase_v * v for v in _sequences(one, slip, supply, f, share))
        return _pull_n_m(one, slip, V1, V2, f), abs(V1 / _impedance(one, slip, f))

    def accel(w: float, at: float, torque_n_m: float) -> float:
        drag = one.friction_n_m + load_n_m(at, w * 60.0 / (2.0 * np.pi))
        # A load at rest resists only as hard as it is pulled.
        return 0.0 if w <= 0.0 and torque_n_m < drag else (torque_n_m - drag) / inertia_kg_m2

    times = t.tolist()
    w = float(omega[0])
    for k, at in enumerate(times):
        omega[k] = w
        pulled, current[k] = pull(w, at)
        torque[k] = pulled
        if k + 1 == len(times):
            break
        first = accel(w, at, pulled)
        guess = max(w + step_s * first, 0.0)
        second = accel(guess, times[k + 1], pull(guess, times[k + 1])[0])
        w = max(w + 0.5 * step_s * (first + second), 0.0)
    return Course(t, omega * 60.0 / (2.0 * np.pi), torque, current)


def side_band_ratio(broken_bars: int, bars: int, pole_pairs: float) -> float:
    """Lower side band of the stator current over its fundamental with broken rotor bars.

    sin(alpha) / (2 p (2 pi - alpha)), alpha = 2 pi p n / N (Thomson and Fenger, IEEE Ind. Appl. Mag. 7 (2001) 26-34).
    """
    if not 0 <= broken_bars <= bars // 2 or bars < 3:
        raise OutOfRangeError(f"broken_bars={broken_bars}: must lie within 0..half of bars={bars}")
    alpha = 2.0 * np.pi * pole_pairs * broken_bars / bars
    return float(abs(np.sin(alpha)) / (2.0 * pole_pairs * (2.0 * np.pi - alpha)))


def phase_currents(
    circuit: Circuit,
    at: Unsymmetrical,
    fs_hz: float,
    samples: int,
    *,
    frequency: float = 1.0,
    broken_bars: int = 0,
    bars: int = 28,
    drive: bool = False,
    noise_a: float = 0.0,
    rng: np.random.Generator | None = None,
) -> NDArray[np.float64]:
    """Line currents over time, ``(3, samples)`` in A.

    Broken bars make side bands at (1 - 2 s) and (1 + 2 s) times the line frequency; a drive adds its harmonics.
    """
    t = np.arange(samples) / fs_hz
    line_hz = float(circuit.supply_hz) * frequency
    lines = [(line_hz, 1.0)]
    if broken_bars:
        lower = side_band_ratio(broken_bars, bars, float(circuit.pole_pairs))
        # The upper one comes from the speed ripple that the lower one makes; inertia keeps it smaller.
        lines += [((1.0 - 2.0 * at.slip) * line_hz, lower), ((1.0 + 2.0 * at.slip) * line_hz, 0.6 * lower)]
    if drive:
        lines += [(order * line_hz, share) for order, share in HARMONICS]
    phase = np.angle(at.line_a)[:, None]
    wave = np.zeros((3, samples))
    for f_hz, share in lines:
        # Harmonics turn with their order from phase to phase; side bands belong to the fundamental's sequence.
        turn = f_hz / line_hz if f_hz > 2.0 * line_hz else 1.0
        height = share * np.sqrt(2.0) * np.abs(at.line_a)[:, None]
        wave += height * np.cos(2.0 * np.pi * f_hz * t + turn * phase)
    if noise_a > 0.0:
        wave += noise_a * (rng or np.random.default_rng()).standard_normal((3, samples))
    return wave


def _omega_s(circuit: Circuit, frequency: float) -> float:
    return 2.0 * np.pi * float(circuit.supply_hz) * frequency / float(circuit.pole_pairs)


def _impedance(circuit: Circuit, slip: Any, frequency: float) -> Any:
    """Terminal impedance of one sequence per phase; complex, of the slip's shape."""
    branch = circuit.R1 + circuit.R2 / slip + 1j * circuit.X * frequency
    return 1.0 / (1.0 / circuit.R_fe + 1.0 / (1j * circuit.X_m * frequency) + 1.0 / branch)


def _rotor_current(circuit: Circuit, voltage: Any, slip: Any, frequency: float) -> Any:
    return voltage / (circuit.R1 + circuit.R2 / slip + 1j * circuit.X * frequency)


def _sequences(circuit: Circuit, slip: Any, supply: Supply, frequency: float, share: float) -> tuple[Any, Any]:
    """Voltages of the sequences over rated phase voltage at these slips, a number where all have the same.

    ``share`` is the drive's voltage, which keeps volts per hertz.
    """
    if not supply.lost_phase:
        return supply.positive * share, supply.negative * share
    Z1, Z2 = _impedance(circuit, slip, frequency), _impedance(circuit, 2.0 - slip, frequency)
    return share * Z1 / (Z1 + Z2), -share * Z2 / (Z1 + Z2)


def _pull_n_m(circuit: Circuit, slip: Any, V1: Any, V2: Any, frequency: float) -> Any:
    """Torque of both sequences, N m, of the slip's shape."""
    forward = abs(_rotor_current(circuit, V1, slip, frequency)) ** 2 * circuit.R2 / slip
    backward = abs(_rotor_current(circuit, V2, 2.0 - slip, frequency)) ** 2 * circuit.R2 / (2.0 - slip)
    return 3.0 / _omega_s(circuit, frequency) * (forward - backward)


def _torque_n_m(circuit: Circuit, slip: Values, supply: Supply, frequency: float) -> Values:
    share = float(circuit.voltage_share(frequency))
    V1, V2 = (circuit.phase_v * v for v in _sequences(circuit, slip, supply, frequency, share))
    return np.asarray(_pull_n_m(circuit, slip, V1, V2, frequency))
