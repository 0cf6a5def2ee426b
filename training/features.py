"""Physics of a measurement window as a torch module: the part of every vibration graph that learns nothing.

From a raw window, the operating point and the nameplate to named features ``(B, len(NAMES))``. Orders of the shaft and
of the bearing are looked up in the spectrum and in the squared-envelope spectra of several bands, each as the logarithm
of its ratio to the local background, so that neither the level nor the colour of a machine decides; how many turns of
the shaft the window holds says what the orders are worth. What is missing is NaN in the inputs and zero, with a flag,
in the features.

Bearing signatures: Randall and Antoni, MSSP 25 (2011) 485-520, see ``training.envelope``. Velocity bands and severity:
ISO 20816-1. Shaft orders of imbalance, misalignment and looseness: ISO 13373-2.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from training import condition, envelope
from training.condition import Conditions
from training.envelope import Background, Envelopes, LookUp
from training.spectrum import BINS, SAMPLES, TINY, Spectrum, Taper

SHAFT_ORDERS: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Multiples of shaft speed looked up in the spectrum."""

SHAFT_TOLERANCE = 0.006
"""A shaft order is searched this far, as a fraction, to both sides: the uncertainty of a measured speed."""
_STEPS = 7

EDGES_HZ: tuple[float, ...] = (10.0, 60.0, 200.0, 500.0, 1000.0, 2000.0, 3500.0, 5000.0)
"""Edges of the bands whose share of the power is a feature."""

_POWER_FLOOR = 2e-3
"""Of the power of a bin, whose mean is some thousands: what a filter has emptied is not whitened."""

SILENT_M_S2 = 1e-4
"""A channel with less RMS than this is dead: no accelerometer is so quiet, and rounding of a mean may be that loud."""

_OMEGA = 2.0 * math.pi / 1000.0
"""Angular frequency of 1 Hz, so that accelerations in m/s^2 become velocities in mm/s."""

_RATIOS, _VELOCITIES = (tuple(f"order_{order:g}_{kind}" for order in SHAFT_ORDERS) for kind in ("ratio", "velocity"))
_SHARES = tuple(f"share_{low:g}_{high:g}_hz" for low, high in pairwise(EDGES_HZ))

NAMES: tuple[str, ...] = (
    *_RATIOS,
    *_VELOCITIES,
    *envelope.NAMES,
    "kurtosis",
    "crest",
    "turns",
    *_SHARES,
    "level_accel",
    "level_velocity",
    "speed_pu",
    "current_pu",
    "load_pu",
    "winding_rise_pu",
    "housing_rise_pu",
    "gradient_pu",
    "winding_excess",
    "housing_excess",
    "winding_heat",
    "housing_heat",
    "resistance_ratio",
    "slip_pu",
    "size",
    "has_order",
    "has_bearing",
    "has_current",
    "has_load",
    "has_winding",
    "has_housing",
)
"""Feature names in column order."""

INDEX: dict[str, int] = {name: column for column, name in enumerate(NAMES)}
"""Column of each feature."""


_SHORT, _LONG = 0.53, 0.65


def halves_told(features: Tensor) -> Tensor:
    """How far half orders of the shaft can be told from whole ones, 0..1, ``(B, 1)`` of features ``(B, len(NAMES))``.

    By windows of 3.3 to 4.4 turns (the limits as logarithms): a line of the spectrum is four bins wide.
    """
    turns = INDEX["turns"]
    return torch.clamp((features[:, turns : turns + 1] - _SHORT) / (_LONG - _SHORT), 0.0, 1.0)


