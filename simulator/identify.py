"""From recordings of a seeded defect to a ``preset.Specimen``: spectra in closed form, habits by matched moments.

The power spectrum of the recordings is split between impacts and noise by a share that the search finds together with
slip, load zone, scatter and spall, so that the windows' features have the recordings' means and widths (simulated
method of moments, McFadden, Econometrica 57 (1989) 995-1026; the same random numbers at every step).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import preset, spectrum
from simulator.path import Delay
from simulator.resemblance import features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from service.contract.faults import Fault
    from simulator.preset import Preset, Specimen

WINDOW = 4096
LONG = 16_384
"""Windows of the spectra; their lines resolve FTF."""

FLOOR_QUANTILE = 0.2
MOST_NOISE = 0.98
"""Largest share of the power at a knot that is noise."""

KNOTS = 257
OFFSPRING = 14
GENERATIONS = 80
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
    Habit("noise_db_low", -15.0, 12.0, -6.0),
    Habit("noise_db_high", -15.0, 12.0, -6.0),
    Habit("jitter", 0.0, 0.01, 0.0005),
    Habit("pocket_play", 0.0, 0.1, 0.01),
    Habit("ball_scatter", 0.0, 1.0, 0.3),
    Habit("ball_pattern", 0.0, 1.0, 0.5),
    Habit("floor_memory", 0.0, 1.0, 0.7),
    Habit("zone_extent", 0.3, 1.5, 0.6),
    Habit("zone_depth", 0.0, 1.0, 0.5),
    Habit("height_scatter", 0.02, 1.3, 0.25),
    Habit("spall_share", 0.0, 0.3, 0.06),
    Habit("roughness", 0.0, 2.0, 0.4),
    Habit("dispersion_s", 0.0, 0.03, 0.002),
    Habit("echo_s", 0.0, 0.008, 0.002),
    Habit("echo_share", 0.0, 0.85, 0.3),
    Habit("shaft_modulation", 0.0, 0.7, 0.05),
    Habit("impact_scatter", 0.0, 0.7, 0.06),
    Habit("spectrum_scatter", 0.0, 0.7, 0.08),
)
OWN: dict[str, tuple[Habit, ...]] = {
    "inner_race": (),
    "outer_race": (Habit("rotor_modulation", 0.0, 0.9, 0.2),),
    "ball": (Habit("wander", 0.0, 1.0, 0.4), Habit("race_ratio", 0.0, 1.0, 0.6)),
}
CONTACT = (
    "jitter",
    "pocket_play",
    "ball_scatter",
    "ball_pattern",
    "floor_memory",
    "zone_extent",
    "zone_depth",
    "height_scatter",
    "spall_share",
    "roughness",
    "race_ratio",
)
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
    rate_hz = defect_order * float(np.mean([sample.speed_rpm for sample in samples])) / 60.0
    spacing = round(rate_hz / rig.fs_hz * LONG)
    power, floor = density([sample.accel_m_s2 for sample in samples], spacing)
    slip = mean_slip(samples, rig.fs_hz, defect_order)
    real = [described(cut(s.accel_m_s2, per_sample), rig.fs_hz, s.speed_rpm, defect_order) for s in samples]

    def made(at: NDArray[np.float64]) -> Specimen:
        value = {h.name: float(h.low + (h.high - h.low) * u) for h, u in zip(habits, at, strict=True)}
        return _specimen(rig, fault, size_in, position, severity, power, floor, slip, value)

    def distance(at: NDArray[np.float64]) -> float:
        trial = made(at)
        twin = [
            described(
                preset.windows(rig, trial, s.speed_rpm, TRIED, WINDOW, np.random.default_rng([seed, number]))[0],
                rig.fs_hz,
                s.speed_rpm,
                defect_order,
            )
            for number, s in enumerate(samples)
        ]
        return _apart(real, twin)

    start = np.array([(h.first - h.low) / (h.high - h.low) for h in habits])
    found = made(search(distance, start, np.random.default_rng(seed)))
    speeds = tuple(sample.speed_rpm for sample in samples)
    return found.model_copy(update={"occasion_scatter": occasion_scatter(samples, spacing), "identified_rpm": speeds})


def search(
    distance: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Where in the unit cube a noisy function is least: evolution with an adapting covariance.

    The best half of every generation moves mean and covariance, the path of the mean the reach (Hansen, The CMA
    evolution strategy: a tutorial, arXiv 1604.00772, with rank-one and rank-mu updates).
    """
    n = start.size
    half = OFFSPRING // 2
    weight = np.log(half + 0.5) - np.log(np.arange(1, half + 1))
    weight /= weight.sum()
    mu = 1.0 / float(np.sum(weight**2))
    c_s, c_c = (mu + 2.0) / (n + mu + 5.0), 4.0 / (n + 4.0)
    c_1, c_mu = 2.0 / ((n + 1.3) ** 2 + mu), min(0.5, 2.0 * (mu - 2.0 + 1.0 / mu) / ((n + 2.0) ** 2 + mu))
    damping = 1.0 + c_s
    expected = np.sqrt(n) * (1.0 - 1.0 / (4.0 * n))
    mean, C, reach = start.copy(), np.eye(n), 0.2
    p_s, p_c = np.zeros(n), np.zeros(n)
    best, least = start, distance(start)
    for _ in range(GENERATIONS):
        size, turn = np.linalg.eigh(C)
        root = np.sqrt(np.maximum(size, 1e-12))
        steps = (rng.standard_normal((OFFSPRING, n)) * root) @ turn.T
        trials = np.clip(mean + reach * steps, 0.0, 1.0)
        scores = np.array([distance(trial) for trial in trials])
        order = np.argsort(scores)
        if scores[order[0]] < least:
            best, least = trials[order[0]], float(scores[order[0]])
        chosen = (trials[order[:half]] - mean) / reach
        move = weight @ chosen
        mean = mean + reach * move
        p_s = (1.0 - c_s) * p_s + np.sqrt(c_s * (2.0 - c_s) * mu) * (turn @ ((turn.T @ move) / root))
        p_c = (1.0 - c_c) * p_c + np.sqrt(c_c * (2.0 - c_c) * mu) * move
        C = (1.0 - c_1 - c_mu) * C + c_1 * np.outer(p_c, p_c) + c_mu * (chosen.T * weight) @ chosen
        reach = float(np.clip(reach * np.exp(c_s / damping * (np.linalg.norm(p_s) / expected - 1.0)), 0.01, 0.5))
    return best


