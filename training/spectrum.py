"""Window, factored FFT and squared-envelope spectrum as torch modules that export to plain MatMul, Mul and Add.

A 4096-point transform is done as two 64-point ones with a twiddle in between (Cooley and Tukey, Math. Comp. 19 (1965)
297-301): two small constant matrices instead of one hopeless large one, and no ``DFT`` operator, which is slow and at
some lengths inaccurate in the runtime. The taper is a parabola (Welch), a polynomial without any transcendental
function per sample; its square, which the squared envelope sees, is the biweight ``(1 - u^2)^2``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAMPLES = 4096
"""Samples in a model row."""

BINS = SAMPLES // 2
"""Bins of the one-sided spectrum; bin ``k`` lies at ``k fs / SAMPLES``. The Nyquist bin is left out."""

_ROOT = 64  # SAMPLES = _ROOT ** 2
WIDE = 1024
"""Bins in a wide demodulated band: a quarter of the sampling rate."""
NARROW = 512
"""Bins in a narrow one: an eighth."""
_ROWS, _COLUMNS = 32, 32  # WIDE = _ROWS * _COLUMNS, NARROW half of that
LENGTHS: tuple[int, ...] = (WIDE // 2, WIDE // 2, *(NARROW // 2,) * 4)
"""Bins of the squared-envelope spectra of two wide and four narrow bands, side by side."""
PART = NARROW
"""Samples of a band's envelope that are worked on as one: a narrow band's, or half a wide one's."""
GRIDS: tuple[NDArray[np.float64], ...] = (
    *(
        np.add.outer(np.arange(first, first + _ROWS // 2), _ROWS * np.arange(_COLUMNS)) * (SAMPLES / WIDE)
        for first in (0, _ROWS // 2)
    ),
    np.add.outer(np.arange(_ROWS // 2), _ROWS // 2 * np.arange(_COLUMNS)) * (SAMPLES / NARROW),
)
"""Times, in samples of the window, of the parts of a wide band's envelope and of a narrow band's, as they lie."""

TINY = 1e-6
"""Bound of divisors. A clamp and not a summand: the runtime's optimiser drops the addition of so small a constant."""


def _dft(rows: int, columns: int, size: int, sign: int) -> NDArray[np.complex128]:
    """``exp(sign 2 pi i r c / size)`` for ``r < rows``, ``c < columns``."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % size / size
    return np.asarray(np.exp(sign * 2j * np.pi * turns))


def _constant(module: nn.Module, name: str, value: NDArray[np.float64]) -> None:
    module.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))


class Tapered(NamedTuple):
    """What ``Taper`` makes of a window.

    Attributes:
        signal: of unit RMS, tapered, ``(B, SAMPLES)``.
        unit: the same without the taper.
        rms: m/s^2, ``(B, 1)``.
        envelope: the taper as the squared envelope of a band sees it, ``(B, len(GRIDS), PART)``.
    """

    signal: Tensor
    unit: Tensor
    rms: Tensor
    envelope: Tensor


class Taper(nn.Module):
    """Removes the mean of the valid samples, scales them to unit RMS and tapers them to zero at both ends."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        _constant(self, "index", np.concatenate([np.arange(SAMPLES), *(grid.ravel() for grid in GRIDS)])[None])

    def forward(self, accel: Tensor, samples: Tensor) -> Tapered:
        """The window, tapered.

        Args:
            accel: ``(B, SAMPLES)``, m/s^2.
            samples: ``(B, 1)``, how many of them are valid; the rest is ignored if it is finite.
        """
        left = samples - self.index
        valid = torch.clamp(left[:, :SAMPLES], 0.0, 1.0)
        mean = (accel * valid).sum(dim=1, keepdim=True) / samples
        centred = (accel - mean) * valid
        rms = torch.sqrt((centred * centred).sum(dim=1, keepdim=True) / samples)
        unit = centred / torch.clamp(rms, TINY)
        # With v = 1 - u: 1 - u^2 = v (2 - v).
        v = left * (2.0 / (samples + 1.0))
        taper, envelope = torch.relu(v * (2.0 - v)).split([SAMPLES, len(GRIDS) * PART], dim=1)
        return Tapered(unit * taper, unit, rms, (envelope * envelope).reshape(-1, len(GRIDS), PART))


class Spectrum(nn.Module):
    """One-sided discrete Fourier transform of ``SAMPLES`` real samples, ``X[k] = sum x[n] exp(-2 pi i n k / N)``.

    With ``n = 64 a + b`` and ``k = 64 c + d``::

        X[64 c + d] = sum_b exp(-2 pi i b c / 64) exp(-2 pi i b d / 4096) sum_a x[64 a + b] exp(-2 pi i a d / 64)
    """

    first: Tensor
    twiddle_re: Tensor
    twiddle_im: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        first = _dft(_ROOT, _ROOT, _ROOT, -1)
        _constant(self, "first", np.concatenate([first.real, first.imag]))
        twiddle = _dft(_ROOT, _ROOT, SAMPLES, -1)
        _constant(self, "twiddle_re", twiddle.real)
        _constant(self, "twiddle_im", twiddle.imag)
        second = _dft(_ROOT, _ROOT // 2, _ROOT, -1)
        _constant(self, "second", np.block([[second.real, second.imag], [-second.imag, second.real]]))

    def forward(self, signal: Tensor) -> Tensor:
        """Real and imaginary part, ``(B, 2, BINS)``, of ``signal`` ``(B, SAMPLES)``."""
        inner = torch.matmul(self.first, signal.reshape(-1, _ROOT, _ROOT))
        re, im = inner.split(_ROOT, dim=1)
        turned = torch.cat(
            [re * self.twiddle_re - im * self.twiddle_im, re * self.twiddle_im + im * self.twiddle_re], dim=2
        )
        return torch.matmul(turned, self.second).transpose(1, 2).reshape(-1, 2, BINS)


class SquaredEnvelope(nn.Module):
    """Squared-envelope spectra of bands cut out of a one-sided spectrum (Randall and Antoni, MSSP 25 (2011) 485-520).

    The cut bins, shifted to base band, are transformed back into a complex signal at the band's own rate; its squared
    magnitude, less the part that the taper explains, is transformed again. With ``rows * columns`` bins, layouts are
    chosen so that no transpose is needed. As two narrow bands, one above the other, have as many rows as a wide one,
    all are worked on at once, as ``(kind, pair)``: wide and narrow, two of each.

    Args:
        firsts: first bins of two wide bands and four narrow ones, multiples of 32.
    """

    rows: Tensor
    back: Tensor
    back_re: Tensor
    back_im: Tensor
    back_out: Tensor
    forth: Tensor
    forth_out: Tensor
    summed: Tensor
    counted: Tensor
    tapered: Tensor
    grid: Tensor

    def __init__(self, firsts: Sequence[int]) -> None:
        super().__init__()
        wide, narrow = _ROWS, _ROWS // 2
        # Rows of the spectrum, 32 bins each: a unit's real parts, then its imaginary ones.
        starts = [first // _COLUMNS for first in firsts]
        units = [(start + np.arange(wide)) for start in starts[:2]]
        units += [np.add.outer(starts[at : at + 2], np.arange(narrow)).ravel() for at in (2, 4)]
        rows = [np.concatenate([unit, unit + BINS // _COLUMNS]) for unit in units]
        self.register_buffer("rows", torch.from_numpy(np.concatenate(rows)))

        def complexes(name: str, values: list[NDArray[np.complexfloating]]) -> None:
            blocks = [np.block([[one.real, -one.imag], [one.imag, one.real]]) for one in values]
            _constant(self, name, np.stack(blocks)[:, None])

        twice = np.eye(2)
        complexes("back", [_dft(wide, wide, wide, 1) / wide, np.kron(twice, _dft(narrow, narrow, narrow, 1)) / narrow])
        half, other = (_dft(size // 2, size, size, -1) for size in (wide, narrow))
        complexes("forth_out", [half, np.kron(twice, other)])
        twiddle = np.stack([
            _dft(wide, _COLUMNS, WIDE, 1), np.tile(_dft(narrow, _COLUMNS, NARROW, 1), (2, 1))
        ])[:, None]  # fmt: skip
        _constant(self, "back_re", twiddle.real)
        _constant(self, "back_im", twiddle.imag)
        inverse = _dft(_COLUMNS, _COLUMNS, _COLUMNS, 1)
        _constant(self, "back_out", np.block([[inverse.real, inverse.imag], [-inverse.imag, inverse.real]]) / _COLUMNS)
        forward = _dft(_COLUMNS, _COLUMNS, _COLUMNS, -1)
        _constant(self, "forth", np.concatenate([forward.real, forward.imag], axis=1))
        # Of the eight parts of PART samples, the first four are halves of wide bands.
        band = np.array([0, 0, 1, 1, 2, 3, 4, 5])
        same = (band[:, None] == band).astype(np.float64)
        _constant(self, "summed", same)
        _constant(self, "counted", same * same.sum(axis=1, keepdims=True) * (PART / SAMPLES))
        _constant(self, "tapered", np.array([[1.0, 1.0, 0.0]] * 4 + [[0.0, 0.0, 1.0]] * 4))
        self.register_buffer("grid", torch.tensor([0, 1, 0, 1, 2, 2, 2, 2]))

    def forward(self, spectrum: Tensor, taper: Tensor, samples: Tensor, least: float) -> tuple[Tensor, Tensor]:
        """Power of the squared-envelope spectra ``(B, sum(LENGTHS))`` and their parts' kurtosis ratio ``(B, 8)``.

        The spectra lie side by side, on the same grid as the spectrum itself. The ratio ``n sum e^2 / (sum e)^2`` is
        about 2.9 for Gaussian noise under this taper and grows with impulses; both halves of a wide band have its.

        Args:
            spectrum: ``(B, 2, BINS)``.
            taper: ``Tapered.envelope``.
            samples: valid samples of the window at the full rate, ``(B, 1)``.
            least: bound of a band's summed squared envelope.
        """
        bins = spectrum.reshape(-1, 2 * BINS // _COLUMNS, _COLUMNS)
        cut = torch.index_select(bins, 1, self.rows).reshape(-1, 2, 2, 2 * _ROWS, _COLUMNS)
        a, b = torch.matmul(self.back, cut).split(_ROWS, dim=3)
        turned = torch.cat([a * self.back_re - b * self.back_im, a * self.back_im + b * self.back_re], dim=4)
        analytic = torch.matmul(turned, self.back_out)
        p, q = (analytic * analytic).split(_COLUMNS, dim=4)
        squared = (p + q).reshape(-1, len(self.grid), PART)
        total = torch.clamp(torch.matmul(self.summed, squared.sum(dim=2, keepdim=True)), least)
        fourth = torch.matmul(self.counted, (squared * squared).sum(dim=2, keepdim=True))
        level = total / torch.matmul(self.tapered, taper.sum(dim=2, keepdim=True))
        flat = (squared / level - torch.index_select(taper, 1, self.grid)).reshape(-1, 2, 2, _ROWS, _COLUMNS)
        c, d = torch.matmul(flat, self.forth).split(_COLUMNS, dim=4)
        back = torch.cat([c * self.back_re + d * self.back_im, d * self.back_re - c * self.back_im], dim=3)
        found = torch.matmul(self.forth_out, back)
        s, t = (found * found).split(_ROWS // 2, dim=3)
        return (s + t).reshape(-1, sum(LENGTHS)), (fourth / (total * total)).reshape(-1, len(self.grid)) * samples
