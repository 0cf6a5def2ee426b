"""Are the classifier's probabilities what they say? Reliability and calibration error, and inputs like none it learnt.

The twin's windows come from streams that no training used, as rough as the training's; CWRU's from the real rig. Both
go through the shipped graphs. A window counts as faulty under a fault from ``CLEAR`` on; below, presence is a matter of
definition, and the row is left out for that fault (as when the bundle is calibrated).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.faults import BEARING_FAULTS, HEALTHY
from training import data
from training.corpora import cwru, source
from training.evaluate import edge, interval, odd
from training.evaluate.figure import Figure, Section, Table, canvas, plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.bundle import Bundle
    from simulator.dataset import Windows
    from training.evaluate.figure import Options, Plot

SEED = 3_000_017
"""First stream of this section; the trainings draw from far smaller ones."""
WINDOWS = 1536
"""Per seed."""
CLEAR = 0.2
BINS = 15
TOLD = 0.1
TARGET = "<= 0.03"
_BATCH = 32


class Judged(NamedTuple):
    """Probabilities and truth of ``n`` windows by ``C`` faults: ``(n, C)`` each, truth NaN where there is none."""

    probability: NDArray[np.float64]
    truth: NDArray[np.float64]
    owner: NDArray[np.generic]


def evaluate(options: Options) -> Section:
    """Expected calibration error by class and over all, on the twin and on the rig; how odd inputs are answered."""
    classes = options.bundle.manifest.classes
    draws = 20 if options.tiny else 300
    twin = _joined([_twin(options, seed) for seed in range(1 if options.tiny else options.seeds)])
    try:
        rig: Judged | None = _rig(options)
    except source.CorpusAbsentError:
        rig = None
    named, alarmed, rows = odd.answered(options.bundle)
    figures = [
        Figure("calibration.ece", *_interval(twin, draws), TARGET, f"twin, {len(twin.owner)} windows, all faults"),
        *(
            Figure(f"calibration.ece.{fault}", error(twin.probability[:, at], twin.truth[:, at]), what="the same")
            for at, fault in enumerate(classes)
        ),
        Figure(
            "calibration.ece_where_told",
            error(twin.probability, np.where(twin.probability >= TOLD, twin.truth, np.nan)),
            what=f"only probabilities from {TOLD:g} on: the many sure noes do not flatter it",
        ),
        Figure("calibration.brier", brier(twin), what="mean squared error of the probabilities"),
        Figure(
            "calibration.control.base_rate_brier",
            brier(twin._replace(probability=np.tile(np.nanmean(twin.truth, axis=0), (len(twin.owner), 1)))),
            what="each fault's share, whatever the window",
        ),
    ]
    if rig is not None:
        figures.append(
            Figure("calibration.rig.ece", *_interval(rig, draws), "", "CWRU, as shipped, three bearing faults, 1 s")
        )
    figures += [
        Figure(
            "unknown.named",
            *interval.share(named, len(rows)),
            "",
            f"of {len(rows)} inputs like no machine, those that get a fault's name",
        ),
        Figure("unknown.alarmed", *interval.share(alarmed, len(rows)), "", "of these, those that are called anomalous"),
    ]
    return Section(
        title="Probabilities: are they what they say",
        protocol="Twin motors drawn anew, roughened as for training, through the shipped graphs, a window at a time; "
        f"{BINS} bins of equal width; the error is the mean distance between a bin's mean probability and its share "
        "of windows with the fault, weighed by windows (Naeini et al., AAAI 2015). Intervals resample whole motors, "
        "on the rig whole bearings. Faults fainter than "
        f"{CLEAR:g} are left out for their own class.",
        figures=tuple(figures),
        tables=(
            _bins(twin, "Reliability on the twin, all faults"),
            *((_bins(rig, "Reliability on the rig, bearing faults"),) if rig is not None else ()),
            Table("Inputs like no machine", ("input", "diagnosis", "anomaly", "highest probability"), rows),
        ),
        plots=(_picture(twin, rig),),
        caveats=(
            (
                "The twin's shares of faults are the training's, a plant's are far lower: there the same "
                "probability means less than it says, which is why alerts take several readings."
            ),
            "On the rig 60 of 61 recordings are faulty by choice of the publisher; its error is no plant's either.",
        ),
    )


def error(probability: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Expected calibration error of any shape of probabilities against truth 0 or 1, NaN where there is none."""
    counts, said, seen = curve(probability, truth)
    return float(np.abs(said - seen) @ counts / max(1.0, counts.sum()))


