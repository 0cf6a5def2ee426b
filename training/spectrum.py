"""Window, factored FFT and squared-envelope spectrum as torch modules that export to plain MatMul, Mul and Add.

A 4096-point transform is done as two 64-point ones with a twiddle in between (Cooley and Tukey, Math. Comp. 19 (1965)
297-301): two small constant matrices instead of one hopeless large one, and no ``DFT`` operator, which is slow and at
some lengths inaccurate in the runtime. The taper is a parabola (Welch), a polynomial without any transcendental
function per sample; its square, which the squared envelope sees, is the biweight ``(1 - u^2)^2``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
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

TINY = 1e-6
"""Bound of divisors. A clamp and not a summand: the runtime's optimiser drops the addition of so small a constant."""


def _dft(rows: int, columns: int, size: int, sign: int) -> NDArray[np.complex128]:
    """``exp(sign 2 pi i r c / size)`` for ``r < rows``, ``c < columns``."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % size / size
    return np.asarray(np.exp(sign * 2j * np.pi * turns))


def _constant(module: nn.Module, name: str, value: NDArray[np.float64]) -> None:
    module.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))


class Taper(nn.Module):
    """Removes the mean of the valid samples, scales them to unit RMS and tapers them to zero at both ends."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        _constant(self, "index", np.arange(SAMPLES, dtype=np.float64)[None])

    def forward(self, accel: Tensor, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tapered and plain signal of unit RMS ``(B, SAMPLES)``, and the RMS in m/s^2 ``(B, 1)``.

        Args:
            accel: ``(B, SAMPLES)``, m/s^2.
            samples: ``(B, 1)``, how many of them are valid; the rest is ignored if it is finite.
        """
        valid = torch.clamp(samples - self.index, 0.0, 1.0)
        mean = (accel * valid).sum(dim=1, keepdim=True) / samples
        centred = (accel - mean) * valid
        rms = torch.sqrt((centred * centred).sum(dim=1, keepdim=True) / samples)
        unit = centred / torch.clamp(rms, TINY)
        u = (self.index - 0.5 * (samples - 1.0)) * (2.0 / (samples + 1.0))
        return unit * torch.relu(1.0 - u * u), unit, rms


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

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, ``(B, BINS)`` each, of ``signal`` ``(B, SAMPLES)``."""
        inner = torch.matmul(self.first, signal.reshape(-1, _ROOT, _ROOT))
        re, im = inner[:, :_ROOT], inner[:, _ROOT:]
        turned = torch.cat(
            [re * self.twiddle_re - im * self.twiddle_im, re * self.twiddle_im + im * self.twiddle_re], dim=2
        )
        outer = torch.matmul(turned, self.second).transpose(1, 2)
        half = _ROOT // 2
        return outer[:, :half].reshape(-1, BINS), outer[:, half:].reshape(-1, BINS)


class SquaredEnvelope(nn.Module):
    """Squared-envelope spectrum of a band cut out of a one-sided spectrum (Randall and Antoni, MSSP 25 (2011) 485-520).

    The cut bins, shifted to base band, are transformed back into a complex signal at the band's own rate; its squared
    magnitude, less the part that the taper explains, is transformed again. With ``rows * columns`` bins, layouts are
    chosen so that no transpose is needed.
    """

    back: Tensor
    back_re: Tensor
    back_im: Tensor
    back_out: Tensor
    forth: Tensor
    forth_out: Tensor
    time: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        band = rows * columns
        inverse = _dft(rows, rows, rows, +1)
        _constant(self, "back", np.block([[inverse.real, -inverse.imag], [inverse.imag, inverse.real]]) / rows)
        inverse = _dft(columns, columns, columns, +1)
        _constant(self, "back_out", np.block([[inverse.real, inverse.imag], [-inverse.imag, inverse.real]]) / columns)
        twiddle = _dft(rows, columns, band, +1)
        _constant(self, "back_re", twiddle.real)
        _constant(self, "back_im", twiddle.imag)
        forward = _dft(columns, columns, columns, -1)
        _constant(self, "forth", np.concatenate([forward.real, forward.imag], axis=1))
        half = _dft(rows, rows, rows, -1)[: rows // 2]
        _constant(self, "forth_out", np.block([[half.real, -half.imag], [half.imag, half.real]]))
        # Time of element (a, b), which is sample a + rows b at the band's rate, on the grid of the original samples.
        grid = np.add.outer(np.arange(rows), rows * np.arange(columns)) * (SAMPLES / band)
        _constant(self, "time", grid[None])

    @property
    def bins(self) -> int:
        """Bins of the result, on the same grid as the spectrum itself."""
        return self.rows * self.columns // 2

    def forward(self, re: Tensor, im: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Power of the squared-envelope spectrum ``(B, bins)`` and the envelope's kurtosis ratio ``(B, 1)``.

        The ratio ``n sum e^2 / (sum e)^2`` is about 2.9 for Gaussian noise under this taper and grows with impulses.

        Args:
            re: real part of the band, ``(B, rows * columns)``.
            im: imaginary part, likewise.
            samples: valid samples of the window at the full rate, ``(B, 1)``.
        """
        n, m = self.rows, self.columns
        cut = torch.cat([re.reshape(-1, n, m), im.reshape(-1, n, m)], dim=1)
        inner = torch.matmul(self.back, cut)
        a, b = inner[:, :n], inner[:, n:]
        turned = torch.cat([a * self.back_re - b * self.back_im, a * self.back_im + b * self.back_re], dim=2)
        analytic = torch.matmul(turned, self.back_out)
        p, q = analytic[:, :, :m], analytic[:, :, m:]
        squared = p * p + q * q
        count = samples.unsqueeze(2)
        u = (self.time - 0.5 * (count - 1.0)) * (2.0 / (count + 1.0))
        taper = torch.relu(1.0 - u * u)
        taper = taper * taper
        total = torch.clamp(squared.sum(dim=(1, 2), keepdim=True), TINY)
        ratio = (squared * squared).sum(dim=(1, 2), keepdim=True) / (total * total) * (count * (n * m / SAMPLES))
        level = total / taper.sum(dim=(1, 2), keepdim=True)
        spread = torch.matmul(squared / level - taper, self.forth)
        c, d = spread[:, :, :m], spread[:, :, m:]
        back = torch.cat([c * self.back_re + d * self.back_im, d * self.back_re - c * self.back_im], dim=1)
        found = torch.matmul(self.forth_out, back)
        half = n // 2
        s, t = found[:, :half].reshape(-1, self.bins), found[:, half:].reshape(-1, self.bins)
        return s * s + t * t, ratio.reshape(-1, 1)
