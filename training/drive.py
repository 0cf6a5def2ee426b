"""What the health filter is told at one step, as rows: held in range, with fallbacks, and which of it was known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from service.contract.signals import NAMEPLATE, OPERATING
from training.rows import Stacks, Terms, terms
from training.thermal import Inputs
from training.tuning import (
    EFFORT_MAX,
    MAX_DT_S,
    NAMEPLATE_RANGES,
    OPERATING_RANGES,
    RISE_MIN_K,
    Range,
    Tuning,
)

_ANY = Range(0.0, -1e39, 1e39)
"""Of a measured temperature: whatever a float32 can be."""
_TABLES = (*OPERATING, *NAMEPLATE)
_READ: dict[str, Range] = {
    **OPERATING_RANGES,
    **NAMEPLATE_RANGES,
    "winding_c": _ANY,
    "housing_c": _ANY,
    "severity": Range(0.0, 0.0, 1.0),
    "dt_s": Range(0.0, 0.0, MAX_DT_S),
}
_ROWS = tuple(_READ)
_COLUMNS = _ROWS[:-2]
"""What comes in the two tables; severity and time step come by themselves."""
MEASURED = ("winding_c", "housing_c", "severity")
_DRIVING = _ROWS[: -len(MEASURED) - 1]


class Told(NamedTuple):
    """One step's inputs, float64.

    Attributes:
        inputs: what drives the thermal network.
        measured: ``MEASURED``, finite, ``(3, B)``.
        weight: 1 where that was measured and 0 where not, ``(3, B)``.
        missing: 0 where it was measured and NaN where not, ``(3, B)``.
        dt_s: seconds since the last step, ``(1, B)``.
    """

    inputs: Inputs
    measured: Tensor
    weight: Tensor
    missing: Tensor
    dt_s: Tensor


class Drive(Stacks):
    """Tables of operating values and nameplates to what the filter reckons with."""

    fallback: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor([_TABLES.index(name) for name in _COLUMNS]))
        for field in Range._fields:
            self.column(field, [getattr(one, field) for one in _READ.values()])
        idle, cold = tuning.idle_current_squared, tuning.cold_share
        for name, value in {
            "zero": 0.0,
            "effort_max": EFFORT_MAX,
            "drawn_factor": 1.0 / (1.0 - idle),
            "drawn_idle": idle / (1.0 - idle),
            "cold": cold,
            "warming": 1.0 - cold,
            "idle": tuning.idle_share,
            "loaded": 1.0 - tuning.idle_share,
            "rise_min_k": RISE_MIN_K,
            "thermal_sd_k": tuning.thermal_sd_k,
            "thermal_share": tuning.thermal_share,
            "blind_sd_k": tuning.blind_sd_k,
            # Thresholds of the votes below.
            "drawn_votes": 1.5,
            "known_votes": 5.5,
        }.items():
            self.constant(name, value)
        # Two conditions as votes, each knowledge weighing what no combination of lesser ones can make up for.
        # Current speaks where it and its rated value are known and load is not; the model is driven where ambient is
        # known, and load or both of these.
        votes: list[Terms] = [
            terms("current_a", "rated_current_a", load=-2.0),
            terms("current_a", "rated_current_a", load=2.0, ambient_c=4.0),
        ]
        self.linear("votes", [*votes, *map(terms, MEASURED)], _ROWS)
        self.picks("measured", MEASURED, _ROWS)

    def forward(self, operating: Tensor, nameplate: Tensor, severity: Tensor, dt_s: Tensor) -> Told:
        """Inputs as in ``service.contract.manifest``."""
        n = self.get_buffer
        tables = torch.cat([operating, nameplate], dim=1).index_select(1, n("columns")).double()
        given = torch.cat([tables, severity.unsqueeze(1), dt_s.unsqueeze(1)], dim=1).t()
        missing = given - given  # 0, or NaN for NaN and infinity
        known = missing == n("zero")
        held = torch.minimum(torch.maximum(torch.where(known, given, self.fallback), self.low), self.high)
        drawn_votes, known_votes, weight = self.mapped("votes", known.double()).split([1, 1, 3])
        *driving, measured, seconds = held.split([1] * len(_DRIVING) + [len(MEASURED), 1])
        rows = dict(zip(_DRIVING, driving, strict=True))
        inputs = self._inputs(rows, drawn_votes > n("drawn_votes"), known_votes > n("known_votes"))
        return Told(inputs, measured, weight, self.pick("measured", missing), seconds)

    def _inputs(self, rows: dict[str, Tensor], by_current: Tensor, driven: Tensor) -> Inputs:
        """Losses as ``training.heat`` has them, and how far the model may be off."""
        n = self.get_buffer
        load, housing_rise = rows["load"], rows["housing_rise_k"]
        current = torch.minimum(rows["current_a"] / rows["rated_current_a"], n("effort_max"))
        drawn = torch.relu(current * current * n("drawn_factor") - n("drawn_idle"))
        squared = torch.where(by_current, drawn, load * load)
        copper = squared * (n("cold") + n("warming") * squared)
        losses = n("idle") + n("loaded") * copper
        excess = torch.maximum(rows["winding_rise_k"] - housing_rise, n("rise_min_k"))
        sd = n("thermal_sd_k") + n("thermal_share") * losses * (housing_rise + excess)
        sd = torch.where(driven, sd, n("blind_sd_k"))
        return Inputs(
            copper=copper,
            losses=losses,
            ambient_c=rows["ambient_c"],
            excess_k=excess,
            housing_rise_k=housing_rise,
            tau_s=rows["thermal_tau_s"],
            variance=sd * sd,
        )
