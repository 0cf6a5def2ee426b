"""Units of acceleration in files, in m/s^2."""

from __future__ import annotations

from typing import Literal

G_M_S2 = 9.80665
"""Standard gravity (CODATA)."""

Unit = Literal["m/s2", "g", "mg"]
UNITS: dict[Unit, float] = {"m/s2": 1.0, "g": G_M_S2, "mg": G_M_S2 / 1000.0}
