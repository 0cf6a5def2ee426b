"""From recordings of a seeded defect to a ``preset.Specimen``: spectra in closed form, habits by matched moments.

The power spectrum of the recordings is split between impacts and noise by a share that the search finds together with
slip, load zone, scatter and spall, so that the windows' features have the recordings' means and widths (simulated
method of moments, McFadden, Econometrica 57 (1989) 995-1026; the same random numbers at every step).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import preset, spectrum
from simulator.resemblance import features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.contract.faults import Fault
    from simulator.preset import Preset, Specimen

WINDOW = 4096
KNOTS = 129
DRAWS = 60
STEPS = 200
TRIED = 7
"""Twin's windows per recording in the search."""

WIDTH_FLOOR = 0.08
"""Least width of a feature: two clouds closer than this are the same."""


class Sample(NamedTuple):
    """A recording of the specimen: acceleration in m/s^2, ``(n,)``, and its speed."""

    accel_m_s2: NDArray[np.float32]
    speed_rpm: float


class Habit(NamedTuple):
    """One number that the search finds, within ``low..high``; it begins around ``first``."""

    name: str
    low: float
    high: float
    first: float


COMMON = (
    Habit("noise_share_low", -4.0, 4.0, -0.5),
    Habit("noise_share_high", -4.0, 4.0, -0.5),
    Habit("jitter", 0.001, 0.05, 0.008),
    Habit("zone_extent", 0.3, 1.5, 0.6),
    Habit("zone_depth", 0.0, 1.0, 0.5),
    Habit("height_scatter", 0.02, 1.3, 0.25),
    Habit("spall_share", 0.0, 0.3, 0.06),
    Habit("roughness", 0.0, 2.0, 0.4),
    Habit("shaft_modulation", 0.0, 0.7, 0.05),
    Habit("impact_scatter", 0.0, 0.7, 0.06),
    Habit("spectrum_scatter", 0.0, 0.7, 0.08),
)
OWN: dict[str, tuple[Habit, ...]] = {
    "inner_race": (),
    "outer_race": (Habit("rotor_modulation", 0.0, 0.9, 0.2),),
    "ball": (Habit("wander", 0.0, 1.0, 0.4), Habit("race_ratio", 0.0, 1.0, 0.6)),
}
CONTACT = ("jitter", "zone_extent", "zone_depth", "height_scatter", "spall_share", "roughness", "race_ratio")
EFFECT = ("rotor_modulation", "wander")


def specimen(
    rig: Preset,
    fault: Fault,
    size_in: str,
    position: str,
    severity: float,
    samples: Sequence[Sample],
    defect_order: float,
    *,
    seed: int = 0,
    per_sample: int = 12,
) -> Specimen:
    """The specimen whose windows resemble the samples' most by ``resemblance.FEATURES``."""
    habits = COMMON + OWN[fault]
    power = density([sample.accel_m_s2 for sample in samples])
    slip = mean_slip(samples, rig.fs_hz, defect_order)
    real = np.concatenate(
        [described(cut(s.accel_m_s2, per_sample), rig.fs_hz, s.speed_rpm, defect_order) for s in samples]
    )

    def made(at: NDArray[np.float64]) -> Specimen:
        value = {h.name: float(h.low + (h.high - h.low) * u) for h, u in zip(habits, at, strict=True)}
        return _specimen(rig, fault, size_in, position, severity, power, slip, value)

    def distance(at: NDArray[np.float64]) -> float:
        trial = made(at)
        twin = np.concatenate(
            [
                described(
                    preset.windows(rig, trial, s.speed_rpm, TRIED, WINDOW, np.random.default_rng([seed, number]))[0],
                    rig.fs_hz,
                    s.speed_rpm,
                    defect_order,
                )
                for number, s in enumerate(samples)
            ]
        )
        return _apart(real, twin)

    rng = np.random.default_rng(seed)
    start = np.array([(h.first - h.low) / (h.high - h.low) for h in habits])
    trials = [
        np.clip(start + spread * rng.standard_normal(start.size), 0.0, 1.0) for spread in np.linspace(0, 0.4, DRAWS)
    ]
    best, least, reach = min(((trial, distance(trial), 0.12) for trial in trials), key=lambda item: item[1])
    # One-in-five rule: the reach follows success (Rechenberg 1973).
    for _ in range(STEPS):
        mask = rng.random(start.size) < 0.4
        trial = np.clip(best + reach * mask * rng.standard_normal(start.size), 0.0, 1.0)
        score = distance(trial)
        if score < least:
            best, least = trial, score
            reach = min(0.4, reach * 1.5)
        else:
            reach = max(0.02, reach * 0.91)
    return made(best)


