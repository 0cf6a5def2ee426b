"""Whether an anomaly is blamed on the sensor or band that is to blame: known troubles put into healthy windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.signals import NAMEPLATE, OPERATING
from simulator import dataset
from training.evaluate import interval
from training.evaluate.figure import Figure, Section, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.dataset import Windows
    from training.evaluate.figure import Options

    Floats = NDArray[np.float32]

SEED = 7_100_000
WINDOWS = 1200
_BATCH = 32


class Feeds(NamedTuple):
    """Graph inputs, by the names of the contract."""

    accel_m_s2: Floats
    samples: Floats
    fs_hz: Floats
    operating: Floats
    nameplate: Floats


class Trouble(NamedTuple):
    """What is put in, and the contribution columns that may be named for it."""

    name: str
    blamed: tuple[str, ...]
    inject: Callable[[Feeds, np.random.Generator], Feeds]


def evaluate(options: Options) -> Section:
    """Top-1 over all troubles, and the table of what was blamed."""
    seeds = range(1 if options.tiny else options.seeds)
    bands = options.bundle.manifest.bands
    known = [trouble for trouble in TROUBLES if set(trouble.blamed) & set(bands)]
    blamed = np.zeros((len(known), len(bands)), dtype=np.intp)
    every, noticed = [], []
    for seed in seeds:
        healthy = _complete(
            dataset.windows(64 if options.tiny else WINDOWS // len(seeds), seed=SEED + seed, healthy_share=1.0)
        )
        right_all, right_seen = [], []
        for row, trouble in enumerate(known):
            anomaly, contribution = _answers(options, trouble.inject(healthy, np.random.default_rng((seed, row))))
            top = contribution.argmax(axis=1)
            right = np.isin(top, [bands.index(name) for name in trouble.blamed if name in bands])
            blamed[row] += np.bincount(top, minlength=len(bands))
            right_all.append(right)
            right_seen.append(right[anomaly >= 1.0])
        every.append(float(np.mean(np.concatenate(right_all))))
        noticed.append(float(np.mean(np.concatenate(right_seen))))
    chance = float(np.mean([len(set(t.blamed) & set(bands)) / len(bands) for t in known]))
    return Section(
        title="Root cause of an anomaly",
        protocol="Healthy windows of twin motors whose seeds no training drew from, all sensors present, each "
        "given one "
        f"known trouble: {', '.join(trouble.name for trouble in known)}. Right is when the largest contribution of the "
        "anomaly graph is the one that belongs to the trouble; a wide band and the narrow ones in it count as one.",
        figures=(
            Figure("rootcause.top1", *interval.over_seeds(every), ">= 0.9", "all troubled windows"),
            Figure(
                "rootcause.top1_noticed", *interval.over_seeds(noticed), "", "of those that pass the anomaly threshold"
            ),
            Figure("rootcause.control.random", chance, what="a column named at random"),
        ),
        tables=(
            Table(
                "What was blamed",
                ("trouble", *bands),
                tuple((t.name, *(str(int(n)) for n in blamed[row])) for row, t in enumerate(known)),
            ),
        ),
        caveats=(
            (
                "The troubles are made here, large enough to be seen, and one at a time; a real one seldom keeps "
                "to its column."
            ),
            *(
                f"{t.name}: no column of this bundle belongs to it, so it was left out"
                for t in TROUBLES
                if t not in known
            ),
        ),
    )


def _complete(windows: Windows) -> Feeds:
    """The full-length windows of motors with every scalar and a bearing."""
    keep = (
        np.isfinite(windows.operating).all(axis=1)
        & np.isfinite(windows.nameplate).all(axis=1)
        & (windows.samples == windows.accel_m_s2.shape[1])
    )
    return Feeds(*(getattr(windows, name)[keep] for name in Feeds._fields))


def _answers(options: Options, feeds: Feeds) -> tuple[Floats, Floats]:
    parts = [
        options.bundle.run("anomaly", {k: v[at : at + _BATCH] for k, v in feeds._asdict().items()})
        for at in range(0, len(feeds.samples), _BATCH)
    ]
    return np.concatenate([p["anomaly"] for p in parts]), np.concatenate([p["contribution"] for p in parts])


def _rms(accel: Floats) -> Floats:
    return np.asarray(np.sqrt((accel**2).mean(axis=1, keepdims=True)))


def _defect(centre: float) -> Callable[[Feeds, np.random.Generator], Feeds]:
    """Noise around ``centre`` (of the sampling rate), modulated at the outer race's frequency."""

    def inject(feeds: Feeds, rng: np.random.Generator) -> Feeds:
        rows, length = feeds.accel_m_s2.shape
        carrier = np.fft.rfft(rng.standard_normal((rows, length)))
        carrier[:, np.abs(np.fft.rfftfreq(length) - centre) > 0.03] = 0.0
        noise = np.fft.irfft(carrier, length)
        speed = feeds.operating[:, OPERATING.index("speed_rpm")] / 60.0
        rate = speed * feeds.nameplate[:, NAMEPLATE.index("bpfo")] / feeds.fs_hz
        beat = 1.0 + np.cos(2.0 * np.pi * (rate[:, None] * np.arange(length) + rng.random((rows, 1))))
        added = noise / noise.std(axis=1, keepdims=True) * beat**2
        size = rng.uniform(0.8, 1.6, (rows, 1)) * _rms(feeds.accel_m_s2)
        return feeds._replace(accel_m_s2=(feeds.accel_m_s2 + size * added).astype(np.float32))

    return inject


