"""From nothing to a bundle: twin data, fit, calibrate, report on motors never seen, export, prove."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from service.contract.faults import ANOMALY, BEARING_FAULTS, HEALTHY
from service.contract.manifest import AlarmSpec
from training import anomaly, atomic, bundle, classifier, data, health, progress, sketch, stage
from training.classifier import CLASSES, FAMILIES
from training.evaluate.interval import Interval, share
from training.features import Features
from training.score import FAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from training.data import Table

    Tell = Callable[[str], None]

HEALTHY_SHARE = 0.35
"""Of the windows that are learnt from."""
DETECTABLE = 0.3
"""Recall and severity error are told for severities from here on: below, a fault need not be named yet."""


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments of ``python -m training train``; the manifest keeps those that the result depends on."""

    out: Path = field(
        default=Path("service/models"), metadata={"help": "bundle folder, replaced as a whole", "result": False}
    )
    work: Path | None = field(
        default=None,
        metadata={"help": "folder that keeps data, weights and graphs, so that it resumes; else none", "result": False},
    )
    windows: int = field(default=131_072, metadata={"help": "twin windows to learn from, in chunks of 1024"})
    epochs: int = field(default=30, metadata={"help": "passes over the windows, per network"})
    seed: int = field(default=0, metadata={"help": "of everything random; same seed and machine, same bytes"})
    workers: int = field(default=2, metadata={"help": "processes that make data", "result": False})
    golden: int = field(default=12, metadata={"help": "windows kept as golden vectors"})
    commit: str = field(
        default="unknown",
        metadata={"help": "git commit of the sources, kept in manifest and model card", "absent": "unknown"},
    )
    false_alarms: float = field(
        default=0.006, metadata={"help": "share of held-out healthy windows that may score above the anomaly threshold"}
    )

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for what nothing can be trained with."""
        for name, least in (("windows", 1), ("epochs", 1), ("workers", 1), ("golden", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} {getattr(self, name)}: must be {least} at least")
        if not 0.0 < self.false_alarms < 1.0:
            raise ValueError(f"--false-alarms {self.false_alarms:g}: must be a share between 0 and 1, like 0.006")
        if not re.fullmatch(r"unknown|[0-9a-f]{7,64}", self.commit):
            raise ValueError(
                f"--commit {self.commit[:80]!r}: must be a commit's hex digits, as git rev-parse HEAD prints"
            )


class Trained(NamedTuple):
    """A bundle that was written and proven, and the modules that it was made from."""

    written: bundle.Written
    modules: bundle.Models


def train(args: Args, tell: Tell) -> Trained:
    """Trains and writes a bundle: ``prepare``, ``fit``, ``export`` and ``assemble``, one after the other.

    Args:
        args: what to do.
        tell: takes lines of progress and the held-out figures.

    Raises:
        service.errors.BundleError: the edge would refuse the result; the old bundle stays.
        training.atomic.WriteError: something could not be written; the old bundle stays.
    """
    tell = timed(tell)
    atomic.tried(args.out)
    with _work(args.work) as work:
        prepare(args, work, tell)
        fit(args, work, tell)
        models = export(work, tell)
        return Trained(assemble(work, args.out, tell), models)


def prepare(args: Args, work: Path, tell: Tell) -> None:
    """Makes the data set; what is there already, whole and of the same recipe, is kept. Raises ``WriteError``."""
    whole = _data(args, work)
    told = stage.Prepared(seed=args.seed, windows=args.windows, data_sha256=_digest(whole))
    stage.save_prepared(work, told)
    count = f"{len(whole)} of {len(np.unique(whole.motor))} motors, {int(whole.healthy.sum())} healthy"
    tell(f"windows: {count}; sha256 {told.data_sha256[:12]}")


def fit(args: Args, work: Path, tell: Tell) -> None:
    """Fits, calibrates and reports on motors never seen, from the prepared data; leaves weights and figures.

    Raises:
        training.stage.StageError: no data are prepared, or by another version of the twin.
        ValueError: a class has no window to learn from.
        training.atomic.WriteError: the weights could not be written.
    """
    prepared = stage.load_prepared(work)
    args = replace(args, seed=prepared.seed, windows=prepared.windows)
    whole = _data(args, work)
    if _digest(whole) != prepared.data_sha256:
        raise stage.StageError(
            f"{work}: prepared by another version of the twin; python -m training prepare --work {work} --seed "
            f"{args.seed} --windows {args.windows}"
        )
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(args.seed)
    parts = data.split(whole, args.seed)
    tell(f"windows: fit {len(parts.fit)}, calibrate {len(parts.calibrate)}, report {len(parts.report)}, by motor")
    refuse_empty(parts)

    network = classifier.fit(
        torch.from_numpy(parts.fit.features),
        torch.from_numpy(parts.fit.severity),
        epochs=args.epochs,
        generator=torch.Generator().manual_seed(args.seed),
    )
    classifier.calibrate(
        network, torch.from_numpy(parts.calibrate.features), torch.from_numpy(parts.calibrate.severity)
    )
    tell("classifier fitted")
    autoencoder = anomaly.fit(
        torch.from_numpy(parts.fit.features[parts.fit.healthy]),
        epochs=2 * args.epochs,
        generator=torch.Generator().manual_seed(args.seed + 1),
    )
    anomaly.calibrate(
        autoencoder,
        torch.from_numpy(parts.calibrate.features[parts.calibrate.healthy]),
        parts.calibrate.motor[parts.calibrate.healthy],
        false_alarm_rate=args.false_alarms,
    )
    tell("autoencoder fitted")

    alarms = thresholds(network, parts.calibrate)
    # the gate trains again by these, and wants the same digest
    arguments = {
        f"argument.{one.name}": str(getattr(args, one.name)) for one in fields(args) if one.metadata.get("result", True)
    }
    found = stage.Fit(
        seed=args.seed,
        golden=args.golden,
        alarms=alarms,
        training={
            "data": "motor twin of this repository, no recording of a real machine",
            "windows": str(len(whole)),
            "motors": str(len(np.unique(whole.motor))),
            "epochs": str(args.epochs),
            "data_sha256": prepared.data_sha256,
            "torch": torch.__version__.split("+")[0],
            **arguments,
        },
        metrics=report(network, autoencoder, alarms, parts.report, tell),
    )
    stage.save_weights(work, stage.Fitted(network, autoencoder, found))


def export(work: Path, tell: Tell) -> bundle.Models:
    """Weights to ONNX graphs and golden vectors; the modules that they were made from.

    Raises:
        training.stage.StageError: there are no weights.
        training.atomic.WriteError: the graphs could not be written.
    """
    network, autoencoder, told = stage.load_weights(work)
    models = bundle.Models(
        anomaly.Anomaly(Features(), autoencoder).eval(),
        classifier.Classifier(Features(), network).eval(),
        health.Health().eval(),
    )
    sample = data.windows(told.golden, seed=told.seed + 7, healthy_share=0.4)
    graphs = bundle.exported(models, sample, seed=told.seed)
    stage.save_graphs(work, told, graphs)
    tell(f"graphs: {', '.join(f'{name} {count} nodes' for name, count in graphs.nodes.items())}")
    return models


def assemble(work: Path, out: Path, tell: Tell) -> bundle.Written:
    """Graphs, thresholds, golden vectors, sketch and card to a bundle that the edge's loader has proven.

    Raises:
        training.stage.StageError: there are no graphs.
        service.errors.BundleError: the edge would refuse the result; the old bundle stays.
        training.atomic.WriteError: it could not be written; the old bundle stays.
    """
    told, graphs = stage.load_graphs(work)
    written = bundle.write(
        out,
        graphs,
        alarms=told.alarms,
        seed=told.seed,
        training=told.training,
        metrics=told.metrics,
        drawn=sketch.sketch(told.seed),
    )
    tell(f"bundle {written.digest[:12]}: {written.size_bytes} bytes in {out}, proven by the edge's loader")
    return written


def timed(tell: Tell) -> Tell:
    """``tell`` with the seconds since now before every line."""
    started = time.monotonic()
    return lambda text: tell(f"[{time.monotonic() - started:5.1f} s] {text}")


@contextmanager
def _work(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="motortwin-") as scratch:
        yield Path(scratch)


def _data(args: Args, work: Path) -> Table:
    return data.table(
        args.windows,
        seed=args.seed,
        workers=args.workers,
        healthy_share=HEALTHY_SHARE,
        told=progress.bar("twin windows"),
        kept=work / stage.DATA,
    )


def _digest(whole: Table) -> str:
    columns = (np.ascontiguousarray(getattr(whole, one.name)).tobytes() for one in fields(whole))
    return hashlib.sha256(b"".join(columns)).hexdigest()


def refuse_empty(parts: data.Split) -> None:
    """Raises ``ValueError`` where a class has no window in one of the parts."""
    for name, part in (("fit", parts.fit), ("calibrate", parts.calibrate), ("report on", parts.report)):
        counts = dict(zip(CLASSES, (part.severity > 0.0).sum(axis=0), strict=True))
        counts[HEALTHY] = part.healthy.sum()
        empty = [str(label) for label, count in counts.items() if not count]
        if empty:
            raise ValueError(f"--windows: too few, none of {', '.join(empty)} is left to {name}; make more windows")


def thresholds(network: classifier.Network, table: Table) -> dict[str, AlarmSpec]:
    """When a condition opens: at the probability that few held-out windows without the fault exceed, within bounds.

    One or two in 1,000 for most. Heat is judged more freely, and over more readings: a motor that has just been
    relieved looks like one that is cooled badly, but not for long.
    """
    probability, _ = _predicted(network, table)
    alarms = {ANOMALY: AlarmSpec(open_at=1.0, clear_at=0.8, open_hits=3, span=4, clear_after=6)}
    for column, fault in enumerate(CLASSES):
        absent = table.severity[:, column] == 0.0
        thermal, bearing = fault in FAMILIES[-1].faults, fault in BEARING_FAULTS
        rate, least = (0.004, 0.5) if thermal else (0.002, 0.6) if bearing else (0.001, 0.7)
        opens = float(np.clip(np.quantile(probability[absent, column], 1.0 - rate), least, 0.97))
        alarms[fault] = AlarmSpec(
            open_at=round(opens, 3),
            clear_at=round(0.6 * opens, 3),
            open_hits=4 if thermal else 3,
            span=5 if thermal else 4,
            clear_after=6,
        )
    return alarms


def report(
    network: classifier.Network,
    autoencoder: anomaly.Autoencoder,
    alarms: dict[str, AlarmSpec],
    table: Table,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Figures on motors that nothing was fitted to, told and returned, flat."""
    probability, severity = _predicted(network, table)
    with torch.no_grad():
        score = autoencoder(torch.from_numpy(table.features))[0].numpy()
    metrics: dict[str, float] = {}
    tell(f"held-out motors: {len(np.unique(table.motor))}, windows: {len(table)}, {int(table.healthy.sum())} healthy")
    tell(f"{'fault':14s} {'open_at':>8s} {'recall':>8s} {'precision':>10s} {'false':>8s}")
    for column, fault in enumerate(CLASSES):
        named = probability[:, column] > alarms[fault].open_at
        truth = table.severity[:, column]
        clear = truth >= DETECTABLE
        shares = {
            "recall": by_motor(named, clear, table.motor),
            "precision": by_motor(truth > 0.0, named, table.motor),
            "false_rate": by_motor(named, truth == 0.0, table.motor),
        }
        recall, precision, false = (shares[name].value for name in ("recall", "precision", "false_rate"))
        tell(f"{fault:14s} {alarms[fault].open_at:8.3f} {recall:8.3f} {precision:10.3f} {false:8.5f}")
        for name, found in shares.items():
            key = f"twin.{fault}.{name}"
            metrics |= {key: found.value, f"{key}.lo": found.lo, f"{key}.hi": found.hi}
    opens = np.array([alarms[fault].open_at for fault in CLASSES])
    healthy = table.healthy
    severe = table.severity.max(axis=1) >= DETECTABLE
    metrics |= {
        "twin.healthy.named_rate": float((probability[healthy] > opens).any(axis=1).mean()),
        "twin.healthy.anomaly_rate": float((score[healthy] > 1.0).mean()),
        "twin.faulty.anomaly_rate": float((score[severe] > 1.0).mean()),
        FAR: max(1.0, float(np.quantile(score[~healthy], 0.999))) if (~healthy).any() else float("nan"),
        "twin.healthy.severity_p99": float(np.quantile(severity[healthy], 0.99)),
        "twin.faulty.severity_mae": float(np.abs(severity - table.severity.max(axis=1))[severe].mean()),
    }
    for name in list(metrics)[-6:]:
        tell(f"{name:32s} {metrics[name]:.5f}")
    metrics |= confusion(probability - opens, table)
    return {name: round(value, 6) for name, value in metrics.items() if np.isfinite(value)}


