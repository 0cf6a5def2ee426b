"""CWRU, sim to real: the shipped bundle, which has seen the twin alone, on 60 recordings of a real rig.

Two variants. As shipped: nothing real at all, the manifest's own thresholds. Calibrated: the first half of the target
machine's healthy recording, which a plant has on day one, moves the thresholds; the second half is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from service.contract.faults import HEALTHY, Fault
from service.evidence import pooled
from training.corpora import cwru
from training.evaluate import edge, interval, visible
from training.evaluate.figure import Figure, Section, Table, canvas, plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract.manifest import Manifest
    from training.evaluate.figure import Options, Plot
    from training.evaluate.interval import Interval

ANSWERS: tuple[str, ...] = (HEALTHY, *(str(f) for f in (Fault.INNER_RACE, Fault.OUTER_RACE, Fault.BALL)))
"""The four classes of the protocol."""
LINES: tuple[str, ...] = ("bpfi", "bpfo", "bsf")
"""The contribution that belongs to each fault, side bands included."""
WINDOW = int(cwru.FS_HZ)  # one second
MARGIN = 3.0
"""Calibrated: a fault is named when its log odds lie this many (median absolute) deviations above healthy running."""
SPREAD_FLOOR = 0.5
"""Least deviation of the log odds, for two healthy windows may be alike by chance."""
_TINY = 8
_LEAST = 1e-7
_SHOWS = 0.05
"""A defect stands out where fewer random combs than this are as strong."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Per window: truth as index into ``ANSWERS``, log odds ``(n, 3)``, answer among all faults, anomaly and its blame.

    And its recording, its bearing, whether it is in the recording's second half.
    """

    truth: NDArray[np.intp]
    log_odds: NDArray[np.float64]
    every: NDArray[np.str_]
    anomaly: NDArray[np.float64]
    blamed: NDArray[np.str_]
    recording: NDArray[np.str_]
    bearing: NDArray[np.str_]
    late: NDArray[np.bool_]


def evaluate(options: Options) -> Section:
    """Balanced accuracy by window and by recording, and how well faulty is told from healthy."""
    recordings = cwru.recordings(options.data)
    if options.tiny:
        recordings = tuple(r for r in recordings if r.entry.load_hp == 0)[
            :: len(recordings) // _TINY // 2 or 1
        ] + tuple(r for r in recordings if r.entry.fault == HEALTHY)
    found = _answers(recordings, options)
    manifest = options.bundle.manifest
    draws = 50 if options.tiny else interval.DRAWS
    shipped = _shipped(found.log_odds, manifest)
    rows = np.arange(len(found.truth))

    calibration = (found.truth == 0) & ~found.late
    judged = ~calibration
    calibrated = _calibrated(found.log_odds, found.log_odds[calibration])

    window = _bacc(found, shipped, rows, draws)
    recording = _per_recording(found, _whole(found, manifest), rows, draws)
    majority = _per_recording(found, shipped, rows, draws)
    day_one = _bacc(found, calibrated, np.flatnonzero(judged), draws)
    day_one_recording = _per_recording(found, calibrated, np.flatnonzero(judged), draws)
    auroc = _auroc(found, found.log_odds.max(axis=1), draws)
    anomaly = _auroc(found, found.anomaly, draws)
    edge_says = np.array([ANSWERS.index(a) if a in ANSWERS else -1 for a in found.every])
    strict = _bacc(found, edge_says, rows, draws)
    noticed = np.flatnonzero((found.truth > 0) & (found.anomaly >= 1.0))
    named = found.blamed == np.array(["", *LINES])[found.truth]
    line = (
        interval.over_groups(
            lambda at: float(named[noticed][at].mean()), found.bearing[noticed], found.truth[noticed], draws=draws
        )
        if set(LINES) <= set(manifest.bands)  # earlier bundles blame bands of frequency
        else interval.Interval(float("nan"), float("nan"), float("nan"))
    )
    chance = float(
        np.mean(
            [
                balanced_accuracy_score(found.truth, np.random.default_rng(s).integers(0, 4, len(rows)))
                for s in range(options.seeds)
            ]
        )
    )

    shown = _shown(recordings)
    visible_share = sum(chance < _SHOWS for chance in shown.values()) / len(shown)
    figures = (
        Figure("cwru.sim2real.window_bacc", *window, ">= 0.85", "as shipped; 4 classes, 1 s windows"),
        Figure(
            "cwru.sim2real.recording_acc", *recording, ">= 0.9", "as shipped; a recording's windows as one evidence"
        ),
        Figure(
            "cwru.sim2real.majority.recording_acc", *majority, "", "the most frequent answer of its windows instead"
        ),
        Figure("cwru.sim2real.healthy_auroc", *auroc, ">= 0.995", "largest log odds of a bearing fault, 1 s windows"),
        Figure("cwru.sim2real.calibrated.window_bacc", *day_one, "", "with 2.5 s of the machine's own healthy running"),
        Figure("cwru.sim2real.calibrated.recording_acc", *day_one_recording, "", "the same, by recording"),
        Figure("cwru.sim2real.anomaly_auroc", *anomaly, "", "the anomaly graph alone"),
        Figure("cwru.sim2real.strict.window_bacc", *strict, "", "any of the bundle's 9 faults may be answered"),
        Figure("rootcause.cwru_line", *line, "", "faulty windows over the anomaly threshold: blamed on their line"),
        Figure(
            "cwru.visible_share", visible_share, what="faulty recordings whose defect's frequency stands out at all"
        ),
        Figure("cwru.sim2real.control.random", chance, None, None, "", "answers drawn at random"),
        Figure("cwru.sim2real.control.all_positive", 0.25, None, None, "", "one answer for everything"),
    )
    known = len([e for e in cwru.entries() if e.fs_hz == cwru.FS_HZ]) + 1
    return Section(
        title="CWRU: from the twin to a real machine",
        protocol="The shipped classifier has been fitted on the twin alone, whose parameters come from catalogues and "
        "physics over stated ranges; no recording of this rig took part. Every drive-end recording is cut into 1 s "
        "windows without overlap and goes through the edge's own framing and graphs. A window's answer is the bearing "
        "fault furthest above its shipped threshold, or healthy. Intervals resample whole bearings: windows and loads "
        f"of one bearing are not independent. {len(recordings)} of {known} recordings.",
        figures=figures,
        tables=(
            _confusion(found.truth, shipped, "Confusion by window, as shipped"),
            _confusion(found.truth[judged], calibrated[judged], "Confusion by window, calibrated"),
            _recordings(found, shipped, recordings, shown),
        ),
        plots=(_picture(found),),
        caveats=(
            (
                "Healthy is one recording of 5 s at load 0, one machine, decimated from 48 kHz: healthy "
                "against fault is "
                "confounded with load and with that one recording, and its interval cannot be known. AUROC rests on "
                f"{int((found.truth == 0).sum())} healthy windows."
            ),
            "One bundle of one training seed: the intervals speak of bearings, not of trainings.",
            (
                "Column 'chance': how often a comb at a random order is as strong in the whole recording as the "
                "defect's own, by plain numpy that knows nothing of the models. Where that is not small the recording "
                "does not show its defect's frequency, and what it is called is a guess for any method that goes by "
                "kinematics."
            ),
        ),
    )


def _answers(recordings: tuple[cwru.Labelled, ...], options: Options) -> Answers:
    classes = options.bundle.manifest.classes
    columns = [classes.index(fault) for fault in ANSWERS[1:]]
    bands = options.bundle.manifest.bands
    opens = np.array([options.bundle.manifest.alarms[fault].open_at for fault in classes])
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for one in recordings:
        windows = one.windows(WINDOW)
        profile = edge.birth("rig", cwru.RATED_RPM, cwru.BEARING)
        stream = edge.readings("rig", {"x": windows}, fs_hz=cwru.FS_HZ, speed_rpm=one.entry.speed_rpm, step_s=1.0)
        scores = edge.scored(options.bundle, profile, stream)
        p = np.clip(scores.probability, _LEAST, 1.0 - _LEAST)
        count = len(windows)
        over = p / opens
        every = np.where(over.max(axis=1) >= 1.0, np.array([str(c) for c in classes])[over.argmax(axis=1)], HEALTHY)
        parts.append(
            (
                np.full(count, ANSWERS.index(one.entry.fault), dtype=np.intp),
                np.log(p / (1.0 - p))[:, columns],
                every,
                scores.anomaly,
                np.array(bands)[scores.band],
                np.full(count, one.entry.file),
                np.full(count, one.entry.bearing),
                np.arange(count) >= count / 2,
            )
        )
    joined: list[NDArray[np.generic]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Answers(*joined)  # type: ignore[arg-type]


def _shipped(log_odds: NDArray[np.float64], manifest: Manifest) -> NDArray[np.intp]:
    """The class furthest above its threshold, in log odds; healthy where none is above."""
    opens = np.array([manifest.alarms[fault].open_at for fault in ANSWERS[1:]])
    over = log_odds - np.log(opens / (1.0 - opens))
    return np.where(over.max(axis=1) >= 0.0, over.argmax(axis=1) + 1, 0)


def _whole(found: Answers, manifest: Manifest) -> NDArray[np.intp]:
    """Every window with the answer that ``score`` gives for its whole recording, among the protocol's classes."""
    answer = np.empty_like(found.truth)
    for name in np.unique(found.recording):
        mine = found.recording == name
        p = np.clip(pooled(1.0 / (1.0 + np.exp(-found.log_odds[mine]))), _LEAST, 1.0 - _LEAST)
        answer[mine] = _shipped(np.log(p / (1.0 - p))[None], manifest)
    return answer


