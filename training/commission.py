"""The shipped models fitted to a plant's own healthy running: commissioning, in minutes and without a fault on record.

What a healthy machine sounds like differs from plant to plant, what a failing one sounds like does not: classifier and
filter stay as they are, byte by byte in their graphs' weights. Anew are:

- the anomaly detector's autoencoder, from the first blocks, where that is better on later ones (``training.refit``);
- its levels: how much each column may stand out, from the first blocks;
- its threshold, and where needed those of the faults: from later blocks, by their tail (``training.evt``);
- the figures: share of readings over the threshold on the last blocks, which nothing was fitted to.

Each recording is cut in time, not at random: a warm-up that is left out, then fit, calibrate and report, so that no
reading is judged by its own neighbours. Levels move within ``BOUNDS`` only, and a machine that the shipped models take
for faulty is refused: nobody commissions a broken motor by mistake.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import bundle as edge
from service.contract.faults import ANOMALY
from service.errors import BundleError
from service.evidence import pooled
from simulator.catalogue import bearing
from simulator.recording import RecordingError
from training import evt, refit, rescale
from training.evaluate.edge import scored
from training.evaluate.interval import share
from training.stream import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from service.bundle import Bundle, Files
    from service.contract.manifest import AlarmSpec
    from simulator.unit import Unit
    from training.stream import Stream

WARM_UP, FIT, CALIBRATE = 0.05, 0.45, 0.75
"""Shares of a recording's time at which its parts end; the rest is for the report."""
BOUNDS = (1 / 3, 3.0)
"""A group's level against the machine's median level."""
KEENEST = 0.25
"""A threshold below this share of the shipped one would hang on how quiet a few days happened to be."""
FAULT_RATE = 0.002
"""Share of healthy readings that may reach a fault's threshold."""
HIGHEST = 0.97
"""No fault's threshold goes higher: it would never be named."""


