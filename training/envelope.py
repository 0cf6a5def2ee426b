"""Bearing signatures of a window: lines of the squared-envelope spectra of six bands, as a torch module.

The spectrum is whitened before it is demodulated (Borghesani et al., MSSP 36 (2013) 370-384; the strongest simple step
in Smith and Randall, MSSP 64-65 (2015) 100-131): each bin is divided by the geometric mean of its surroundings, which a
tone does not raise, and what still stands out is held down, so that neither the colour of a machine nor its tones
decide. Then each of ``BANDS`` is demodulated, and each comb of lines is told as the mean logarithm of the lines' ratio
to the local background, at the best slip that they share.

Some bearings roll at nearly whole orders (3.05 and 4.95 for a 6203): what belongs to the shaft is looked up beside each
comb, and how many bins lie between the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training.spectrum import NARROW, TINY, WIDE, SquaredEnvelope


class Band(NamedTuple):
    """A demodulated band: its first bin and its width in bins."""

    name: str
    first: int
    width: int


BANDS: tuple[Band, ...] = (
    Band("low", 128, WIDE),
    Band("high", 1024, WIDE),
    Band("narrow_1", 96, NARROW),
    Band("narrow_2", 576, NARROW),
    Band("narrow_3", 1056, NARROW),
    Band("narrow_4", 1536, NARROW),
)
"""A resonance that answers to a defect fills one of the narrow bands; impacts that ring nowhere in particular are seen
best in the wide ones, a quarter of the sampling rate each."""

BAND_NAMES: tuple[str, ...] = tuple(band.name for band in BANDS)


class Line(NamedTuple):
    """A line of the envelope spectrum: ``a FTF + b BSF + c BPFO + d BPFI + e`` in multiples of shaft speed."""

    ftf: float = 0.0
    bsf: float = 0.0
    bpfo: float = 0.0
    bpfi: float = 0.0
    shaft: float = 0.0


COMBS: dict[str, tuple[Line, ...]] = {
    "bpfo": (Line(bpfo=1), Line(bpfo=2), Line(bpfo=3)),
    "bpfi": (Line(bpfi=1), Line(bpfi=2), Line(bpfi=3)),
    "bpfi_side": (Line(bpfi=1, shaft=-1), Line(bpfi=1, shaft=1), Line(bpfi=2, shaft=-1), Line(bpfi=2, shaft=1)),
    "ball": (Line(bsf=2), Line(bsf=4), Line(bsf=6)),
    "ball_odd": (Line(bsf=1), Line(bsf=3)),
    "ball_side": (Line(bsf=2, ftf=-1), Line(bsf=2, ftf=1), Line(bsf=4, ftf=-1), Line(bsf=4, ftf=1)),
    "cage": (Line(ftf=1), Line(ftf=2), Line(ftf=3), Line(ftf=4)),
    "shaft": (Line(shaft=1), Line(shaft=2), Line(shaft=3)),
}
"""Lines that move together under slip: their mean at the best common slip is one feature of each band."""

NEAR: tuple[str, ...] = ("bpfo", "bpfi", "ball")
"""Combs beside which the nearest whole multiples of shaft speed are looked up."""
_HARMONICS = 3
_FAR_BINS = 6.0

SLIP = (-0.019, 0.012)
"""Rolling elements slip, mostly backwards, and makers' geometries differ: where a bearing line is looked for."""
_STEPS = 11

BACKGROUND = 16
"""Bins in a block of the background, which is a line through means over two neighbouring blocks."""
WHITENING = 64
"""The same for the spectrum's colour, which is taken out before demodulation."""
_EULER_GAIN = 1.781
"""Mean over geometric mean of the power of noise: ``exp(0.5772)``."""
_LIMIT = 16.0
"""A bin that stands out of its surroundings is held below this power over theirs."""

NAMES: tuple[str, ...] = (
    *(f"comb_{comb}_{band}" for comb in COMBS for band in BAND_NAMES),
    *(f"near_{comb}_{band}" for comb in NEAR for band in BAND_NAMES),
    *(f"peak_{band}" for band in BAND_NAMES),
    *(f"impulse_{band}" for band in BAND_NAMES),
    *(f"apart_{comb}" for comb in NEAR),
)
"""Names of the columns that ``Envelopes`` gives."""

FLOOR = 1e-7


def log10(value: Tensor, floor: float = FLOOR) -> Tensor:
    """Logarithm to base 10 of what is not negative, from a floor on."""
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


def look_up(table: Tensor, position: Tensor) -> Tensor:
    """Linear interpolation of ``table`` ``(B, K)`` at bins ``position`` ``(B, L)``; 0 beyond the ends."""
    last = table.shape[1] - 2
    inside = torch.clamp(position, 0.0, float(last))
    low = torch.floor(inside)
    part = inside - low
    at = low.to(torch.int64)
    value = torch.gather(table, 1, at) * (1.0 - part) + torch.gather(table, 1, at + 1) * part
    return torch.where(position <= float(last), value, torch.zeros_like(value))


