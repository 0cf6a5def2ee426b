"""What the training's healthy machines looked like, small enough for a manifest; and by what a reading is compared.

A channel's level is a number that a sensor's gain moves: for an axis of acceleration ``ln`` of its RMS over 1 m/s^2,
for the current ``ln`` of its share of the rated one, for a temperature its rise above ambient over the rated rise. What
speed and load do to it in the training's machines is taken out::

    y = level - slopes . (l, l^2, v)    l = load - 0.6,  v = ln(speed / rated speed)

Load is the measured one, else the current's share of the rated one (never for the current itself), else unknown and l
is 0; an unknown speed is the rated one. A machine that stands or idles is not compared.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.contract.messages import AXES
from service.contract.signals import NAMEPLATE, OPERATING

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: Final = ("accel_m_s2", "current_a", "winding_c", "housing_c")
"""What the training's machines are sketched by; an axis of any name is compared with the one they have."""
CHANNELS: Final = (*(f"accel_m_s2.{axis}" for axis in AXES), "current_a", "winding_c", "housing_c")
"""What a motor's own sensors are followed by."""
KIND_OF: Final = tuple(KINDS.index(channel.partition(".")[0]) for channel in CHANNELS)
AXIS_COUNT: Final = len(AXES)
USUAL_LOAD: Final = 0.6
_RUNS_FROM = 0.3  # of the rated speed
_WORKS_FROM = 0.1  # of the rated current
_SPEED, _CURRENT, _LOAD, _WINDING, _HOUSING, _AMBIENT = range(len(OPERATING))
_RATED_SPEED, _RATED_CURRENT, _WINDING_RISE, _HOUSING_RISE = range(4)
_LOAD_OF = np.array([2 if channel == "current_a" else 0 for channel in CHANNELS])  # columns of a condition
assert OPERATING[3:5] == ("winding_c", "housing_c")
assert NAMEPLATE[:4] == ("rated_speed_rpm", "rated_current_a", "winding_rise_k", "housing_rise_k")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SketchSpec(BaseModel):
    """The training's input distribution, and how the edge looks for departures from it and from a motor's own past."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    motors: Annotated[int, Field(ge=1, description="healthy machines that were sketched")]
    slopes: Annotated[dict[str, tuple[float, float, float]], Field(description="by kind: of l, l^2 and v, see above")]
    load_edges: Annotated[tuple[float, ...], Field(max_length=8, description="between bins of load")]
    speed_edges: Annotated[tuple[float, ...], Field(max_length=8, description="between bins of speed over rated")]
    probabilities: Annotated[tuple[float, ...], Field(min_length=2, max_length=16)]
    quantiles: Annotated[
        dict[str, tuple[tuple[float, ...], ...]],
        Field(description="by kind, then bin (speed major, load minor): y at the probabilities"),
    ]
    silent_m_s2: Annotated[Positive, Field(description="an accelerometer below this RMS hears nothing")]
    block_s: Annotated[Positive, Field(description="readings of such a time are averaged and judged once")]
    learning_blocks: Annotated[int, Field(ge=8, le=10_000, description="blocks that a motor's own baseline is made of")]
    tolerated: Annotated[dict[str, Positive], Field(description="by kind: a change of y that is nobody's business")]
    sought: Annotated[dict[str, Positive], Field(description="by kind: a change of y that must be found")]
    false_alarm_h: Annotated[Positive, Field(description="mean time between false findings of one motor, at least")]

    @model_validator(mode="after")
    def _complete(self) -> SketchSpec:
        bins = (len(self.load_edges) + 1) * (len(self.speed_edges) + 1)
        if any(set(part) != set(KINDS) for part in (self.slopes, self.quantiles, self.tolerated, self.sought)):
            raise ValueError(f"slopes, quantiles, tolerated and sought must name exactly {', '.join(KINDS)}")
        for edges in (self.load_edges, self.speed_edges, self.probabilities):
            if any(low >= high for low, high in pairwise(edges)):
                raise ValueError("edges and probabilities must grow")
        for rows in self.quantiles.values():
            if len(rows) != bins or any(len(row) != len(self.probabilities) for row in rows):
                raise ValueError(f"quantiles must have {bins} bins of {len(self.probabilities)} values")
        if any(self.sought[kind] <= self.tolerated[kind] for kind in KINDS):
            raise ValueError("sought must exceed tolerated")
        return self


def ln_rms(samples: NDArray[np.float32]) -> float:
    """``ln`` of the RMS about the mean, over 1 m/s^2; minus infinity for a signal that never moves."""
    n = len(samples)
    ones = _ONES.get(n)
    mean = float(samples.dot(_ones(n) if ones is None else ones)) / n
    square = float(samples.dot(samples)) / n
    # The mean square less the squared mean cancels badly under a large offset.
    offset = mean * mean > 0.01 * square
    if offset:
        moved = samples - np.float32(mean)
        power = float(moved.dot(moved)) / n
    else:
        power = square - mean * mean
    if power <= 0.0 or (offset and float(samples[0]) == mean and not (samples != samples[0]).any()):
        return -np.inf
    return 0.5 * math.log(power)


def _ones(n: int) -> NDArray[np.float32]:
    """The product with them is the sum, at a fraction of its cost."""
    ones = np.ones(n, dtype=np.float32)
    if n <= _LONGEST and len(_ONES) < _LENGTHS:
        _ONES[n] = ones
    return ones


_LONGEST, _LENGTHS = 16_384, 8  # of windows that a fleet's sensors send; for any other they are made anew
_ONES: dict[int, NDArray[np.float32]] = {}


def levels(
    ln_rms_of_axes: NDArray[np.floating], operating: NDArray[np.floating], nameplate: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Levels ``(N, len(CHANNELS))``, NaN where unknown or not to be compared.

    Args:
        ln_rms_of_axes: ``(N, AXIS_COUNT)``.
        operating: ``(N, 6)`` in the order of ``signals.OPERATING``.
        nameplate: ``(N, 9)`` in the order of ``signals.NAMEPLATE``.
    """
    out = np.empty((len(operating), len(CHANNELS)))
    out[:, :AXIS_COUNT] = ln_rms_of_axes
    share = operating[:, _CURRENT] / nameplate[:, _RATED_CURRENT]
    out[:, AXIS_COUNT] = np.log(np.maximum(share, 1e-6))
    rise = operating[:, _WINDING : _HOUSING + 1] - operating[:, _AMBIENT, None]
    out[:, AXIS_COUNT + 1 :] = rise / nameplate[:, _WINDING_RISE : _HOUSING_RISE + 1]
    idle = (operating[:, _SPEED] < _RUNS_FROM * nameplate[:, _RATED_SPEED]) | (share < _WORKS_FROM)
    idle |= np.isinf(out).any(axis=1)
    out[idle] = np.nan
    return out


