"""One file per fault of ``service.contract.faults.Fault``: how severity 0..1 changes the physics. One registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.faults.ball import Ball
from simulator.faults.bent_shaft import BentShaft
from simulator.faults.cage import Cage
from simulator.faults.cooling import Cooling
from simulator.faults.effect import Effect, Running, Strain
from simulator.faults.imbalance import Imbalance
from simulator.faults.inner_race import InnerRace
from simulator.faults.looseness import Looseness
from simulator.faults.misalignment import Misalignment
from simulator.faults.outer_race import OuterRace
from simulator.faults.overload import Overload
from simulator.faults.rotor_bar import RotorBar
from simulator.faults.soft_foot import SoftFoot

if TYPE_CHECKING:
    from service.contract.faults import Fault

_KINDS: tuple[type[Effect], ...] = (
    InnerRace,
    OuterRace,
    Ball,
    Cage,
    Imbalance,
    Misalignment,
    Looseness,
    Cooling,
    Overload,
    RotorBar,
    BentShaft,
    SoftFoot,
)

EFFECTS: dict[Fault, type[Effect]] = {kind.fault: kind for kind in _KINDS}
"""Every fault's physics, in the order of ``Fault``."""

__all__ = ["EFFECTS", "Effect", "Running", "Strain"]
