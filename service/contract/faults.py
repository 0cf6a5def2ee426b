"""The fault vocabulary. A fault's file, enum value, class label, scenario key and alert condition are one word."""

from enum import StrEnum


class Fault(StrEnum):
    """Everything the twin can break and the classifier can name, in class order."""

    INNER_RACE = "inner_race"
    OUTER_RACE = "outer_race"
    BALL = "ball"
    CAGE = "cage"
    IMBALANCE = "imbalance"
    MISALIGNMENT = "misalignment"
    LOOSENESS = "looseness"
    COOLING = "cooling"
    OVERLOAD = "overload"


HEALTHY = "healthy"
"""The diagnosis of a motor on which no fault's probability passes its threshold."""

ANOMALY = "anomaly"
"""The alert condition for a motor that is unlike healthy ones while no fault can be named."""

CONDITIONS: tuple[str, ...] = (ANOMALY, *Fault)
"""Every condition an alert can name, in the order of the alarm arrays' columns."""

BEARING_FAULTS: tuple[Fault, ...] = (Fault.INNER_RACE, Fault.OUTER_RACE, Fault.BALL, Fault.CAGE)
"""The faults whose diagnosis needs the bearing's geometry."""
