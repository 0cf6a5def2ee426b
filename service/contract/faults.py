"""The fault vocabulary. A fault's file, enum value, class label, scenario key and alert condition are one word."""

from enum import StrEnum


class Fault(StrEnum):
    """Everything the twin can break and a classifier may name. It grows at its end only: columns stay where they are.

    A bundle's classes are a choice of these; the manifest says which.
    """

    INNER_RACE = "inner_race"
    OUTER_RACE = "outer_race"
    BALL = "ball"
    CAGE = "cage"
    IMBALANCE = "imbalance"
    MISALIGNMENT = "misalignment"
    LOOSENESS = "looseness"
    COOLING = "cooling"
    OVERLOAD = "overload"
    ROTOR_BAR = "rotor_bar"
    BENT_SHAFT = "bent_shaft"
    SOFT_FOOT = "soft_foot"


TAUGHT: tuple[Fault, ...] = tuple(Fault)[: list(Fault).index(Fault.ROTOR_BAR)]
"""The faults of the twin's data sets, and so the classes of a bundle trained on them; the others occur in scenarios."""

HEALTHY = "healthy"
"""The diagnosis of a motor on which no fault's probability passes its threshold."""

ANOMALY = "anomaly"
"""The alert condition for a motor that is unlike healthy ones while no fault can be named."""

CONDITIONS: tuple[str, ...] = (ANOMALY, *Fault)
"""Every condition an alert can name, in the order of the alarm arrays' columns."""

BEARING_FAULTS: tuple[Fault, ...] = (Fault.INNER_RACE, Fault.OUTER_RACE, Fault.BALL, Fault.CAGE)
"""The faults whose diagnosis needs the bearing's geometry."""
