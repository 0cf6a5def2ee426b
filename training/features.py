"""Physics of a measurement window as a torch module: the part of every vibration graph that learns nothing.

From a raw window, the operating point and the nameplate to named features ``(B, len(NAMES))``. Orders of the shaft and
of the bearing are looked up in the spectrum and in the squared-envelope spectra of several bands, each as the logarithm
of its ratio to the local background, so that neither the level nor the colour of a machine decides. What is missing is
NaN in the inputs and zero, with a flag, in the features.

Bearing signatures: Randall and Antoni, MSSP 25 (2011) 485-520. Spectral whitening before demodulation: Borghesani et
al., MSSP 36 (2013) 370-384. Velocity bands and severity: ISO 20816-1. Shaft orders of imbalance, misalignment and
looseness: ISO 13373-2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from service.contract.signals import NAMEPLATE, OPERATING
from training import heat
from training.spectrum import BAND, BINS, SAMPLES, TINY, Spectrum, SquaredEnvelope, Taper

BANDS: tuple[tuple[str, int, bool], ...] = (
    ("low", 128, False),
    ("high", 896, False),
    ("low_white", 128, True),
    ("high_white", 896, True),
)
"""Demodulated bands: name, first bin, whitened or not. A band is a quarter of the sampling rate wide."""

SHAFT_ORDERS: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Multiples of shaft speed looked up in the spectrum."""

SLIP = 0.02
"""Rolling elements slip; a bearing order is searched this far, as a fraction, to both sides."""
SHAFT_TOLERANCE = 0.006
"""The same for shaft orders: the uncertainty of a measured speed."""
_STEPS = 7


class Line(NamedTuple):
    """A line of the envelope spectrum: ``a FTF + b BSF + c BPFO + d BPFI + e`` in multiples of shaft speed."""

    name: str
    ftf: float = 0.0
    bsf: float = 0.0
    bpfo: float = 0.0
    bpfi: float = 0.0
    shaft: float = 0.0


LINES: tuple[Line, ...] = (
    Line("bpfo1", bpfo=1),
    Line("bpfo2", bpfo=2),
    Line("bpfo3", bpfo=3),
    Line("bpfi1", bpfi=1),
    Line("bpfi2", bpfi=2),
    Line("bpfi3", bpfi=3),
    Line("bpfi1_lower", bpfi=1, shaft=-1),
    Line("bpfi1_upper", bpfi=1, shaft=1),
    Line("bpfi2_lower", bpfi=2, shaft=-1),
    Line("bpfi2_upper", bpfi=2, shaft=1),
    Line("ball1", bsf=1),
    Line("ball2", bsf=2),
    Line("ball3", bsf=3),
    Line("ball4", bsf=4),
    Line("ball6", bsf=6),
    Line("ball2_lower", bsf=2, ftf=-1),
    Line("ball2_upper", bsf=2, ftf=1),
    Line("ball4_lower", bsf=4, ftf=-1),
    Line("ball4_upper", bsf=4, ftf=1),
    Line("ftf1", ftf=1),
    Line("ftf2", ftf=2),
    Line("ftf3", ftf=3),
    Line("ftf4", ftf=4),
    Line("shaft1", shaft=1),
    Line("shaft2", shaft=2),
    Line("shaft3", shaft=3),
)
"""Lines looked up in every squared-envelope spectrum."""

COMBS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bpfo", ("bpfo1", "bpfo2", "bpfo3")),
    ("bpfi", ("bpfi1", "bpfi2", "bpfi3")),
    ("bpfi_side", ("bpfi1_lower", "bpfi1_upper", "bpfi2_lower", "bpfi2_upper")),
    ("ball", ("ball2", "ball4", "ball6")),
    ("ball_odd", ("ball1", "ball3")),
    ("ball_side", ("ball2_lower", "ball2_upper", "ball4_lower", "ball4_upper")),
    ("cage", ("ftf1", "ftf2", "ftf3", "ftf4")),
    ("shaft", ("shaft1", "shaft2", "shaft3")),
)
"""Lines that move together under slip: their mean at the best common slip is one feature."""

EDGES_HZ: tuple[float, ...] = (10.0, 60.0, 200.0, 500.0, 1000.0, 2000.0, 3500.0, 5000.0)
"""Edges of the bands whose share of the power is a feature."""

SILENT_M_S2 = 1e-4
"""A channel with less RMS than this is dead: no accelerometer is so quiet, and rounding of a mean may be that loud."""

BACKGROUND = 16
"""Bins in a block of the background, which is a line through means over two neighbouring blocks."""
WHITENING = 32
"""The same for the spectrum's colour, which is taken out before the whitened bands are demodulated."""
_FLOOR = 1e-7

_BAND_NAMES = tuple(name for name, _, _ in BANDS)