class Envelopes(nn.Module):
    """One-sided spectrum in, ``NAMES`` out."""

    line_table: Tensor
    line_search: Tensor
    membership: Tensor
    on_shaft: Tensor
    near_table: Tensor
    harmonics: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.wide = SquaredEnvelope(32, WIDE // 32)
        self.narrow = SquaredEnvelope(16, NARROW // 16)
        self.background = Background(BACKGROUND)
        self.colour = Background(WHITENING)

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32)))

        lines = [line for comb in COMBS.values() for line in comb]
        member = [[float(line in comb) / len(comb) for line in lines] for comb in COMBS.values()]
        constant("line_table", np.array(lines).T)
        constant("line_search", 1.0 + np.linspace(*SLIP, _STEPS)[None, None])
        constant("membership", member)
        constant("on_shaft", [[[float(comb == "shaft")] for comb in COMBS]])
        constant("near_table", np.array([COMBS[comb][0] for comb in NEAR]).T)
        constant("harmonics", np.arange(1.0, _HARMONICS + 1.0)[None, None])

    def forward(
        self,
        re: Tensor,
        im: Tensor,
        log_power: Tensor,
        count: Tensor,
        orders: Tensor,
        shaft_bins: Tensor,
        has_order: Tensor,
        has_bearing: Tensor,
    ) -> list[Tensor]:
        """Columns of ``NAMES``, ``(B, n)`` each.

        Args:
            re: real part of the spectrum, ``(B, BINS)``.
            im: imaginary part.
            log_power: ``log10`` of its power.
            count: valid samples, ``(B, 1)``.
            orders: FTF, BSF, BPFO, BPFI and 1 in multiples of shaft speed, ``(B, 5)``, any number where unknown.
            shaft_bins: shaft frequency in bins, ``(B, 1)``.
            has_order: 1 where the shaft speed is known, ``(B, 1)``.
            has_bearing: 1 where the bearing is known too, ``(B, 1)``.
        """
        # What a bin has above its surroundings counts less and less: power / (surroundings + power / limit).
        surroundings = torch.exp(self.colour(log_power) * 2.302585) * _EULER_GAIN
        gain = torch.rsqrt(torch.clamp(surroundings + (re * re + im * im) / _LIMIT, TINY))
        white_re, white_im = re * gain, im * gain

        lines = torch.matmul(orders, self.line_table) * shaft_bins
        search = (lines.unsqueeze(2) * self.line_search).reshape(lines.shape[0], -1)
        order = torch.matmul(orders, self.near_table)
        whole = torch.round(order)
        near = (whole * shaft_bins).unsqueeze(2) * self.harmonics
        position = torch.cat([search, near.reshape(lines.shape[0], -1)], dim=1)

        combs, shafts, peaks, impulses = [], [], [], []
        for width, demodulate in ((WIDE, self.wide), (NARROW, self.narrow)):
            firsts = [band.first for band in BANDS if band.width == width]
            cut_re = torch.cat([white_re[:, first : first + width] for first in firsts])
            cut_im = torch.cat([white_im[:, first : first + width] for first in firsts])
            power, impulse = demodulate(cut_re, cut_im, count.repeat(len(firsts), 1))
            log_ses = log10(power, 1e-3)
            ratio = log_ses - self.background(log_ses)
            found = look_up(ratio, position.repeat(len(firsts), 1))
            split = search.shape[1]
            at_slip = found[:, :split].reshape(-1, lines.shape[1], _STEPS)
            combs.append(torch.matmul(self.membership, at_slip).amax(dim=2).reshape(len(firsts), -1, len(COMBS)))
            shafts.append(found[:, split:].reshape(len(firsts), -1, len(NEAR), _HARMONICS).mean(dim=3))
            peaks.append(ratio[:, 4:].amax(dim=1).reshape(len(firsts), -1))
            impulses.append(log10(impulse).reshape(len(firsts), -1))
        # (bands, B, n) to (B, n bands), bands fastest, as in NAMES.
        known = self.on_shaft * has_order.unsqueeze(2) + (1.0 - self.on_shaft) * has_bearing.unsqueeze(2)
        comb = torch.cat(combs).permute(1, 2, 0) * known
        beside = torch.cat(shafts).permute(1, 2, 0) * has_bearing.unsqueeze(2)
        apart = torch.clamp((order - whole).abs() * shaft_bins * 2.0, 0.0, _FAR_BINS) * has_bearing
        return [
            comb.reshape(-1, len(COMBS) * len(BANDS)),
            beside.reshape(-1, len(NEAR) * len(BANDS)),
            torch.cat(peaks).transpose(0, 1),
            torch.cat(impulses).transpose(0, 1),
            apart,
        ]
