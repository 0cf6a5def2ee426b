"""Scalar signals and nameplate values: their order as graph columns, units and plausible ranges.

``OPERATING`` is the column order of the graph input ``operating`` (float32 ``(batch, 6)``), ``NAMEPLATE`` that of
``nameplate`` (float32 ``(batch, 9)``). A value that is missing is NaN in both; the graphs mask it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signal:
    """One scalar: its name is the message field and carries the unit; low and high bound what is plausible."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str


SIGNALS: tuple[Signal, ...] = (
    Signal("speed_rpm", "1/min", 0.0, 60_000.0, "shaft speed"),
    Signal("current_a", "A", 0.0, 20_000.0, "line current, root mean square of one phase"),
    Signal("load", "1", 0.0, 3.0, "shaft torque as a fraction of rated torque"),
    Signal("winding_c", "degC", -60.0, 300.0, "stator winding temperature"),
    Signal("housing_c", "degC", -60.0, 250.0, "housing temperature near the drive-end bearing"),
    Signal("ambient_c", "degC", -60.0, 90.0, "temperature of the cooling air"),
)

OPERATING: tuple[str, ...] = tuple(signal.name for signal in SIGNALS)

NAMEPLATE: tuple[str, ...] = (
    "rated_speed_rpm",
    "rated_current_a",
    "winding_rise_k",
    "housing_rise_k",
    "thermal_tau_s",
    "ftf",
    "bsf",
    "bpfo",
    "bpfi",
)
"""What the graphs need to know of a motor: rated values, then the bearing's orders (multiples of shaft speed)."""