def conditions(operating: NDArray[np.floating], nameplate: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(l, v, l of the current)`` of the docstring above, ``(N, 3)``, 0 where unknown."""
    out = np.empty((len(operating), 3))
    load = operating[:, _LOAD]
    out[:, 2] = load
    share = operating[:, _CURRENT] / nameplate[:, _RATED_CURRENT]
    out[:, 0] = np.where(np.isnan(load), share, load)
    out[:, ::2] -= USUAL_LOAD
    turning = operating[:, _SPEED] / nameplate[:, _RATED_SPEED]
    out[:, 1] = np.log(np.maximum(turning, 0.01))
    out[np.isnan(out)] = 0.0
    return out


def adjusted(
    level: NDArray[np.float64], condition: NDArray[np.float64], slopes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``y`` of the docstring above, ``(N, len(CHANNELS))``; ``slopes`` is ``(len(CHANNELS), 3)``."""
    load = condition[:, _LOAD_OF]
    return level - load * slopes[:, 0] - load**2 * slopes[:, 1] - condition[:, 1:2] * slopes[:, 2]


def bins(
    condition: NDArray[np.float64], load_edges: tuple[float, ...], speed_edges: tuple[float, ...]
) -> NDArray[np.intp]:
    """Which bin of load and speed, ``(N,)``."""
    load = np.searchsorted(load_edges, condition[:, 0] + USUAL_LOAD, side="right")
    speed = np.searchsorted(speed_edges, np.exp(condition[:, 1]), side="right")
    return np.asarray(speed * (len(load_edges) + 1) + load)
