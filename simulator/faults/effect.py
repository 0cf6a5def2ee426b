"""What a fault can change: how hard the machine is strained, and what shakes its housing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from simulator.parameter import Values, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract.faults import Fault
    from simulator.bearing import Contact, Strikes
    from simulator.vibration import Lines


class Strain(NamedTuple):
    """What the process, the cooling and the cage do to the motor, one value per row; ``rotor`` is R2 over its own."""

    load: Values
    cooling: Values
    rotor: Values


@dataclass(frozen=True, slots=True)
class Running:
    """A batch of windows as a fault meets it; every field ``(b,)`` but ``orders`` ``(b, 4)`` (FTF, BSF, BPFO, BPFI)."""

    shaft_hz: Values
    line_hz: Values
    slip: Values
    speed_ratio: Values
    load: Values
    limit_mm_s: Values
    noise_m_s2: Values
    duration_s: Values
    bars: Values
    orders: Values
    contact: Contact


class Effect:
    """One fault's physics. Subclasses are frozen dataclasses of parameters, one value per machine.

    Severity runs from 0 (as new; changes nothing) to 1 (functional failure); 0.15-0.2 is where a careful engineer would
    begin to see it. Every method gets rows with a severity above 0 only.
    """

    __slots__ = ()
    fault: ClassVar[Fault]
    summary: ClassVar[str]
    axial: ClassVar[float] = 0.4
    """Height of its lines along the shaft (axis z) over those across it; ISO 13373-1, typical signatures."""

    def __post_init__(self) -> None:
        check(self)  # type: ignore[arg-type]

    def strain(self, severity: Values, strain: Strain) -> Strain:  # noqa: ARG002 - most faults strain nothing
        """The strain with this fault."""
        return strain

    def noise_gain(self, severity: Values) -> Values:
        """Factor on the broadband noise."""
        return np.ones_like(severity)

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Tones this fault adds, None for none."""
        return None

    def strikes(
        self,
        rows: NDArray[np.intp],  # noqa: ARG002
        severity: Values,  # noqa: ARG002
        running: Running,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Strikes | None:
        """Impacts this fault adds, None for none; ``rows`` are the windows' places in their batch."""
        return None
