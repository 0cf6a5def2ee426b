"""AI4I 2020, a milling machine, as a table of independent rows; and, to measure their flaw, as 50-row windows.

``TWF HDF PWF OSF RNF`` say which rule made the failure and would leak the label, ``UDI`` and the serial part of
``Product ID`` are row numbers. Physics features are those of the rules' mechanisms: power, temperature difference,
strain.

Rows are not a time series of one machine: rpm and torque have no memory. A window of 50 successive rows labelled
"failing" if any row fails turns 3.4 % of failures into a majority of failing windows, most of whose rows are healthy.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.gan.windows import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MODES = ("TWF", "HDF", "PWF", "OSF", "RNF")
"""Tool wear, heat dissipation, power, overstrain, random. They define the label: never features."""

LEAKS = (*MODES, "Machine failure", "UDI", "Product ID")
RAW = ("air_k", "process_k", "speed_rpm", "torque_n_m", "wear_min")
COLUMNS = {
    "air_k": "Air temperature [K]",
    "process_k": "Process temperature [K]",
    "speed_rpm": "Rotational speed [rpm]",
    "torque_n_m": "Torque [Nm]",
    "wear_min": "Tool wear [min]",
}
QUALITIES = ("L", "M", "H")
FEATURES = (*RAW, "quality", "power_w", "difference_k", "strain_n_m_min", "loss_k_rpm")
WINDOW_ROWS = 50


@dataclass(frozen=True, slots=True)
class Rows:
    """``features`` float64 ``(n, 10)`` in ``FEATURES`` order, ``failed`` bool ``(n,)``, ``modes`` bool ``(n, 5)``."""

    features: NDArray[np.float64]
    failed: NDArray[np.bool_]
    modes: NDArray[np.bool_]


@cache
def rows(folder: Path) -> Rows:
    """The table.

    Raises:
        InputError: the file or a column is absent, or a value is not a number.
    """
    path = folder / "ai4i2020" / "ai4i2020.csv"
    if not path.exists():
        raise InputError(f"MOTOR_DATA: {path} is not there; point MOTOR_DATA at the data folder")
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    missing = [name for name in (*COLUMNS.values(), "Type", "Machine failure", *MODES) if name not in table[0]]
    if missing:
        raise InputError(f"ai4i2020.csv: column {missing[0]!r} is missing; use the publisher's file")
    try:
        raw = np.array([[float(row[name]) for name in COLUMNS.values()] for row in table])
    except ValueError as error:
        raise InputError(f"ai4i2020.csv: {error}; every measurement must be a number") from None
    quality = np.array([QUALITIES.index(row["Type"]) for row in table], dtype=np.float64)
    return Rows(
        features=with_physics(raw, quality),
        failed=np.array([row["Machine failure"] == "1" for row in table]),
        modes=np.array([[row[mode] == "1" for mode in MODES] for row in table]),
    )


def with_physics(raw: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw columns ``(n, 5)`` in ``RAW`` order and quality ``(n,)`` to ``FEATURES`` ``(n, 10)``.

    power = torque omega in W; difference = process - air in K; strain = wear torque; loss = difference times rpm.
    """
    air, process, speed, torque, wear = raw.T
    difference = process - air
    power = torque * speed * (2.0 * np.pi / 60.0)
    return np.column_stack([raw, quality, power, difference, wear * torque, difference * speed])


def windowed(table: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.intp]]:
    """The literal variant: every 50 successive rows, step 1; failing if any row failed.

    Returns:
        values ``(n - 49, 50, 5)``, labels ``(n - 49,)``, first row of each window.
    """
    raw = table.features[:, : len(RAW)].astype(np.float32)
    view = np.lib.stride_tricks.sliding_window_view(raw, WINDOW_ROWS, axis=0).transpose(0, 2, 1)
    label = np.lib.stride_tricks.sliding_window_view(table.failed, WINDOW_ROWS).any(axis=1)
    return view, np.asarray(label), np.arange(len(view))
