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

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from service.contract.signals import NAMEPLATE, OPERATING
from training import envelope, heat
from training.envelope import Background, Envelopes, log10, look_up
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

NAMES: tuple[str, ...] = (
    *(f"order_{order:g}_ratio" for order in SHAFT_ORDERS),
    *(f"order_{order:g}_velocity" for order in SHAFT_ORDERS),
    *envelope.NAMES,
    "kurtosis",
    "crest",
    "turns",
    *(f"share_{low:g}_{high:g}_hz" for low, high in pairwise(EDGES_HZ)),
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
    return torch.clamp((features[:, INDEX["turns"]].unsqueeze(1) - _SHORT) / (_LONG - _SHORT), 0.0, 1.0)


def _column(table: Tensor, names: tuple[str, ...], name: str) -> tuple[Tensor, Tensor]:
    """One scalar column ``(B, 1)`` with zero for NaN, and 1.0 where it was there."""
    at = names.index(name)
    value = table[:, at : at + 1]
    known = ~(torch.isnan(value) | torch.isinf(value))
    return torch.where(known, value, torch.zeros_like(value)), known.to(value.dtype)


class Features(nn.Module):
    """Raw window in, ``NAMES`` out."""

    shaft_orders: Tensor
    shaft_search: Tensor
    edges_hz: Tensor
    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.taper = Taper()
        self.spectrum = Spectrum()
        self.background = Background(envelope.BACKGROUND)
        self.envelopes = Envelopes()
        steps = np.linspace(-1.0, 1.0, _STEPS)

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32)))

        constant("shaft_orders", [SHAFT_ORDERS])
        constant("shaft_search", 1.0 + SHAFT_TOLERANCE * steps[None, None])
        constant("edges_hz", [EDGES_HZ])
        constant("bins", np.arange(BINS)[None])

    def forward(
        self, accel_m_s2: Tensor, samples: Tensor, fs_hz: Tensor, operating: Tensor, nameplate: Tensor
    ) -> Tensor:
        """Features ``(B, len(NAMES))`` float32; inputs as in ``service.contract.manifest``."""
        count, fs = samples.unsqueeze(1), fs_hz.unsqueeze(1)
        spacing_hz = fs / SAMPLES
        tapered, unit, rms = self.taper(accel_m_s2, count)
        re, im = self.spectrum(tapered)
        power = re * re + im * im
        shaft_hz, has_order = self._shaft(operating, nameplate)
        # A channel that does not move shows no orders, whatever the shaft does.
        has_order = has_order * torch.clamp(rms / SILENT_M_S2 - 1.0, 0.0, 1.0)
        log_power = log10(power, _POWER_FLOOR)
        shaft_bins = shaft_hz / spacing_hz
        orders, has_bearing = self._bearing(nameplate, has_order)
        vibration = [
            *self._shaft_orders(power, log_power, rms, count, shaft_hz, spacing_hz, has_order),
            *self.envelopes(re, im, log_power, count, orders, shaft_bins, has_order, has_bearing),
            *self._shape(unit, count),
            log10(count * shaft_bins / SAMPLES, 0.1) * has_order,
            *self._levels(power, rms, spacing_hz),
        ]
        return torch.cat([*vibration, *self._scalars(operating, nameplate, has_order, has_bearing)], dim=1)

    def _shaft(self, operating: Tensor, nameplate: Tensor) -> tuple[Tensor, Tensor]:
        """Shaft frequency in Hz, rated where the speed is missing, and 1.0 where it is turning and known."""
        speed, known = _column(operating, OPERATING, "speed_rpm")
        rated, rated_known = _column(nameplate, NAMEPLATE, "rated_speed_rpm")
        used = torch.where(known > 0.0, speed, rated)
        turning = torch.where(known > 0.0, (speed > 60.0).to(speed.dtype), rated_known)
        return used / 60.0, turning

    def _bearing(self, nameplate: Tensor, has_order: Tensor) -> tuple[Tensor, Tensor]:
        """FTF, BSF, BPFO, BPFI and 1 ``(B, 5)``, and 1.0 where all of them are known and the shaft turns."""
        known = [_column(nameplate, NAMEPLATE, name) for name in ("ftf", "bsf", "bpfo", "bpfi")]
        has_bearing = known[0][1] * known[1][1] * known[2][1] * known[3][1] * has_order
        return torch.cat([*(value for value, _ in known), torch.ones_like(has_order)], dim=1), has_bearing

    def _shaft_orders(
        self,
        power: Tensor,
        log_power: Tensor,
        rms: Tensor,
        count: Tensor,
        shaft_hz: Tensor,
        spacing_hz: Tensor,
        has_order: Tensor,
    ) -> list[Tensor]:
        ratio = log_power - self.background(log_power)
        order = shaft_hz / spacing_hz * self.shaft_orders
        search = (order.unsqueeze(2) * self.shaft_search).reshape(order.shape[0], -1)
        shape = (-1, len(SHAFT_ORDERS), _STEPS)
        above = look_up(ratio, search).reshape(shape).amax(dim=2) * has_order
        peak = look_up(power, search).reshape(shape).amax(dim=2)
        # Amplitude of a sine under the parabola, whose mean is 2/3, and from acceleration to velocity in mm/s.
        amplitude = torch.sqrt(peak) * rms * 3.0 / count
        velocity = 1000.0 * amplitude / (6.2831853 * (shaft_hz * self.shaft_orders + 1.0))
        return [above, log10(velocity, 1e-3) * has_order]

    def _shape(self, unit: Tensor, count: Tensor) -> list[Tensor]:
        square = unit * unit
        kurtosis = (square * square).sum(dim=1, keepdim=True) / count
        return [log10(kurtosis, 1e-2), log10(unit.abs().amax(dim=1, keepdim=True), 1e-2)]

    def _levels(self, power: Tensor, rms: Tensor, spacing_hz: Tensor) -> list[Tensor]:
        total = torch.clamp(power.sum(dim=1, keepdim=True), TINY)
        # In float64, or a faint band between two strong ones would drown in the rounding of the running sum.
        running = torch.cumsum((power / total).to(torch.float64), dim=1).to(torch.float32)
        edges = look_up(running, self.edges_hz / spacing_hz)
        share = edges[:, 1:] - edges[:, :-1]
        frequency = self.bins * spacing_hz
        inside = torch.clamp((frequency - 8.0) / 4.0, 0.0, 1.0) * torch.clamp((1010.0 - frequency) / 20.0, 0.0, 1.0)
        omega = 6.2831853 * (frequency + 1.0)
        velocity = torch.sqrt((power * inside / (omega * omega)).sum(dim=1, keepdim=True) / total)
        return [log10(torch.relu(share), 1e-4), log10(rms, 1e-3), log10(1000.0 * velocity * rms, 1e-3)]

    def _scalars(self, operating: Tensor, nameplate: Tensor, has_order: Tensor, has_bearing: Tensor) -> list[Tensor]:
        def read(name: str) -> tuple[Tensor, Tensor]:
            return _column(operating, OPERATING, name)

        def rated(name: str) -> tuple[Tensor, Tensor]:
            return _column(nameplate, NAMEPLATE, name)

        (speed, has_speed), (rated_speed, has_rated_speed) = read("speed_rpm"), rated("rated_speed_rpm")
        (current, has_current), (rated_current, has_rated_current) = read("current_a"), rated("rated_current_a")
        load, has_load = read("load")
        (winding, has_winding), (housing, has_housing) = read("winding_c"), read("housing_c")
        ambient, has_ambient = read("ambient_c")
        (winding_rise, has_winding_rise), (housing_rise, has_housing_rise) = (
            rated("winding_rise_k"),
            rated("housing_rise_k"),
        )

        def per_unit(value: Tensor, base: Tensor, flag: Tensor) -> Tensor:
            return torch.clamp(value / (base + (1.0 - flag)), -1.0, 4.0) * flag

        has_current = has_current * has_rated_current
        has_winding = has_winding * has_ambient * has_winding_rise
        has_housing = has_housing * has_ambient * has_housing_rise
        has_gradient = has_winding * has_housing
        speed_pu = per_unit(speed, rated_speed, has_speed * has_rated_speed)
        current_pu = per_unit(current, rated_current, has_current)
        winding_pu = per_unit(winding - ambient, winding_rise, has_winding)
        housing_pu = per_unit(housing - ambient, housing_rise, has_housing)
        gradient_pu = per_unit(winding - housing, torch.clamp(winding_rise - housing_rise, 1.0), has_gradient)
        drawn = torch.relu(current_pu * current_pu - heat.IDLE_CURRENT_SQUARED) / (1.0 - heat.IDLE_CURRENT_SQUARED)
        squared = torch.where(has_load > 0.0, load * load, torch.where(has_current > 0.0, drawn, 0.64))
        copper = squared * (heat.COLD_SHARE + (1.0 - heat.COLD_SHARE) * squared)
        losses = heat.IDLE_SHARE + (1.0 - heat.IDLE_SHARE) * copper
        share = torch.clamp(housing_rise / (winding_rise + (1.0 - has_winding_rise)), 0.1, 0.95)
        warmth = share * losses + (1.0 - share) * copper
        resistance = torch.relu(housing_pu) * copper / (torch.clamp(gradient_pu, 0.02) * losses)
        return [
            speed_pu,
            current_pu,
            torch.clamp(load, 0.0, 3.0) * has_load,
            winding_pu,
            housing_pu,
            gradient_pu,
            torch.clamp(winding_pu - warmth, -2.0, 3.0) * has_winding,
            torch.clamp(housing_pu - losses, -2.0, 3.0) * has_housing,
            torch.clamp(log10(torch.relu(winding_pu) / warmth, 1e-2), -1.0, 1.5) * has_winding,
            torch.clamp(log10(torch.relu(housing_pu) / losses, 1e-2), -1.0, 1.5) * has_housing,
            torch.clamp(log10(resistance, 1e-2), -1.0, 1.5) * has_gradient,
            torch.clamp((rated_speed - speed) / (rated_speed + 1.0) * 10.0, -1.0, 1.0) * has_speed * has_rated_speed,
            log10(torch.clamp(rated_current, 0.1, 1e4)) * has_rated_current,
            has_order,
            has_bearing,
            has_current,
            has_load,
            has_winding,
            has_housing,
        ]