def curve(
    probability: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """By bin ``(BINS,)``: how many, their mean probability, their share of truth (0 where a bin is empty)."""
    known = ~np.isnan(truth)
    p, y = probability[known], truth[known]
    at = np.minimum((p * BINS).astype(np.intp), BINS - 1)
    counts = np.bincount(at, minlength=BINS).astype(np.float64)
    some = np.maximum(counts, 1.0)
    return counts, np.bincount(at, p, BINS) / some, np.bincount(at, y, BINS) / some


def brier(judged: Judged) -> float:
    """Mean squared error (Brier, Monthly Weather Review 78 (1950) 1-3)."""
    return float(np.nanmean((judged.probability - judged.truth) ** 2))


def _interval(judged: Judged, draws: int) -> interval.Interval:
    return interval.over_groups(
        lambda at: error(judged.probability[at], judged.truth[at]),
        judged.owner,
        np.zeros(len(judged.owner)),
        draws=draws,
    )


def _joined(parts: list[Judged]) -> Judged:
    return Judged(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _twin(options: Options, seed: int) -> Judged:
    stream = SEED + seed
    sample = data.windows(96 if options.tiny else WINDOWS, seed=stream, healthy_share=0.35)
    severity = sample.severity[:, : len(options.bundle.manifest.classes)]
    truth = np.where((severity > 0.0) & (severity < CLEAR), np.nan, severity > 0.0)
    return Judged(_probability(options.bundle, sample), truth, sample.motor + stream * 1_000_000)


def _probability(models: Bundle, sample: Windows) -> NDArray[np.float64]:
    columns = {name: getattr(sample, name) for name in ("accel_m_s2", "samples", "fs_hz", "operating", "nameplate")}
    return np.concatenate(
        [
            models.run("classifier", {name: column[at : at + _BATCH] for name, column in columns.items()})[
                "probability"
            ]
            for at in range(0, len(sample.fs_hz), _BATCH)
        ],
        dtype=np.float64,
    )


def _rig(options: Options) -> Judged:
    recordings = cwru.recordings(options.data)
    if options.tiny:
        recordings = recordings[::20]
    faults = [fault for fault in BEARING_FAULTS if any(one.entry.fault == fault for one in recordings)]
    columns = [options.bundle.manifest.classes.index(fault) for fault in faults]
    parts = []
    for one in recordings:
        stream = edge.readings(
            "rig",
            {"x": one.windows(int(cwru.FS_HZ))},
            fs_hz=cwru.FS_HZ,
            speed_rpm=one.entry.speed_rpm,
            step_s=1.0,
        )
        scores = edge.scored(options.bundle, edge.birth("rig", cwru.RATED_RPM, cwru.BEARING), stream)
        truth = np.tile([float(one.entry.fault == fault) for fault in faults], (len(stream), 1))
        bearing = one.entry.bearing if one.entry.fault != HEALTHY else HEALTHY
        parts.append(Judged(scores.probability[:, columns], truth, np.full(len(stream), bearing)))
    return _joined(parts)


def _bins(judged: Judged, title: str) -> Table:
    counts, said, seen = curve(judged.probability, judged.truth)
    return Table(
        title,
        ("probability", "windows", "mean probability", "share with the fault"),
        tuple(
            (f"{at / BINS:.2f}-{(at + 1) / BINS:.2f}", f"{counts[at]:.0f}", f"{said[at]:.3f}", f"{seen[at]:.3f}")
            for at in range(BINS)
            if counts[at]
        ),
    )


def _picture(twin: Judged, rig: Judged | None) -> Plot:
    drawn = canvas(5.0, 4.2)
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1], "k--", linewidth=0.8)
    for name, judged in (("twin", twin), ("CWRU", rig)):
        if judged is not None:
            counts, said, seen = curve(judged.probability, judged.truth)
            axes.plot(said[counts > 0], seen[counts > 0], "o-", markersize=4, label=name)
    axes.set_xlabel("probability told")
    axes.set_ylabel("share of windows with the fault")
    axes.legend()
    return plot("Reliability: on the diagonal a probability is what it says", drawn)
