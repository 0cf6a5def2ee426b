"""What the driven machine adds to the motor's housing: gear mesh with side bands, cavitation, an uneven pull.

Gear mesh sits at teeth x shaft speed with side bands at the shaft speed (Randall, Vibration-based Condition Monitoring,
ch. 5). Cavitation is broadband noise above some kilohertz that swells with the blades (Brennen, Cavitation and Bubble
Dynamics, ch. 7). An uneven pull, of a piston or a universal joint, makes the speed swing within a window, so that the
mesh smears.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

MESH_SHARES = (1.0, 0.45, 0.2)
"""Heights of the mesh and its harmonics."""


class Driven(BaseModel):
    """A driven machine. All parts are off unless given."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gear_teeth: Annotated[int, Field(ge=0, le=500, description="on the motor's shaft; 0 for none")] = 0
    mesh_m_s2: Annotated[float, Field(ge=0.0, le=500.0, description="RMS of the first mesh order at rated load")] = 1.0
    mesh_modulation: Annotated[float, Field(ge=0.0, le=0.9, description="side bands at shaft speed")] = 0.2
    cavitation_m_s2: Annotated[float, Field(ge=0.0, le=500.0, description="RMS of the noise of collapsing bubbles")] = (
        0.0
    )
    cavitation_from_hz: Annotated[float, Field(ge=100.0, le=50_000.0)] = 3000.0
    blades: Annotated[int, Field(ge=1, le=60)] = 6
    speed_swing: Annotated[float, Field(ge=0.0, le=0.1, description="relative, peak, within a turn of the load")] = 0.0
    swing_order: Annotated[float, Field(gt=0.0, le=20.0, description="swings per turn of the shaft")] = 0.5


def vibration(
    driven: Driven, shaft_hz: float, load: float, fs_hz: float, samples: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """What the driven machine adds, float32 ``(samples,)`` in m/s^2; lines above half the rate are left out."""
    t = np.arange(samples) / fs_hz
    turns = shaft_hz * t + rng.random()
    # The shaft's angle with its speed swinging: integral of 1 + a cos.
    order = driven.swing_order
    turns += driven.speed_swing / (2.0 * np.pi * order) * np.sin(2.0 * np.pi * (order * turns + rng.random()))
    out = np.zeros(samples)
    if driven.gear_teeth:
        swell = 1.0 + driven.mesh_modulation * np.cos(2.0 * np.pi * (turns + rng.random()))
        for number, share in enumerate(MESH_SHARES, start=1):
            mesh = number * driven.gear_teeth
            # The side bands have to fit too.
            if (mesh + 1) * shaft_hz * (1.0 + driven.speed_swing) < 0.5 * fs_hz:
                height = np.sqrt(2.0) * driven.mesh_m_s2 * share * max(load, 0.0)
                out += height * swell * np.cos(2.0 * np.pi * (mesh * turns + rng.random()))
    if driven.cavitation_m_s2 > 0.0:
        f_hz = np.fft.rfftfreq(samples, 1.0 / fs_hz)
        hiss = np.fft.rfft(rng.standard_normal(samples)) / np.sqrt(
            1.0 + (driven.cavitation_from_hz / (f_hz + 1e-9)) ** 4
        )
        noise = np.fft.irfft(hiss, samples)
        noise *= 1.0 + 0.6 * np.cos(2.0 * np.pi * driven.blades * turns)
        out += noise * (driven.cavitation_m_s2 / max(float(noise.std()), 1e-12))
    return out.astype(np.float32)