_FLAGS: dict[str, tuple[str, ...]] = {
    "has_order": (*_RATIOS, *_VELOCITIES, "turns", *(f"comb_shaft_{band}" for band in envelope.BAND_NAMES)),
    "has_bearing": tuple(
        name for name in envelope.NAMES if name.startswith(("comb_", "near_", "apart_")) and "_shaft_" not in name
    ),
    "speed": ("speed_pu", "slip_pu"),
    "current": ("current_pu",),
    "has_load": ("load_pu",),
    "winding": ("winding_rise_pu", "winding_excess", "winding_heat"),
    "housing": ("housing_rise_pu", "housing_excess", "housing_heat"),
    "gradient": ("gradient_pu", "resistance_ratio"),
    "size": ("size",),
}
"""Features by the flag of ``training.condition`` that masks them."""
_UP = {"has_current": "current", "has_winding": "winding", "has_housing": "housing"}
"""Features that are a flag of another name."""
_FLOORS: dict[str, float] = {
    **dict.fromkeys(_VELOCITIES, 1e-3),
    "kurtosis": 1e-2,
    "crest": 1e-2,
    "turns": 0.1,
    **dict.fromkeys(_SHARES, 1e-4),
    "level_accel": 1e-3,
    "level_velocity": 1e-3,
    **dict.fromkeys(envelope.PARTS, 1e-7),
    "winding_heat": 1e-2,
    "housing_heat": 1e-2,
    "resistance_ratio": 1e-2,
    "size": 1e-7,
}
"""Features that are logarithms of what is not negative, from a floor on."""
_LOGARITHMS = (
    *(*_VELOCITIES, "kurtosis", "crest", "turns", *_SHARES, "level_accel", "level_velocity"),
    *(*envelope.PARTS, *condition.LOGARITHMIC),
)
_COLUMNS = (*_LOGARITHMS, *_RATIOS, *envelope.COLUMNS, *condition.LINEAR, *condition.FLAGS)
"""What features are made of, as it comes; all logarithms natural."""
_SCALES: dict[str, float] = {
    **dict.fromkeys(
        (*_LOGARITHMS, *_RATIOS, *(name for name in envelope.COLUMNS if not name.startswith("apart_"))),
        1.0 / math.log(10.0),
    ),
    **{f"apart_{comb}": envelope.APART_BINS for comb in envelope.NEAR},
}
_LIMITS: dict[str, tuple[float, float]] = {
    **{f"apart_{comb}": (0.0, envelope.FAR_BINS) for comb in envelope.NEAR},
    "load_pu": (0.0, 3.0),
    **dict.fromkeys(("winding_excess", "housing_excess"), (-2.0, 3.0)),
    **dict.fromkeys(("winding_heat", "housing_heat", "resistance_ratio"), (-1.0, 1.5)),
    "size": (-1.0, 4.0),
}