def cut(x: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` windows spread over a recording, ``(count, WINDOW)``."""
    return np.stack([x[s : s + WINDOW] for s in np.linspace(0, x.size - WINDOW, count).astype(int)])


def density(recordings: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean power at ``KNOTS`` even frequencies from 0 to half the rate, in (m/s^2)^2; sums to the mean square."""
    total = np.zeros(WINDOW // 2 + 1)
    for x in recordings:
        pieces = np.lib.stride_tricks.sliding_window_view(x - x.mean(), WINDOW)[:: WINDOW // 2]
        lines = np.abs(np.fft.rfft(pieces * np.hanning(WINDOW))) ** 2
        total += lines.mean(axis=0) / (0.375 * WINDOW**2 / 2.0) / len(recordings)
    at = np.linspace(0.0, KNOTS - 1.0, total.size)
    low = np.minimum(at.astype(int), KNOTS - 2)
    part = at - low
    shared = np.zeros(KNOTS)
    np.add.at(shared, low, (1.0 - part) * total)
    np.add.at(shared, low + 1, part * total)
    return shared + 1e-9 * float(shared.sum())


def mean_slip(samples: Sequence[Sample], fs_hz: float, defect_order: float) -> float:
    """Slip against the kinematic rate, from the envelope spectra; the catalogue's where the line is not clear."""
    found = []
    for x, speed_rpm in samples:
        lines = spectrum.envelope_spectrum(x, fs_hz)
        rate_hz = defect_order * speed_rpm / 60.0
        near = np.abs(lines.f_hz / rate_hz - 1.0) < 0.025
        peak = int(np.argmax(lines.amplitude[near]))
        if lines.amplitude[near][peak] > 8.0 * np.median(lines.amplitude[near]):
            found.append(1.0 - float(lines.f_hz[near][peak]) / rate_hz)
    return float(np.clip(np.mean(found), -0.02, 0.05)) if found else 0.004


def _specimen(
    rig: Preset,
    fault: Fault,
    size_in: str,
    position: str,
    severity: float,
    power: NDArray[np.float64],
    slip: float,
    value: dict[str, float],
) -> Specimen:
    along = np.linspace(0.0, 1.0, KNOTS)
    logit = value["noise_share_low"] * (1.0 - along) + value["noise_share_high"] * along
    share = 1.0 / (1.0 + np.exp(-logit))
    noise, impact = power * share, power * (1.0 - share)
    common = {
        "fault": fault,
        "size_in": size_in,
        "position": position,
        "severity": severity,
        "noise_m_s2": float(np.sqrt(noise.sum())),
        "shaft_modulation": value["shaft_modulation"],
        "contact": {name: value[name] for name in CONTACT if name in value} | {"mean_slip": slip},
        "effect": {name: value[name] for name in EFFECT if name in value},
        "impact_scatter": value["impact_scatter"],
        "spectrum_scatter": value["spectrum_scatter"],
        "impact_db": tuple(10.0 * np.log10(impact / impact.max())),
        "noise_db": tuple(10.0 * np.log10(noise / noise.max())),
    }
    # How high strikes must be for the impacts to have their share: one trial with a height of 1.
    trial = preset.Specimen(**common | {"impact_m_s2": 1.0, "noise_m_s2": 5e-3, "impact_scatter": 0.0})
    unit, _ = preset.windows(rig, trial, 1760.0, 6, WINDOW, np.random.default_rng(1))
    height = float(np.sqrt(impact.sum() / max(float(np.mean(unit**2)), 1e-12)))
    return preset.Specimen(**common, impact_m_s2=height)


def described(windows: NDArray[np.float32], fs_hz: float, speed_rpm: float, defect_order: float) -> NDArray[np.float64]:
    """Features of windows ``(n, samples)`` at one speed, ``(n, len(FEATURES))``."""
    return np.stack([features(x, fs_hz, speed_rpm / 60.0, defect_order) for x in windows])


def _apart(real: NDArray[np.float64], twin: NDArray[np.float64]) -> float:
    """Squared distance of the features' means in their widths, and of the logarithms of the widths."""
    width, other = (np.hypot(part.std(axis=0), WIDTH_FLOOR) for part in (real, twin))
    shift = (real.mean(axis=0) - twin.mean(axis=0)) / width
    return float(np.sum(shift**2) + 2.0 * np.sum(np.log(other / width) ** 2))