def _calibrated(log_odds: NDArray[np.float64], healthy: NDArray[np.float64]) -> NDArray[np.intp]:
    """The class furthest above the machine's own healthy running; healthy where none is far."""
    level = np.median(healthy, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(healthy - level), axis=0), SPREAD_FLOOR)
    over = (log_odds - level) / spread - MARGIN
    return np.where(over.max(axis=1) >= 0.0, np.argmax(log_odds - level, axis=1) + 1, 0)


def _bacc(found: Answers, answer: NDArray[np.intp], rows: NDArray[np.intp], draws: int) -> Interval:
    truth, given = found.truth[rows], answer[rows]

    def figure(at: NDArray[np.intp]) -> float:
        return float(np.mean([(given[at][truth[at] == c] == c).mean() for c in np.unique(truth[at])]))

    return interval.over_groups(figure, found.bearing[rows], truth, draws=draws)


def _per_recording(found: Answers, answer: NDArray[np.intp], rows: NDArray[np.intp], draws: int) -> Interval:
    names = np.unique(found.recording[rows])
    first = [np.flatnonzero(found.recording == name)[0] for name in names]
    right = np.array([_most(answer[rows][found.recording[rows] == name]) for name in names]) == found.truth[first]
    return interval.over_groups(
        lambda at: float(right[at].mean()), found.bearing[first], found.truth[first], draws=draws
    )