def cut(x: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` windows spread over a recording, ``(count, WINDOW)``."""
    return np.stack([x[s : s + WINDOW] for s in np.linspace(0, x.size - WINDOW, count).astype(int)])


def density(
    recordings: Sequence[NDArray[np.float32]], spacing: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power at ``KNOTS`` even frequencies from 0 to half the rate, in (m/s^2)^2, and how much of it is floor.

    The power sums to the mean square. A comb of lines shows the path at its teeth alone, and the teeth move with speed:
    their power is spread over ``spacing`` lines, from tooth to tooth. The floor is what lies between the lines of
    whatever repeats, from the lower quantile of long spectra; chance in the impacts is part of it.
    """
    total, floor = np.zeros(KNOTS), np.zeros(KNOTS)
    for x in recordings:
        pieces = np.lib.stride_tricks.sliding_window_view(x - x.mean(), LONG)[:: LONG // 2]
        lines = (np.abs(np.fft.rfft(pieces * np.hanning(LONG))) ** 2).mean(axis=0) / (0.375 * LONG**2 / 2.0)
        between = np.empty(KNOTS)
        near = lines.size // (KNOTS - 1)
        for knot in range(KNOTS):
            middle = knot * near
            around = lines[max(middle - near, 0) : middle + near + 1]
            between[knot] = np.quantile(around, FLOOR_QUANTILE)
        at = np.linspace(0.0, KNOTS - 1.0, lines.size)
        floor += np.interp(at, np.arange(KNOTS), between) @ _shares(lines.size) / len(recordings)
        lines = np.convolve(lines, np.ones(spacing) / spacing, "same")
        total += lines @ _shares(lines.size) / len(recordings)
    total += 1e-9 * float(total.sum())
    return total, np.minimum(floor, total)


def occasion_scatter(samples: Sequence[Sample], spacing: int) -> float:
    """How far the spectra of these recordings differ from their mean, as ``Specimen.occasion_scatter`` has it."""
    levels = np.stack([0.5 * np.log(density([sample.accel_m_s2], spacing)[0]) for sample in samples])
    if len(levels) < 2:
        return 0.0
    basis = np.concatenate([np.ones((1, KNOTS)), preset.waves(preset.OCCASION_WAVES, KNOTS)])
    heights = np.linalg.lstsq(basis.T, levels.T, rcond=None)[0][1:]
    return float(np.sqrt(heights.var(axis=1, ddof=1).sum()))


@cache
def _shares(lines: int) -> NDArray[np.float64]:
    """How a line's power is shared by its two neighbouring knots, ``(lines, KNOTS)``."""
    at = np.linspace(0.0, KNOTS - 1.0, lines)
    return np.maximum(1.0 - np.abs(at[:, None] - np.arange(KNOTS)), 0.0)


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
    floor: NDArray[np.float64],
    slip: float,
    value: dict[str, float],
) -> Specimen:
    along = np.linspace(0.0, 1.0, KNOTS)
    gain_db = value["noise_db_low"] * (1.0 - along) + value["noise_db_high"] * along
    noise = np.minimum(floor * 10.0 ** (gain_db / 10.0), MOST_NOISE * power)
    impact = power - noise
    common = {
        "fault": fault,
        "size_in": size_in,
        "position": position,
        "severity": severity,
        "noise_m_s2": float(np.sqrt(noise.sum())),
        "shaft_modulation": value["shaft_modulation"],
        "contact": {name: value[name] for name in CONTACT if name in value} | {"mean_slip": slip},
        "effect": {name: value[name] for name in EFFECT if name in value},
        "delay": {name: value[name] for name in Delay._fields},
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


def _apart(real: list[NDArray[np.float64]], twin: list[NDArray[np.float64]]) -> float:
    """Squared distance of the features' means in their widths within a recording, and of the widths' logarithms."""
    width, other = (
        np.hypot(np.sqrt(np.mean([part.var(axis=0) for part in side], axis=0)), WIDTH_FLOOR) for side in (real, twin)
    )
    shift = (np.concatenate(real).mean(axis=0) - np.concatenate(twin).mean(axis=0)) / width
    return float(np.sum(shift**2) + 2.0 * np.sum(np.log(other / width) ** 2))
