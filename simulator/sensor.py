"""Sensors between the machine and the message: range, noise, resolution, drop-out. What comes out is finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service.contract.signals import OPERATING
from simulator.parameter import Values, check, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """One motor's set of sensors. Scalars or shape ``(n,)``."""

    fs_hz: Values = parameter(12_800.0, "Hz", limits=(100.0, 200_000.0), source="accelerometer front end")
    range_m_s2: Values = parameter(
        490.0, "m/s^2", limits=(1.0, 50_000.0), spread=(157.0, 981.0), law="log", source="+-16 g MEMS to +-100 g piezo"
    )
    resolution_m_s2: Values = parameter(
        0.005, "m/s^2", limits=(0.0, 10.0), spread=(0.0005, 0.02), law="log", source="16 to 24 bit over the range"
    )
    noise_m_s2: Values = parameter(
        0.02, "m/s^2", limits=(0.0, 10.0), spread=(0.003, 0.08), law="log", source="25-100 ug/rtHz MEMS, 1-10 piezo"
    )
    speed_error: Values = parameter(
        0.001, "1", limits=(0.0, 0.1), spread=(0.0001, 0.003), source="encoder to estimator"
    )
    current_error: Values = parameter(0.01, "1", limits=(0.0, 0.2), spread=(0.003, 0.02), source="transformer class 1")
    load_error: Values = parameter(
        0.02, "1", limits=(0.0, 0.3), spread=(0.005, 0.04), source="torque estimate of a drive"
    )
    temperature_bias_k: Values = parameter(
        0.0, "K", limits=(-10.0, 10.0), spread=(-1.5, 1.5), source="PT100 class B with its mounting"
    )
    temperature_noise_k: Values = parameter(0.2, "K", limits=(0.0, 10.0), spread=(0.05, 0.5), source="digitiser")

    mounting_hz: Values = parameter(
        0.0, "Hz", limits=(0.0, 100_000.0), source="resonance of sensor on magnet or glue, ISO 5348; 0 is stiff"
    )
    mounting_damping: Values = parameter(0.03, "1", limits=(0.001, 0.7), source="magnets and thin glue, ISO 5348")

    def __post_init__(self) -> None:
        check(self)

    def mounting(self, f_hz: NDArray[Any]) -> NDArray[np.complex128]:
        """What the mounting makes of acceleration at frequencies ``(n, k)``: 1 where it is stiff."""
        stiff = self.mounting_hz == 0.0
        ratio = f_hz / np.where(stiff, 1.0, self.mounting_hz)[:, None]
        answer = 1.0 / (1.0 - ratio**2 + 2j * self.mounting_damping[:, None] * ratio)
        return np.asarray(np.where(stiff[:, None], 1.0, answer))

    def acceleration(self, accel_m_s2: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """What the accelerometers report, in place: noise, clipping at the range, resolution; ``(n, samples)``."""
        step = np.maximum(self.resolution_m_s2, 1e-9).astype(np.float32)[:, None]
        limit = self.range_m_s2.astype(np.float32)[:, None]
        accel_m_s2 += self.noise_m_s2.astype(np.float32)[:, None] * rng.standard_normal(
            accel_m_s2.shape, dtype=np.float32
        )
        np.clip(accel_m_s2, -limit, limit, out=accel_m_s2)
        np.rint(np.divide(accel_m_s2, step, out=accel_m_s2), out=accel_m_s2)
        return np.multiply(accel_m_s2, step, out=accel_m_s2)

    def scalars(self, true: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
        """What the slow sensors report of ``(..., n, 6)`` true values in ``OPERATING`` order."""
        noise = rng.standard_normal(true.shape)
        relative = np.zeros(true.shape)
        relative[..., OPERATING.index("speed_rpm")] = self.speed_error
        relative[..., OPERATING.index("current_a")] = self.current_error
        relative[..., OPERATING.index("load")] = self.load_error
        absolute = np.zeros(true.shape)
        bias = np.zeros(true.shape)
        for name in ("winding_c", "housing_c", "ambient_c"):
            absolute[..., OPERATING.index(name)] = self.temperature_noise_k
            bias[..., OPERATING.index(name)] = self.temperature_bias_k
        return (true * (1.0 + relative * noise) + absolute * noise + bias).astype(np.float32)
