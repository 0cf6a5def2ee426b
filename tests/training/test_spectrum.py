"""Factored transforms against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.spectrum import BINS, LENGTHS, SAMPLES, Spectrum, SquaredEnvelope, Taper

pytestmark = pytest.mark.training


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, SAMPLES)).astype(np.float32)


def test_factored_fft_agrees_with_numpy_in_float64(noise: np.ndarray) -> None:
    re, im = Spectrum()(torch.from_numpy(noise)).unbind(dim=1)
    reference = np.fft.rfft(noise.astype(np.float64))[:, :BINS]
    assert np.abs(re.numpy() + 1j * im.numpy() - reference).max() < 2e-6 * np.abs(reference).max()


def test_fft_of_a_single_line_lies_in_its_bin() -> None:
    signal = np.cos(2.0 * np.pi * 317 * np.arange(SAMPLES) / SAMPLES, dtype=np.float32)[None]
    re, im = Spectrum()(torch.from_numpy(signal)).unbind(dim=1)
    power = (re.square() + im.square())[0].numpy()
    assert power.argmax() == 317
    assert power[317] == pytest.approx((SAMPLES / 2) ** 2, rel=1e-4)
    assert np.delete(power, 317).max() < 1e-8 * power[317]


def test_taper_removes_the_mean_and_ignores_what_lies_behind_the_valid_samples(noise: np.ndarray) -> None:
    count = torch.full((3, 1), 3000.0)
    dirty, clean = noise + 7.0, noise + 7.0
    dirty[:, 3000:], clean[:, 3000:] = 1e3, 0.0
    for got, wanted in zip(
        Taper()(torch.from_numpy(dirty), count), Taper()(torch.from_numpy(clean), count), strict=True
    ):
        assert torch.equal(got, wanted)
    tapered, unit, rms, _ = Taper()(torch.from_numpy(clean), count)
    assert rms[:, 0].numpy() == pytest.approx(noise[:, :3000].std(axis=1), rel=1e-4)
    assert torch.all(tapered[:, 3000:] == 0.0)
    assert unit.sum(dim=1).abs().max() < 0.1


FIRSTS = (128, 1024, 96, 576, 1056, 1536)


@pytest.mark.parametrize("at", range(len(FIRSTS)))
def test_squared_envelope_spectrum_agrees_with_numpy_in_float64(noise: np.ndarray, at: int) -> None:
    first, half = FIRSTS[at], LENGTHS[at]
    band = 2 * half
    count = torch.full((3, 1), float(SAMPLES))
    tapered, _, _, taper = Taper()(torch.from_numpy(noise), count)
    powers, impulses = SquaredEnvelope(FIRSTS)(Spectrum()(tapered), taper, count, 1e-6)
    power = powers.split(list(LENGTHS), dim=1)[at]
    impulse = impulses[:, [(0, 1), (2, 3), (4,), (5,), (6,), (7,)][at]]
    cut = np.fft.fft(tapered.numpy().astype(np.float64))[:, first : first + band]
    envelope = np.abs(np.fft.ifft(cut)) ** 2
    u = (np.arange(band) * SAMPLES / band - (SAMPLES - 1) / 2) * 2 / (SAMPLES + 1)
    square = (1.0 - u**2) ** 2
    level = envelope.sum(axis=1, keepdims=True) / square.sum()
    reference = np.abs(np.fft.fft(envelope / level - square)[:, :half]) ** 2
    assert np.abs(power.numpy() - reference).max() < 1e-5 * reference.max()
    kurtosis = band * (envelope**2).sum(axis=1) / envelope.sum(axis=1) ** 2
    for part in impulse.T.numpy():
        assert part == pytest.approx(kurtosis, rel=1e-4)