@dataclass(frozen=True, slots=True)
class Args:
    """What to commission with.

    Attributes:
        data: healthy recordings (.mat, .npz, .csv, .parquet) or an edge's history.db.
        geometry: the bearing's name in the catalogue, None where it is not known.
        speed_rpm: where the files do not say it.
        fs_hz: where the files do not say it.
        unit: what the files' numbers are in, where it is not what their format usually has.
        channel: publisher's channel.
        models: the bundle to start from.
        out: folder of the new bundle.
        false_alarms: share of healthy readings that may score above the anomaly threshold.
        first: share of each recording that is used, from its start: a run to failure is healthy in its first part only.
        sure: commission although the shipped models take the machine for faulty.
    """

    data: tuple[str, ...]
    geometry: str | None
    speed_rpm: float | None
    fs_hz: float | None
    channel: str | None
    models: Path
    out: Path
    false_alarms: float
    first: float = 1.0
    sure: bool = False
    unit: Unit | None = None

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for shares outside 0..1."""
        for name in ("false_alarms", "first"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name):g}; give a share within 0 and 1")


class Heard(NamedTuple):
    """One uninterrupted stretch as the shipped models judge it, in order of time.

    Attributes:
        source: file, or file and motor.
        anomaly: ``(n,)``.
        share: ``(n, K)`` each group's share of the anomaly; None where only scores were kept.
        probability: ``(n, C)``.
        stream: the readings; None where only scores were kept.
    """

    source: str
    anomaly: NDArray[np.float64]
    share: NDArray[np.float64] | None
    probability: NDArray[np.float64]
    stream: Stream | None = None

    def part(self, start: float, end: float) -> Heard:
        """The readings between two shares of the time."""
        rows = slice(round(start * len(self.anomaly)), round(end * len(self.anomaly)))
        shares = None if self.share is None else self.share[rows]
        told = None if self.stream is None else self.stream._replace(readings=self.stream.readings[rows])
        return Heard(self.source, self.anomaly[rows], shares, self.probability[rows], told)


def commission(args: Args, tell: Callable[[str], None]) -> str:
    """Fits, reports and writes; the new bundle's digest.

    Raises:
        RecordingError: a file cannot be used, or the machine does not look healthy.
        ValueError: too few readings, or an unknown bearing.
        BundleError: the shipped bundle cannot be loaded, or the edge would refuse the new one.
    """
    models = edge.load(args.models)
    heard = []
    for source in args.data:
        for whole in _heard(source, args, models, tell):
            piece = whole.part(0.0, args.first)
            tell(f"{piece.source}: {len(piece.anomaly)} readings, shipped anomaly {np.median(piece.anomaly):.2f}")
            if not args.sure:
                _doubt(piece, models)
            heard.append(piece)
    files = edge.read(args.models)
    moved = _refitted([piece.part(WARM_UP, FIT) for piece in heard], files)
    tell(f"autoencoder {'refitted' if moved.kept else 'stays as shipped'}: {moved.why}")
    own = edge.Bundle(refit.refitted(files, moved.constants))
    learnt = [_judged_by(own, piece) for piece in heard] if moved.kept else heard
    fit = [piece.part(WARM_UP, FIT) for piece in learnt]
    calibrate = [piece.part(FIT, CALIBRATE) for piece in learnt]
    report = [(piece.part(CALIBRATE, 1.0), now.part(CALIBRATE, 1.0)) for piece, now in zip(heard, learnt, strict=True)]
    weights = _weights(fit, len(models.manifest.bands))
    anew = [_rescored(piece, weights) for piece in calibrate]
    opens = max(evt.threshold(anew, args.false_alarms), KEENEST)
    alarms = _alarms(calibrate, models)
    metrics = _report(report, weights / opens, alarms, models, tell)
    about = {
        "commissioned.data": _digest(args.data),
        "commissioned.readings": str(sum(len(piece.anomaly) for piece in heard)),
        "commissioned.geometry": args.geometry or "unknown",
        "commissioned.false_alarms": f"{args.false_alarms:g}",
        "commissioned.autoencoder": f"{'refitted' if moved.kept else 'as shipped'}: {moved.why}",
    }
    metrics |= {f"plant.refit.{name}": round(value, 6) for name, value in moved.figures.items()}
    digest = rescale.write(
        args.models,
        args.out,
        weights / opens,
        constants=moved.constants,
        alarms=alarms,
        training=about,
        metrics=metrics,
    )
    tell(f"bundle {digest[:12]} in {args.out}, proven by the edge's loader; put it in the edge's folder of offers")
    return digest


def _heard(source: str, args: Args, models: Bundle, tell: Callable[[str], None]) -> Iterator[Heard]:
    if Path(source).suffix == ".db":
        yield from _history(source, models)
        return
    told = stream(
        source,
        models,
        bearing=bearing(args.geometry) if args.geometry else None,
        channel=args.channel,
        speed_rpm=args.speed_rpm,
        fs_hz=args.fs_hz,
        unit=args.unit,
    )
    if told.doubt:
        tell(f"{source}: {told.doubt}")
    if args.geometry and not told.speed_known:
        raise RecordingError(f"{source}: no shaft speed is known; give --speed-rpm")
    found = scored(models, told.birth, told.readings)
    if found.failures:
        raise RecordingError(f"{source}: {next(iter(found.failures.values()))}")
    known = np.isfinite(found.anomaly)
    if not known.any():
        raise RecordingError(f"{source}: holds no vibration to learn from")
    told = told._replace(readings=[reading for reading, kept in zip(told.readings, known, strict=True) if kept])
    yield Heard(source, found.anomaly[known], found.contribution[known], found.probability[known], told)


def _judged_by(models: Bundle, piece: Heard) -> Heard:
    """The same readings as other models judge them."""
    assert piece.stream is not None
    found = scored(models, piece.stream.birth, piece.stream.readings)
    return piece._replace(anomaly=found.anomaly, share=found.contribution, probability=found.probability)


def _refitted(heard: Sequence[Heard], files: Files) -> refit.Verdict:
    streams = [piece.stream for piece in heard if piece.stream is not None]
    if len(streams) < len(heard):
        return refit.Verdict({}, kept=False, why="an edge's history holds scores and no waveforms", figures={})
    try:
        eye = refit.Eye(files.graphs["anomaly"], files.manifest.graphs["anomaly"])
    except BundleError as error:
        return refit.Verdict({}, kept=False, why=str(error), figures={})
    return refit.refit(eye, [eye.hear(told, files.manifest.window) for told in streams if told.readings])


def _history(source: str, models: Bundle) -> Iterator[Heard]:
    """What an edge kept of each motor: scores without their groups, so that only thresholds can be fitted."""
    classes = models.manifest.classes
    columns = ", ".join(("motor", "anomaly", *classes))
    query = f"SELECT {columns} FROM sample WHERE anomaly IS NOT NULL ORDER BY motor, ts_s"  # noqa: S608 - constants
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as history:
            rows = history.execute(query).fetchall()
    except sqlite3.Error as error:
        raise RecordingError(f"{source}: is not an edge's history: {error}") from None
    for motor in dict.fromkeys(row[0] for row in rows):
        values = np.array([row[1:] for row in rows if row[0] == motor], dtype=np.float64)
        yield Heard(f"{source}:{motor}", values[:, 0], None, np.nan_to_num(values[:, 1:]))


def _doubt(piece: Heard, models: Bundle) -> None:
    whole = pooled(piece.probability)
    opens = np.array([models.manifest.alarms[fault].open_at for fault in models.manifest.classes])
    if (whole >= opens).any():
        at = int(np.argmax(whole - opens))
        fault = models.manifest.classes[at].replace("_", " ")
        raise RecordingError(
            f"{piece.source}: the shipped models see {fault} (probability {whole[at]:.2f}); commission on healthy "
            "running only, or give --sure where you know that the machine is sound"
        )


def _weights(fit: Sequence[Heard], bands: int) -> NDArray[np.float64]:
    """What each column's share of the score is multiplied with, ``(K,)``: 1 over its usual level, within ``BOUNDS``.

    A column that is never blamed, as of a sensor that this machine lacks, keeps its weight.
    """
    known = [piece.anomaly[:, None] * piece.share for piece in fit if piece.share is not None]
    if len(known) < len(fit):
        return np.ones(bands)
    level = np.quantile(np.concatenate(known), 0.98, axis=0)
    met = level > 0.0
    middle = float(np.median(level[met])) if met.any() else 1.0
    return np.where(met, middle / np.clip(level, BOUNDS[0] * middle, BOUNDS[1] * middle), 1.0)


def _rescored(piece: Heard, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return piece.anomaly * (weights.mean() if piece.share is None else piece.share @ weights)


def _alarms(calibrate: Sequence[Heard], models: Bundle) -> dict[str, AlarmSpec]:
    """The shipped rules; a fault's threshold is raised where this plant's healthy readings come too near."""
    alarms: dict[str, AlarmSpec] = dict(models.manifest.alarms)
    for column, fault in enumerate(models.manifest.classes):
        odds = [_odds(piece.probability[:, column]) for piece in calibrate]
        needed = 1.0 / (1.0 + np.exp(-evt.threshold(odds, FAULT_RATE)))
        shipped = alarms[fault]
        opens = round(float(min(max(needed, shipped.open_at), max(HIGHEST, shipped.open_at))), 3)
        if opens > shipped.open_at:
            alarms[fault] = shipped.model_copy(update={"open_at": opens, "clear_at": round(0.6 * opens, 3)})
    return alarms


def _odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probability, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log(inside / (1.0 - inside)))


def _report(
    report: Sequence[tuple[Heard, Heard]],
    weights: NDArray[np.float64],
    alarms: dict[str, AlarmSpec],
    models: Bundle,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Tells the share of held-out readings over the thresholds, by the shipped models and by the own."""
    count = sum(len(piece.anomaly) for piece, _ in report)
    metrics = {"plant.readings": float(count)}
    before = sum(int((piece.anomaly > 1.0).sum()) for piece, _ in report)
    after = sum(int((_rescored(now, weights) > 1.0).sum()) for _, now in report)
    classes = models.manifest.classes
    named = {}
    for name, rules in (("shipped", models.manifest.alarms), ("commissioned", alarms)):
        opens = np.array([rules[fault].open_at for fault in classes])
        named[name] = sum(int((piece.probability >= opens).any(axis=1).sum()) for piece, _ in report)
    rows = (
        (ANOMALY, "shipped", before),
        (ANOMALY, "commissioned", after),
        ("any fault", "shipped", named["shipped"]),
        ("any fault", "commissioned", named["commissioned"]),
    )
    tell(f"held-out healthy readings: {count}; share over the threshold, with 95 % interval:")
    for what, whose, hits in rows:
        told = share(hits, count)
        tell(f"  {what:10s} {whose:13s} {told.value:.4f} [{told.lo:.4f}, {told.hi:.4f}]")
        if whose == "commissioned":
            key = f"plant.{what.replace(' ', '_')}_rate"
            metrics |= {key: told.value, f"{key}.lo": told.lo, f"{key}.hi": told.hi}
    return {name: round(value, 6) for name, value in metrics.items()}


def _digest(sources: Sequence[str]) -> str:
    whole = hashlib.sha256()
    for source in sources:
        path = Path(source)
        whole.update(hashlib.sha256(path.read_bytes() if path.exists() else source.encode()).digest())
    return whole.hexdigest()