NAMES: tuple[str, ...] = (
    *(f"order_{order:g}_ratio" for order in SHAFT_ORDERS),
    *(f"order_{order:g}_velocity" for order in SHAFT_ORDERS),
    *(f"{line.name}_best" for line in LINES),
    *(f"{line.name}_mean" for line in LINES),
    *(f"comb_{comb}_{band}" for comb, _ in COMBS for band in _BAND_NAMES),
    *(f"peak_{band}" for band in _BAND_NAMES),
    *(f"impulse_{band}" for band in _BAND_NAMES),
    "kurtosis",
    "crest",
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


def _column(table: Tensor, names: tuple[str, ...], name: str) -> tuple[Tensor, Tensor]:
    """One scalar column ``(B, 1)`` with zero for NaN, and 1.0 where it was there."""
    at = names.index(name)
    value = table[:, at : at + 1]
    known = ~(torch.isnan(value) | torch.isinf(value))
    return torch.where(known, value, torch.zeros_like(value)), known.to(value.dtype)


def _log(value: Tensor, floor: float = _FLOOR) -> Tensor:
    return torch.log10(value + floor)


class Background(nn.Module):
    """Smooth course of a spectrum: straight lines through the means of neighbouring blocks, ``(B, K)`` in and out."""

    ramp: Tensor

    def __init__(self, block: int) -> None:
        super().__init__()
        ramp = (np.arange(block, dtype=np.float32) + 0.5) / block
        self.register_buffer("ramp", torch.from_numpy(ramp)[None, None])

    def forward(self, spectrum: Tensor) -> Tensor:
        """Background of ``spectrum``, whose length is a multiple of the block."""
        block = self.ramp.shape[2]
        count = spectrum.shape[1] // block
        mean = spectrum.reshape(-1, count, block).mean(dim=2, keepdim=True)
        middle = 0.5 * (mean[:, 1:] + mean[:, :-1])
        start = torch.cat([mean[:, :1], middle], dim=1)
        stop = torch.cat([middle, mean[:, -1:]], dim=1)
        return (start + (stop - start) * self.ramp).reshape(-1, count * block)


def _look_up(table: Tensor, position: Tensor) -> Tensor:
    """Linear interpolation of ``table`` ``(B, K)`` at bins ``position`` ``(B, L)``; 0 beyond the ends."""
    last = table.shape[1] - 2
    inside = torch.clamp(position, 0.0, float(last))
    low = torch.floor(inside)
    part = inside - low
    at = low.to(torch.int64)
    value = torch.gather(table, 1, at) * (1.0 - part) + torch.gather(table, 1, at + 1) * part
    return torch.where(position <= float(last), value, torch.zeros_like(value))


class Features(nn.Module):
    """Raw window in, ``NAMES`` out."""

    shaft_orders: Tensor
    shaft_search: Tensor
    line_table: Tensor
    line_search: Tensor
    on_shaft: Tensor
    edges_hz: Tensor
    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.taper = Taper()
        self.spectrum = Spectrum()
        self.envelope = SquaredEnvelope()
        self.background = Background(BACKGROUND)
        self.colour = Background(WHITENING)
        steps = np.linspace(-1.0, 1.0, _STEPS)

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32)))

        constant("shaft_orders", [SHAFT_ORDERS])
        constant("shaft_search", 1.0 + SHAFT_TOLERANCE * steps[None, None])
        constant("line_table", np.array([line[1:] for line in LINES]).T)
        constant("line_search", 1.0 + SLIP * steps[None, None])
        constant("on_shaft", [[float(line.name.startswith("shaft")) for line in LINES]])
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
        vibration = [
            *self._shaft_orders(power, rms, count, shaft_hz, spacing_hz, has_order),
            *self._envelopes(re, im, power, count, shaft_hz / spacing_hz, has_order, nameplate),
            *self._shape(unit, count),
            *self._levels(power, rms, spacing_hz),
        ]
        return torch.cat([*vibration, *self._scalars(operating, nameplate, has_order)], dim=1)

    def _shaft(self, operating: Tensor, nameplate: Tensor) -> tuple[Tensor, Tensor]:
        """Shaft frequency in Hz, rated where the speed is missing, and 1.0 where it is turning and known."""
        speed, known = _column(operating, OPERATING, "speed_rpm")
        rated, rated_known = _column(nameplate, NAMEPLATE, "rated_speed_rpm")
        used = torch.where(known > 0.0, speed, rated)
        turning = torch.where(known > 0.0, (speed > 60.0).to(speed.dtype), rated_known)
        return used / 60.0, turning

    def _shaft_orders(
        self, power: Tensor, rms: Tensor, count: Tensor, shaft_hz: Tensor, spacing_hz: Tensor, has_order: Tensor
    ) -> list[Tensor]:
        log_power = _log(power, 1e-4)
        ratio = log_power - self.background(log_power)
        order = shaft_hz / spacing_hz * self.shaft_orders
        search = (order.unsqueeze(2) * self.shaft_search).reshape(order.shape[0], -1)
        shape = (-1, len(SHAFT_ORDERS), _STEPS)
        above = _look_up(ratio, search).reshape(shape).amax(dim=2) * has_order
        peak = _look_up(power, search).reshape(shape).amax(dim=2)
        # Amplitude of a sine under the parabola, whose mean is 2/3, and from acceleration to velocity in mm/s.
        amplitude = torch.sqrt(peak) * rms * 3.0 / count
        velocity = 1000.0 * amplitude / (6.2831853 * (shaft_hz * self.shaft_orders + 1.0))
        return [above, _log(velocity, 1e-3) * has_order]

    def _envelopes(
        self,
        re: Tensor,
        im: Tensor,
        power: Tensor,
        count: Tensor,
        shaft_bins: Tensor,
        has_order: Tensor,
        nameplate: Tensor,
    ) -> list[Tensor]:
        gain = torch.rsqrt(self.colour(power) + 1e-6)
        white_re, white_im = re * gain, im * gain
        cut_re = torch.cat([(white_re if white else re)[:, first : first + BAND] for _, first, white in BANDS])
        cut_im = torch.cat([(white_im if white else im)[:, first : first + BAND] for _, first, white in BANDS])
        ses, impulse = self.envelope(cut_re, cut_im, count.repeat(len(BANDS), 1))
        log_ses = _log(ses, 1e-3)
        ratio = log_ses - self.background(log_ses)

        known = [_column(nameplate, NAMEPLATE, name) for name in ("ftf", "bsf", "bpfo", "bpfi")]
        has_bearing = known[0][1] * known[1][1] * known[2][1] * known[3][1] * has_order
        orders = torch.cat([*(value for value, _ in known), torch.ones_like(shaft_bins)], dim=1)
        lines = torch.matmul(orders, self.line_table) * shaft_bins
        search = (lines.unsqueeze(2) * self.line_search).reshape(lines.shape[0], -1)
        found = _look_up(ratio, search.repeat(len(BANDS), 1)).reshape(len(BANDS), -1, len(LINES), _STEPS)
        mask = self.on_shaft * has_order + (1.0 - self.on_shaft) * has_bearing
        best = found.amax(dim=3) * mask
        combs = [
            (
                found[:, :, [i for i, line in enumerate(LINES) if line.name in members]]
                .mean(dim=2)
                .amax(dim=2)
                .transpose(0, 1)
            )
            * (has_order if name == "shaft" else has_bearing)
            for name, members in COMBS
        ]
        rows = (len(BANDS), -1)
        peak = ratio[:, 4:].amax(dim=1).reshape(rows).transpose(0, 1)
        return [best.amax(dim=0), best.mean(dim=0), *combs, peak, _log(impulse).reshape(rows).transpose(0, 1)]

    def _shape(self, unit: Tensor, count: Tensor) -> list[Tensor]:
        square = unit * unit
        kurtosis = (square * square).sum(dim=1, keepdim=True) / count
        return [_log(kurtosis, 1e-2), _log(unit.abs().amax(dim=1, keepdim=True), 1e-2)]

    def _levels(self, power: Tensor, rms: Tensor, spacing_hz: Tensor) -> list[Tensor]:
        total = torch.clamp(power.sum(dim=1, keepdim=True), TINY)
        # In float64, or a faint band between two strong ones would drown in the rounding of the running sum.
        running = torch.cumsum((power / total).to(torch.float64), dim=1).to(torch.float32)
        edges = _look_up(running, self.edges_hz / spacing_hz)
        share = edges[:, 1:] - edges[:, :-1]
        frequency = self.bins * spacing_hz
        inside = torch.clamp((frequency - 8.0) / 4.0, 0.0, 1.0) * torch.clamp((1010.0 - frequency) / 20.0, 0.0, 1.0)
        omega = 6.2831853 * (frequency + 1.0)
        velocity = torch.sqrt((power * inside / (omega * omega)).sum(dim=1, keepdim=True) / total)
        return [_log(torch.relu(share), 1e-4), _log(rms, 1e-3), _log(1000.0 * velocity * rms, 1e-3)]

    def _scalars(self, operating: Tensor, nameplate: Tensor, has_order: Tensor) -> list[Tensor]:
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
        bearing = [rated(name)[1] for name in ("ftf", "bsf", "bpfo", "bpfi")]
        has_bearing = bearing[0] * bearing[1] * bearing[2] * bearing[3] * has_order

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
            torch.clamp(_log(torch.relu(winding_pu) / warmth, 1e-2), -1.0, 1.5) * has_winding,
            torch.clamp(_log(torch.relu(housing_pu) / losses, 1e-2), -1.0, 1.5) * has_housing,
            torch.clamp(_log(resistance, 1e-2), -1.0, 1.5) * has_gradient,
            torch.clamp((rated_speed - speed) / (rated_speed + 1.0) * 10.0, -1.0, 1.0) * has_speed * has_rated_speed,
            _log(torch.clamp(rated_current, 0.1, 1e4)) * has_rated_current,
            has_order,
            has_bearing,
            has_current,
            has_load,
            has_winding,
            has_housing,
        ]