class Features(nn.Module):
    """Raw window in, ``NAMES`` out."""

    searched: Tensor
    shaft_orders: Tensor
    edges: Tensor
    between: Tensor
    omega: Tensor
    floors: Tensor
    columns: Tensor
    scales: Tensor
    low: Tensor
    high: Tensor
    masks: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.taper = Taper()
        self.spectrum = Spectrum()
        self.condition = Conditions()
        self.background = Background(envelope.BACKGROUND, BINS)
        self.envelopes = Envelopes()
        self.look_up = LookUp(BINS, BINS, BINS)

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32)))

        def columns(name: str, wanted: list[str], over: tuple[str, ...]) -> None:
            self.register_buffer(name, torch.tensor([over.index(one) for one in wanted]))

        steps = 1.0 + SHAFT_TOLERANCE * np.linspace(-1.0, 1.0, _STEPS)
        constant("searched", np.outer(SHAFT_ORDERS, steps).reshape(1, -1))
        constant("edges", [np.array(EDGES_HZ) * SAMPLES])
        constant("between", np.eye(len(EDGES_HZ), len(_SHARES), -1) - np.eye(len(EDGES_HZ), len(_SHARES)))
        constant("omega", np.arange(BINS)[None, None] * _OMEGA / SAMPLES)
        constant("shaft_orders", np.array([SHAFT_ORDERS]) * _OMEGA)
        constant("floors", [_FLOORS[name] for name in _LOGARITHMS])
        columns("columns", [_UP.get(name, name) for name in NAMES], _COLUMNS)
        constant("scales", [_SCALES.get(name, 1.0) for name in NAMES])
        limits = [_LIMITS.get(name, (-np.inf, np.inf)) for name in NAMES]
        constant("low", [low for low, _ in limits])
        constant("high", [high for _, high in limits])
        flag = {name: flag for flag, names in _FLAGS.items() for name in names}
        columns("masks", [flag.get(name, condition.ALWAYS) for name in NAMES], condition.FLAGS)

    def forward(
        self, accel_m_s2: Tensor, samples: Tensor, fs_hz: Tensor, operating: Tensor, nameplate: Tensor
    ) -> Tensor:
        """Features ``(B, len(NAMES))`` float32; inputs as in ``service.contract.manifest``."""
        count, fs = samples.unsqueeze(1), fs_hz.unsqueeze(1)
        tapered = self.taper(accel_m_s2, count)
        spectrum = self.spectrum(tapered.signal)
        power = (spectrum * spectrum).sum(dim=1, keepdim=True)
        # A channel that does not move shows no orders, whatever the shaft does.
        motor = self.condition(operating, nameplate, torch.clamp(tapered.rms / SILENT_M_S2 - 1.0, 0.0, 1.0))
        turns = motor.shaft_hz / fs  # in a sample
        shaft_bins = turns * SAMPLES
        log_power = torch.log(power + _POWER_FLOOR)
        ratio, peak, share, velocity = self._looked_up(power, log_power, shaft_bins, fs)
        envelopes = self.envelopes(spectrum, power, log_power, tapered.envelope, count, motor.orders, shaft_bins)
        # Amplitude of a sine under the parabola, whose mean is 2/3.
        amplitude = torch.sqrt(peak) * (3.0 * tapered.rms / count)
        square = tapered.unit * tapered.unit
        logarithms = [
            amplitude / (motor.shaft_hz * self.shaft_orders + _OMEGA),
            (square * square).sum(dim=1, keepdim=True) / count,
            torch.sqrt(square.amax(dim=1, keepdim=True)),
            count * turns,
            share,
            tapered.rms,
            velocity * tapered.rms,
            envelopes.impulse,
            motor.logarithmic,
        ]
        columns = [
            torch.log(torch.relu(torch.cat(logarithms, dim=1)) + self.floors),
            *(ratio, envelopes.columns, motor.linear, motor.flags),
        ]
        features = torch.index_select(torch.cat(columns, dim=1), 1, self.columns) * self.scales
        features = torch.minimum(torch.maximum(features, self.low), self.high)
        return features * torch.index_select(motor.flags, 1, self.masks)

    def _looked_up(
        self, power: Tensor, log_power: Tensor, shaft_bins: Tensor, fs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is read off the spectrum: orders of the shaft, bands and velocity.

        Returns:
            Shaft orders over the background and their power, ``(B, len(SHAFT_ORDERS))`` each; shares of the bands; and
            the velocity's RMS in mm/s of a signal of unit RMS, ``(B, 1)``.
        """
        blocks = self.background.blocks(log_power)
        above = (blocks - self.background(blocks)).reshape(-1, BINS)
        flat = power.reshape(-1, BINS)
        # In float64, or a faint band between two strong ones would drown in the rounding of the running sum.
        running = torch.cumsum(flat.to(torch.float64), dim=1).to(torch.float32)
        tables = torch.cat([above, flat, running], dim=1)
        position = torch.cat([shaft_bins * self.searched, self.edges / fs], dim=1)
        lines, bands = self.searched.shape[1], len(EDGES_HZ)
        found = self.look_up(tables, position).reshape(-1, 3 * (lines + bands))
        ratio, _, peak, _, edges = found.split([lines, bands, lines, bands + lines, bands], dim=1)
        ratio, peak = (one.reshape(-1, len(SHAFT_ORDERS), _STEPS).amax(dim=2) for one in (ratio, peak))
        total = torch.clamp(flat.sum(dim=1, keepdim=True), TINY)
        share = torch.matmul(edges, self.between) / total
        # From 8 to 12 Hz the band opens, from 990 to 1010 Hz it closes.
        omega = self.omega * fs.unsqueeze(2) + _OMEGA
        inside = torch.minimum(omega * (0.25 / _OMEGA) - 2.25, 50.55 - omega * (0.05 / _OMEGA))
        moved = (power * torch.clamp(inside, 0.0, 1.0) / (omega * omega)).sum(dim=2)
        return ratio, peak, share, torch.sqrt(moved / total)
