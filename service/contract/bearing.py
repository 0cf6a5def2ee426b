"""Rolling bearing kinematics: geometry, characteristic orders, a catalogue.

Orders are multiples of the shaft speed for a rotating inner and a fixed outer ring, without slip
(Harris, Rolling Bearing Analysis, 4th ed., ch. 8; Randall and Antoni, MSSP 25 (2011) 485-520, eq. 1-4):

    FTF  = (1 - d/D cos a) / 2            cage
    BSF  = D/(2 d) (1 - (d/D cos a)^2)    rolling element spin; a defect on it strikes twice a turn
    BPFO = n FTF                          outer race
    BPFI = n (1 - FTF)                    inner race
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Orders(NamedTuple):
    """Characteristic frequencies as multiples of the shaft speed, in the column order of ``signals.NAMEPLATE``."""

    ftf: float
    bsf: float
    bpfo: float
    bpfi: float


class BearingGeometry(BaseModel):
    """What the kinematics need: rolling elements, their diameter, the pitch circle, the contact angle."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    designation: Annotated[str, Field(max_length=64)] = ""
    elements: Annotated[int, Field(ge=3, le=200, description="number of rolling elements")]
    element_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, description="rolling element diameter")]
    pitch_mm: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, description="pitch circle diameter")]
    contact_deg: Annotated[float, Field(ge=0, lt=90, allow_inf_nan=False, description="contact angle")] = 0.0

    @model_validator(mode="after")
    def _elements_fit_on_the_pitch_circle(self) -> BearingGeometry:
        if self.elements * self.element_mm >= math.pi * self.pitch_mm:
            raise ValueError(
                f"elements={self.elements} of element_mm={self.element_mm} do not fit on pitch_mm={self.pitch_mm}; "
                f"element_mm must be below {math.pi * self.pitch_mm / self.elements:.3f}"
            )
        return self

    def orders(self) -> Orders:
        """Characteristic orders of this geometry (dimensionless, multiples of shaft speed)."""
        ratio = self.element_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))
        ftf = 0.5 * (1.0 - ratio)
        bsf = self.pitch_mm / (2.0 * self.element_mm) * (1.0 - ratio**2)
        return Orders(ftf=ftf, bsf=bsf, bpfo=self.elements * ftf, bpfi=self.elements * (1.0 - ftf))


def _catalogue(*rows: tuple[str, int, float, float, float]) -> dict[str, BearingGeometry]:
    return {
        name: BearingGeometry(designation=name, elements=n, element_mm=d, pitch_mm=D, contact_deg=a)
        for name, n, d, D, a in rows
    }


CATALOGUE: dict[str, BearingGeometry] = _catalogue(
    # 6203 and 6205: Case Western Reserve University bearing data centre (0.2656/1.122 in, 0.3126/1.537 in).
    ("6203", 8, 6.746, 28.499, 0.0),
    ("6205", 9, 7.940, 39.040, 0.0),
    # Deep-groove ball bearings, common internal geometry of the 62 and 63 series; makers differ by a few per cent.
    ("6204", 8, 7.938, 33.500, 0.0),
    ("6206", 9, 9.525, 46.000, 0.0),
    ("6208", 9, 12.000, 60.000, 0.0),
    ("6309", 8, 17.462, 72.500, 0.0),
    # PRONOSTIA test rig (Nectoux et al., PHM 2012): 13 rolling elements of 3.5 mm on 25.6 mm.
    ("pronostia", 13, 3.5, 25.6, 0.0),
    # NICE bearing of the MFPT challenge data (0.235 in on 1.245 in).
    ("nice", 8, 5.969, 31.623, 0.0),
)
"""Bearings known by name; the sources stand beside the rows."""
