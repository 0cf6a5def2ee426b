"""Whether an anomaly is blamed on the line or sensor that is to blame.

Two ways to know: troubles put into healthy windows, and the twin's own faults once they are developed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.faults import ANOMALY, TAUGHT, Fault
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

TITLE = "Root cause of an anomaly"
SEED = 7_100_000
WINDOWS = 1200
FAULT_SEED = 7_300_000
FAULT_WINDOWS = 12_288
DEVELOPED = 0.5
"""Severity from which on a fault counts as developed: the middle of its life's scale."""
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


class Answers(NamedTuple):
    """What is said of each window, ``(n,)`` each.

    Attributes:
        noticed: over the anomaly threshold.
        told: over the threshold of the anomaly or of any fault: what makes the edge alert.
        top: column of the largest contribution.
    """

    noticed: NDArray[np.bool_]
    told: NDArray[np.bool_]
    top: NDArray[np.intp]


class Blame(NamedTuple):
    """Shares of developed faults named right, per repetition: by the very line, and by the part of the machine."""

    line: list[float]
    part: list[float]


def evaluate(options: Options) -> Section:
    """Top-1 over all troubles and over the twin's own developed faults, and what was blamed."""
    seeds = range(1 if options.tiny else options.seeds)
    bands = options.bundle.manifest.bands
    absent = {name for trouble in TROUBLES for name in trouble.blamed} - set(bands)
    if absent:
        why = f"This bundle blames other columns: it has no {', '.join(sorted(absent))}. Train one of this version."
        return Section(title=TITLE, protocol=why, figures=())
    blamed = np.zeros((len(TROUBLES), len(bands)), dtype=np.intp)
    every, noticed = [], []
    for seed in seeds:
        healthy = _complete(
            dataset.windows(64 if options.tiny else WINDOWS // len(seeds), seed=SEED + seed, healthy_share=1.0)
        )[0]
        right_all, right_seen = [], []
        for row, trouble in enumerate(TROUBLES):
            said = _answers(options, trouble.inject(healthy, np.random.default_rng((seed, row))))
            right = np.isin(said.top, [bands.index(name) for name in trouble.blamed])
            blamed[row] += np.bincount(said.top, minlength=len(bands))
            right_all.append(right)
            right_seen.append(right[said.noticed])
        every.append(float(np.mean(np.concatenate(right_all))))
        noticed.append(float(np.mean(np.concatenate(right_seen))))
    faults, fault_blamed, told_share = _faults(options, seeds)
    chance = float(np.mean([len(t.blamed) / len(bands) for t in TROUBLES]))
    return Section(
        title=TITLE,
        protocol="First, healthy windows of twin motors whose seeds no training drew from, all sensors present, each "
        f"given one known trouble: {', '.join(trouble.name for trouble in TROUBLES)}. Second, the twin's own faults, "
        f"one at a time, from a severity of {DEVELOPED:g} on, on motors that no training drew; told are those whose "
        "window is over the threshold of any condition, which makes the edge alert. Right is when the "
        "largest contribution of the anomaly graph, of a single window, is the line or sensor that belongs to it: the "
        "defect's own frequency or its side bands in the envelope, the shaft's order, the sensor. Right by part is "
        "when it belongs to the part of the machine: bearing, shaft, heat or load.",
        figures=(
            Figure("rootcause.top1", *interval.shares_over_seeds(every), ">= 0.9", "troubles put in, all windows"),
            Figure(
                "rootcause.top1_noticed",
                *interval.shares_over_seeds(noticed),
                "",
                "of those over the anomaly threshold",
            ),
            Figure(
                "rootcause.fault_part",
                *interval.shares_over_seeds(faults["told"].part),
                ">= 0.95",
                "the twin's developed faults over any threshold: part of the machine",
            ),
            Figure(
                "rootcause.fault_line", *interval.shares_over_seeds(faults["told"].line), "", "of those, the very line"
            ),
            Figure(
                "rootcause.fault_told",
                *interval.shares_over_seeds(told_share),
                "",
                "developed faults over any threshold",
            ),
            Figure(
                "rootcause.fault_part_noticed",
                *interval.shares_over_seeds(faults["noticed"].part),
                "",
                "of developed faults over the anomaly's own threshold, part",
            ),
            Figure(
                "rootcause.fault_line_noticed",
                *interval.shares_over_seeds(faults["noticed"].line),
                "",
                "of those, line",
            ),
            Figure(
                "rootcause.fault_part_all",
                *interval.shares_over_seeds(faults["all"].part),
                "",
                "of all developed faults, part",
            ),
            Figure("rootcause.fault_line_all", *interval.shares_over_seeds(faults["all"].line), "", "of those, line"),
            Figure("rootcause.control.random", chance, what="a column named at random"),
        ),
        tables=(
            Table(
                "What troubles were blamed on",
                ("trouble", *bands),
                tuple((t.name, *(str(int(n)) for n in blamed[row])) for row, t in enumerate(TROUBLES)),
            ),
            Table(
                "What developed faults over any threshold were blamed on",
                ("fault", *bands),
                tuple((str(fault), *(str(int(n)) for n in fault_blamed[row])) for row, fault in enumerate(FAULTS)),
            ),
        ),
        caveats=(
            (
                "The troubles are made here, large enough to be seen, and one at a time; a real one seldom keeps "
                "to its column."
            ),
            (
                "Shaft faults seldom lift a single window over the anomaly threshold: the classifier names those, and "
                "what is blamed for them does not have to be odd."
            ),
        ),
    )


def _faults(options: Options, seeds: range) -> tuple[dict[str, Blame], NDArray[np.intp], list[float]]:
    """By which windows count, what is blamed right; the blamed columns of those told; the share that is told."""
    bands = options.bundle.manifest.bands
    blamed = np.zeros((len(FAULTS), len(bands)), dtype=np.intp)
    found = {whose: Blame([], []) for whose in ("all", "told", "noticed")}
    told_share = []
    count = 768 if options.tiny else FAULT_WINDOWS // len(seeds)
    for seed in seeds:
        feeds, severity = _complete(dataset.windows(count, seed=FAULT_SEED + seed, healthy_share=0.0))
        said = _answers(options, feeds)
        single = (severity > 0.0).sum(axis=1) == 1
        developed = np.zeros(len(said.top), dtype=np.bool_)
        line, part = developed.copy(), developed.copy()
        for row, (fault, (exact, near)) in enumerate(FAULTS.items()):
            mine = single & (severity[:, TAUGHT.index(fault)] >= DEVELOPED)
            developed |= mine
            line |= mine & np.isin(said.top, [bands.index(name) for name in exact])
            part |= mine & np.isin(said.top, [bands.index(name) for name in near])
            blamed[row] += np.bincount(said.top[mine & said.told], minlength=len(bands))
        for whose, among in (("all", developed), ("told", said.told), ("noticed", said.noticed)):
            found[whose].line.append(float(line[developed & among].mean()))
            found[whose].part.append(float(part[developed & among].mean()))
        told_share.append(float(said.told[developed].mean()))
    return found, blamed, told_share


def _complete(windows: Windows) -> tuple[Feeds, NDArray[np.float32]]:
    """The full-length windows of motors with every scalar and a bearing, and their true severities."""
    keep = (
        np.isfinite(windows.operating).all(axis=1)
        & np.isfinite(windows.nameplate).all(axis=1)
        & (windows.samples == windows.accel_m_s2.shape[1])
    )
    return Feeds(*(getattr(windows, name)[keep] for name in Feeds._fields)), windows.severity[keep]


def _answers(options: Options, feeds: Feeds) -> Answers:
    alarms, classes = options.bundle.manifest.alarms, options.bundle.manifest.classes
    parts = []
    for at in range(0, len(feeds.samples), _BATCH):
        rows = {k: v[at : at + _BATCH] for k, v in feeds._asdict().items()}
        parts.append(options.bundle.run("anomaly", rows) | options.bundle.run("classifier", rows))
    anomaly, contribution, probability = (
        np.concatenate([part[name] for part in parts]) for name in ("anomaly", "contribution", "probability")
    )
    noticed = anomaly >= alarms[ANOMALY].open_at
    named = (probability >= np.array([alarms[fault].open_at for fault in classes])).any(axis=1)
    return Answers(noticed, noticed | named, contribution.argmax(axis=1))


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


def _line(order: float) -> Callable[[Feeds, np.random.Generator], Feeds]:
    """A strong line at a shaft order."""

    def inject(feeds: Feeds, rng: np.random.Generator) -> Feeds:
        rows, length = feeds.accel_m_s2.shape
        rate = order * feeds.operating[:, OPERATING.index("speed_rpm")] / 60.0 / feeds.fs_hz
        tone = np.sin(2.0 * np.pi * (rate[:, None] * np.arange(length) + rng.random((rows, 1))))
        size = rng.uniform(2.0, 5.0, (rows, 1)) * _rms(feeds.accel_m_s2)
        return feeds._replace(accel_m_s2=(feeds.accel_m_s2 + size * tone).astype(np.float32))

    return inject


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


_BEARING = ("bpfo", "bpfi", "bsf", "ftf", "impacts")
_SHAFT = ("half_orders", "order_1", "order_2", "order_3", "high_orders", "shaft_envelope")
_HEAT = ("winding", "housing", "cooling")

FAULTS: dict[Fault, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Fault.INNER_RACE: (("bpfi",), _BEARING),
    Fault.OUTER_RACE: (("bpfo",), _BEARING),
    Fault.BALL: (("bsf",), _BEARING),
    Fault.CAGE: (("ftf",), _BEARING),
    Fault.IMBALANCE: (("order_1",), _SHAFT),
    Fault.MISALIGNMENT: (("order_2", "order_3", "high_orders"), _SHAFT),
    Fault.LOOSENESS: (("half_orders", "high_orders"), _SHAFT),
    Fault.COOLING: (_HEAT, _HEAT),
    Fault.OVERLOAD: (("load", "current"), ("load", "current", *_HEAT)),
}
"""For each fault the columns that name it exactly, and those of its part of the machine: bearing, shaft, heat, load."""


TROUBLES: tuple[Trouble, ...] = (
    Trouble("modulated noise in the low band", ("bpfo",), _defect(0.12)),
    Trouble("modulated noise in the high band", ("bpfo",), _defect(0.39)),
    Trouble("spikes", ("impacts",), _spikes),
    Trouble("a strong line at shaft speed", ("order_1",), _line(1.0)),
    Trouble("a strong line at twice shaft speed", ("order_2",), _line(2.0)),
    Trouble("a strong line at three times shaft speed", ("order_3",), _line(3.0)),
    Trouble("winding sensor too warm", ("winding", "cooling"), _hot("winding_c", 40.0, 80.0)),
    Trouble("housing sensor too warm", ("housing", "cooling"), _hot("housing_c", 30.0, 60.0)),
    Trouble("current sensor too high", ("current",), _overdrawn),
)
"""What is put in; sizes a maintenance engineer would want to hear of."""