def _most(answers: NDArray[np.intp]) -> int:
    return int(np.bincount(answers + 1).argmax()) - 1


def _auroc(found: Answers, score: NDArray[np.float64], draws: int) -> Interval:
    fault = found.truth > 0
    return interval.over_groups(
        lambda at: float(roc_auc_score(fault[at], score[at])), found.bearing, found.truth, draws=draws
    )


def _confusion(truth: NDArray[np.intp], answer: NDArray[np.intp], title: str) -> Table:
    return Table(
        title,
        ("truth", *ANSWERS),
        tuple(
            (name, *(str(int(((truth == row) & (answer == column)).sum())) for column in range(len(ANSWERS))))
            for row, name in enumerate(ANSWERS)
        ),
    )


def _shown(recordings: tuple[cwru.Labelled, ...]) -> dict[str, float]:
    """By faulty recording, the share of random combs as strong as its defect's."""
    bearing = cwru.BEARING.orders()
    orders = {Fault.INNER_RACE: bearing.bpfi, Fault.OUTER_RACE: bearing.bpfo, Fault.BALL: 2.0 * bearing.bsf}
    taken = (*orders.values(), bearing.bsf)
    return {
        one.entry.file: visible.as_strong(
            one.accel_m_s2, cwru.FS_HZ, one.entry.speed_rpm, orders[Fault(one.entry.fault)], taken
        )
        for one in recordings
        if one.entry.fault != HEALTHY
    }


def _recordings(
    found: Answers, answer: NDArray[np.intp], recordings: tuple[cwru.Labelled, ...], shown: dict[str, float]
) -> Table:
    rows = []
    for one in recordings:
        mine = found.recording == one.entry.file
        counts = np.bincount(answer[mine], minlength=len(ANSWERS))
        said = ANSWERS[int(counts.argmax())]
        rows.append(
            (
                one.entry.file,
                one.entry.bearing,
                str(one.entry.load_hp),
                said if said == one.entry.fault else f"{said} (wrong)",
                f"{counts[ANSWERS.index(one.entry.fault)]}/{mine.sum()}",
                f"{np.median(found.anomaly[mine]):.2f}",
                f"{shown[one.entry.file]:.3f}" if one.entry.file in shown else "",
            )
        )
    return Table(
        "By recording, as shipped",
        ("file", "bearing", "load hp", "answer", "windows right", "anomaly", "chance"),
        tuple(rows),
    )


def _picture(found: Answers) -> Plot:
    drawn = canvas()
    axes = drawn.add_subplot()
    best = found.log_odds.max(axis=1)
    for index, name in enumerate(ANSWERS):
        mine = found.truth == index
        axes.plot(np.sort(best[mine]), np.linspace(0, 1, mine.sum()), label=f"{name} ({mine.sum()})")
    axes.set_xlabel("largest log odds of a bearing fault")
    axes.set_ylabel("share of windows below")
    axes.legend()
    return plot("How far the classes lie apart", drawn)
