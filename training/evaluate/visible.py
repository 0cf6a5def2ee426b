"""Whether a recording shows its defect's frequency at all: what no method that goes by kinematics can do without.

Nothing of ours is asked. The whole recording is whitened and demodulated in four bands; the comb of the defect's first
three harmonics is held against combs of the same shape at orders where nothing is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BANDS = ((0.017, 0.125), (0.125, 0.25), (0.25, 0.375), (0.375, 0.49))
"""Shares of the sampling rate."""
SLIP = np.linspace(-0.02, 0.012, 65)
HARMONICS = np.arange(1, 4)
CONTROLS = 300
_COLOUR_BINS = 401
_LIMIT = 16.0
_APART = 0.03


def as_strong(
    accel: NDArray[np.float32], fs_hz: float, speed_rpm: float, order: float, taken: Sequence[float]
) -> float:
    """Share of combs at random orders that are as strong as the defect's, in the band where it stands out most.

    Corrected for the choice of the band (Bonferroni), so that a recording without the defect seldom comes below 0.05.

    Args:
        accel: ``(n,)``, the whole recording.
        fs_hz: its sampling rate.
        speed_rpm: of the shaft.
        order: the defect's frequency in multiples of shaft speed.
        taken: orders that controls keep away from, as from multiples of the shaft's.
    """
    rng = np.random.default_rng(0)
    drawn = rng.uniform(1.6, 6.4, 4 * CONTROLS)
    clear = np.abs(drawn - np.round(drawn)) > 2.0 * _APART
    for one in taken:
        clear &= np.abs(drawn / one - 1.0) > _APART
    orders = np.concatenate([[order], drawn[clear][:CONTROLS]])
    turn = speed_rpm / 60.0 * len(accel) / fs_hz  # bins of one order
    bins = orders[:, None, None] * (1.0 + SLIP)[:, None] * HARMONICS * turn
    share = 1.0
    for low, high in BANDS:
        level = maximum_filter1d(_log_envelope(accel.astype(np.float64), low, high), 3)
        comb = level[np.rint(bins).astype(np.intp)].mean(axis=2).max(axis=1)
        share = min(share, float((comb[1:] >= comb[0]).mean()))
    return min(1.0, share * len(BANDS))


def _log_envelope(accel: Floats, low: float, high: float) -> Floats:
    """Logarithm of the squared envelope's spectrum of one band, whitened, tones held down, ``(n // 2 + 1,)``."""
    spectrum = np.fft.rfft(accel - accel.mean())
    frequency = np.fft.rfftfreq(len(accel))
    colour = uniform_filter1d(np.log(np.abs(spectrum) ** 2 + 1e-12), _COLOUR_BINS)
    white = spectrum * np.exp(-0.5 * colour)
    white /= np.sqrt(1.0 + np.abs(white) ** 2 / _LIMIT)
    white[(frequency < low) | (frequency > high)] = 0.0
    analytic = np.zeros(len(accel), dtype=np.complex128)
    analytic[: len(white)] = white
    envelope = np.abs(np.fft.ifft(analytic)) ** 2
    return np.asarray(np.log(np.abs(np.fft.rfft(envelope - envelope.mean())) + 1e-12))