def confusion(excess: NDArray[np.floating], table: Table) -> dict[str, float]:
    """Of windows with one clear fault: share by the name farthest over its threshold, or ``healthy`` where none is."""
    named = np.where(excess.max(axis=1) > 0.0, excess.argmax(axis=1), len(CLASSES))
    single = (table.severity > 0.0).sum(axis=1) == 1
    found: dict[str, float] = {}
    for column, fault in enumerate(CLASSES):
        rows = single & (table.severity[:, column] >= DETECTABLE)
        for other, name in enumerate((*CLASSES, HEALTHY)):
            if rows.any() and other != column:
                found[f"twin.confusion.{fault}.{name}"] = float((named[rows] == other).mean())
    return found


def by_motor(hit: NDArray[np.bool_], among: NDArray[np.bool_], motor: NDArray[np.int64]) -> Interval:
    """Share of ``hit`` rows ``(N,)`` among some, with the 95 % interval of a ratio over whole motors.

    Windows of one motor are alike, so that each motor counts as one draw (Cochran, Sampling Techniques, 3rd ed.,
    eq. 6.13, cluster sampling).
    """
    _, owner = np.unique(motor[among], return_inverse=True)
    if owner.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    count = np.bincount(owner)
    hits = np.bincount(owner, weights=hit[among].astype(np.float64))
    value = float(hits.sum() / count.sum())
    spread = float(np.square(hits - value * count).sum() / max(len(count) - 1, 1))
    half = 1.96 * float(np.sqrt(len(count) * spread)) / float(count.sum())
    # With nobody hit, or everybody, the ratio shows no spread: the interval is Wilson's, over motors.
    if value in {0.0, 1.0}:
        alike = share(round(value * len(count)), len(count))
        return Interval(value, alike.lo, alike.hi)
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def _predicted(network: classifier.Network, table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.no_grad():
        probability, severity = network(torch.from_numpy(table.features))
    return probability.numpy(), severity.numpy()