def _spikes(feeds: Feeds, rng: np.random.Generator) -> Feeds:
    """Single samples off by many deviations: a loose plug."""
    accel = feeds.accel_m_s2.copy()
    rows, length = accel.shape
    level = _rms(accel)[:, 0]
    for row in range(rows):
        at = rng.integers(0, length, rng.integers(3, 9))
        accel[row, at] += level[row] * rng.uniform(15.0, 40.0, len(at)) * rng.choice((-1.0, 1.0), len(at))
    return feeds._replace(accel_m_s2=accel.astype(np.float32))


def _line(feeds: Feeds, rng: np.random.Generator) -> Feeds:
    """A strong line at one of the first shaft orders."""
    rows, length = feeds.accel_m_s2.shape
    order = rng.choice((1.0, 2.0, 3.0), rows)
    rate = order * feeds.operating[:, OPERATING.index("speed_rpm")] / 60.0 / feeds.fs_hz
    tone = np.sin(2.0 * np.pi * (rate[:, None] * np.arange(length) + rng.random((rows, 1))))
    size = rng.uniform(2.0, 5.0, (rows, 1)) * _rms(feeds.accel_m_s2)
    return feeds._replace(accel_m_s2=(feeds.accel_m_s2 + size * tone).astype(np.float32))


def _hot(signal: str, low_k: float, high_k: float) -> Callable[[Feeds, np.random.Generator], Feeds]:
    """A temperature sensor that reads too much."""

    def inject(feeds: Feeds, rng: np.random.Generator) -> Feeds:
        operating = feeds.operating.copy()
        operating[:, OPERATING.index(signal)] += rng.uniform(low_k, high_k, len(operating)).astype(np.float32)
        return feeds._replace(operating=operating)

    return inject


def _overdrawn(feeds: Feeds, rng: np.random.Generator) -> Feeds:
    """A current transformer with the wrong ratio."""
    operating = feeds.operating.copy()
    operating[:, OPERATING.index("current_a")] *= rng.uniform(1.8, 2.5, len(operating)).astype(np.float32)
    return feeds._replace(operating=operating)


TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        "modulated noise in the low band", ("envelope_low", "envelope_narrow_1", "envelope_narrow_2"), _defect(0.12)
    ),
    Trouble(
        "modulated noise in the high band", ("envelope_high", "envelope_narrow_3", "envelope_narrow_4"), _defect(0.39)
    ),
    Trouble("spikes", ("shape",), _spikes),
    Trouble("a strong shaft order", ("orders",), _line),
    Trouble("winding sensor too warm", ("thermal",), _hot("winding_c", 40.0, 80.0)),
    Trouble("housing sensor too warm", ("thermal",), _hot("housing_c", 30.0, 60.0)),
    Trouble("current sensor too high", ("load",), _overdrawn),
)
"""What is put in; sizes a maintenance engineer would want to hear of."""
