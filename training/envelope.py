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

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training.spectrum import BINS, LENGTHS, NARROW, PART, TINY, WIDE, SquaredEnvelope

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
COMB_LINES: tuple[Line, ...] = tuple(line for comb in COMBS.values() for line in comb)

NEAR: tuple[str, ...] = ("bpfo", "bpfi", "ball")
"""Combs beside which the nearest whole multiples of shaft speed are looked up."""
_HARMONICS = 3
APART_BINS, FAR_BINS = 2.0, 6.0
"""Bins count twice in ``apart``, up to this."""
_PEAK_FIRST = 4
_PART = NARROW // 2

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
"""Names of the features that the envelopes give."""
COLUMNS: tuple[str, ...] = (
    *(f"comb_{comb}_{band}" for band in BAND_NAMES for comb in COMBS),
    *(f"near_{comb}_{band}" for band in BAND_NAMES for comb in NEAR),
    *(f"peak_{band}" for band in BAND_NAMES),
    *(f"apart_{comb}" for comb in NEAR),
)
"""Names in the order of ``Signature.columns``."""
PARTS: tuple[str, ...] = tuple(f"impulse_{band.name}" for band in BANDS for _ in range(band.width // PART))
"""Names in the order of ``Signature.impulse``: both halves of a wide band have its."""

_SLIPS, _CLOSE = len(COMB_LINES) * _STEPS, len(NEAR) * _HARMONICS


class Background(nn.Module):
    """Smooth course of spectra: straight lines through the means of neighbouring blocks.

    Args:
        block: bins in a block.
        lengths: bins of the spectra that lie side by side, multiples of the block.
    """

    neighbours: Tensor
    line: Tensor

    def __init__(self, block: int, *lengths: int) -> None:
        super().__init__()
        near: list[NDArray[np.int64]] = []
        for length in lengths:
            first, count = sum(map(len, near)), length // block
            near.append(first + np.clip(np.add.outer(np.arange(count), (-1, 0, 1)), 0, count - 1))
        self.register_buffer("neighbours", torch.from_numpy(np.concatenate(near).ravel()))
        # From halfway to the block before to halfway to the one behind.
        ramp = (np.arange(block) + 0.5) / block
        line = 0.5 * np.stack([1.0 - ramp, np.ones(block), ramp])
        self.register_buffer("line", torch.from_numpy(line.astype(np.float32)))

    def blocks(self, spectra: Tensor) -> Tensor:
        """Spectra ``(B, K)`` as ``(B, K / block, block)``."""
        return spectra.reshape(-1, len(self.neighbours) // 3, self.line.shape[1])

    def forward(self, blocks: Tensor) -> Tensor:
        """Background of the spectra, both as ``blocks`` gives them."""
        mean = torch.index_select(blocks.mean(dim=2), 1, self.neighbours)
        return torch.matmul(mean.reshape(-1, blocks.shape[1], 3), self.line)


class LookUp(nn.Module):
    """Linear interpolation of tables at bins; 0 beyond a table's end.

    Args:
        sizes: columns of the tables, which lie side by side.
    """

    last: Tensor
    first: Tensor

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        starts = np.cumsum([0, *sizes])
        self.beyond = int(starts[-1])
        self.register_buffer("first", torch.from_numpy(starts[:-1, None].astype(np.float32)))
        self.register_buffer("last", torch.tensor([[float(size - 2)] for size in sizes]))

    def forward(self, spectra: Tensor, position: Tensor) -> Tensor:
        """Values ``(B, len(sizes), L)`` of ``spectra`` ``(B, sum(sizes))`` at bins ``position`` ``(B, L)``."""
        tables = (-1, len(self.first), position.shape[1])
        rows = (-1, len(self.first) * position.shape[1])
        inside = torch.clamp(position, 0.0, float(self.beyond)).reshape(-1, 1, position.shape[1])
        low = torch.floor(inside)
        part = inside - low
        # Behind the tables lie zeros.
        zeroed = nn.functional.pad(spectra, (0, 2))
        at = torch.where(inside <= self.last, low + self.first, float(self.beyond)).to(torch.int64).reshape(rows)
        below, above = (torch.gather(zeroed, 1, one).reshape(tables) for one in (at, at + 1))
        return below * (1.0 - part) + above * part


class Signature(NamedTuple):
    """What the envelopes tell; logarithms are natural, and nothing is masked.

    Attributes:
        columns: ``NAMES`` but the impulses, in the order of ``COLUMNS``, ``(B, n)``.
        impulse: kurtosis ratio of ``PARTS``, ``(B, n)``.
    """

    columns: Tensor
    impulse: Tensor


class Envelopes(nn.Module):
    """One-sided spectrum in, ``Signature`` out."""

    line_weight: Tensor
    line_bias: Tensor
    membership: Tensor
    near_weight: Tensor
    near_columns: Tensor
    harmonics: Tensor
    past: Tensor
    parts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.demodulate = SquaredEnvelope([band.first for band in BANDS])
        self.background = Background(BACKGROUND, *LENGTHS)
        self.colour = Background(WHITENING, BINS)
        self.look_up = LookUp(*LENGTHS)

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float32)))

        search = np.array(COMB_LINES)[:, None] * (1.0 + np.linspace(*SLIP, _STEPS))[None, :, None]
        constant("line_weight", search.reshape(_SLIPS, -1)[:, :-1])
        constant("line_bias", search.reshape(_SLIPS, -1)[:, -1])
        constant("membership", [[float(line in comb) / len(comb) for line in COMB_LINES] for comb in COMBS.values()])
        constant("near_weight", [COMBS[comb][0][:-1] for comb in NEAR])
        self.register_buffer("near_columns", torch.arange(len(NEAR)).repeat_interleave(_HARMONICS))
        constant("harmonics", np.tile(np.arange(1.0, _HARMONICS + 1.0), len(NEAR)))
        # Peaks are looked for from the fifth bin on, in parts: what a narrow band has, half of what a wide one has.
        starts = np.cumsum([0, *LENGTHS[:-1]])
        past = np.zeros(sum(LENGTHS))
        past[np.add.outer(starts, np.arange(_PEAK_FIRST))] = -np.inf
        constant("past", past)
        ends = np.repeat(np.cumsum(LENGTHS), 2) // _PART - 1
        ends[::2] = starts // _PART
        self.register_buffer("parts", torch.from_numpy(ends))

    def forward(
        self,
        spectrum: Tensor,
        power: Tensor,
        log_power: Tensor,
        taper: Tensor,
        count: Tensor,
        orders: Tensor,
        shaft_bins: Tensor,
    ) -> Signature:
        """What the envelopes tell.

        Args:
            spectrum: real and imaginary part, ``(B, 2, BINS)``.
            power: of the spectrum, ``(B, 1, BINS)``.
            log_power: its natural logarithm from a floor on, ``(B, 1, BINS)``.
            taper: ``Tapered.envelope``.
            count: valid samples, ``(B, 1)``.
            orders: FTF, BSF, BPFO and BPFI in multiples of shaft speed, ``(B, 4)``, any number where unknown.
            shaft_bins: shaft frequency in bins, ``(B, 1)``.
        """
        # What a bin has above its surroundings counts less and less: power / (surroundings + power / limit), here in
        # units of the geometric mean, so that the envelope's least is too.
        surroundings = torch.exp(self.colour(self.colour.blocks(log_power))).reshape(-1, 1, BINS)
        white = spectrum / torch.sqrt(surroundings + power * (1.0 / (_LIMIT * _EULER_GAIN)))
        envelope, impulse = self.demodulate(white, taper, count, TINY * _EULER_GAIN)
        blocks = self.background.blocks(torch.log(envelope + 1e-3))
        ratio = (blocks - self.background(blocks)).reshape(-1, sum(LENGTHS))

        order = nn.functional.linear(orders, self.near_weight)
        whole = torch.round(order)
        near = torch.index_select(whole, 1, self.near_columns) * self.harmonics
        lines = nn.functional.linear(orders, self.line_weight, self.line_bias)
        found = self.look_up(ratio, torch.cat([lines, near], dim=1) * shaft_bins)
        at_slip, beside = found.split([_SLIPS, _CLOSE], dim=2)
        at_slip = at_slip.reshape(-1, len(BANDS), len(COMB_LINES), _STEPS)
        comb = torch.matmul(self.membership, at_slip).amax(dim=3).reshape(-1, len(COMBS) * len(BANDS))
        beside = beside.reshape(-1, len(NEAR) * len(BANDS), _HARMONICS).mean(dim=2)
        peaks = (ratio + self.past).reshape(-1, sum(LENGTHS) // _PART, _PART).amax(dim=2)
        peak = torch.index_select(peaks, 1, self.parts).reshape(-1, len(BANDS), 2).amax(dim=2)
        return Signature(torch.cat([comb, beside, peak, (order - whole).abs() * shaft_bins], dim=1), impulse)
