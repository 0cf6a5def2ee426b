"""Twin windows that no training draws, through the window graphs of both bundles."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.faults import Fault
from training import data
from training.bundle import window_feeds
from training.gate import graphs
from training.gate.slice import summed
from training.train import DETECTABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from service.bundle import Bundle
    from simulator.dataset import Windows
    from training.gate.slice import Slice

SEED = 3 * 2**40
"""Of the replay's streams, ``SEED, SEED + 1, ...``. Training draws ``seed * STREAMS + chunk``, far below."""
PART = 1024
"""Windows of one stream."""
_ROWS = 32
_RECALL, _FALSE = 0.03, 0.005
_ANOMALY, _ANOMALY_FALSE, _SEVERITY = 0.05, 0.01, 0.02


class Answers(NamedTuple):
    """A bundle's answers to ``n`` windows; NaN where it gave no number."""

    anomaly: NDArray[np.float64]
    probability: NDArray[np.float64]
    severity: NDArray[np.float64]


def parts(count: int) -> list[Windows]:
    """``count`` windows, rounded up to whole parts, the same ones on every call."""
    return [data.windows(PART, seed=SEED + index, healthy_share=0.4) for index in range(-(-count // PART))]


def digest(sample: list[Windows]) -> str:
    """sha256 over the windows' bytes: two gates with the same one have replayed the same windows."""
    found = hashlib.sha256()
    for part in sample:
        for array in (*window_feeds(part).values(), part.severity):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def answers(models: Bundle, sample: list[Windows], told: Callable[[int], None]) -> Answers:
    """What the edge would learn from all windows; raises ``service.errors.InferenceError``."""
    anomaly, probability, severity = [], [], []
    done = 0
    for part in sample:
        feeds = window_feeds(part)
        for start in range(0, len(part.fs_hz), _ROWS):
            rows = {name: np.ascontiguousarray(value[start : start + _ROWS]) for name, value in feeds.items()}
            said = graphs.vibration(models, rows)
            anomaly.append(said["anomaly"])
            probability.append(said["probability"])
            severity.append(said["severity"])
        done += len(part.fs_hz)
        told(done)
    whole = (np.concatenate(columns).astype(np.float64) for columns in (anomaly, probability, severity))
    return Answers(*whole)


def meaningless(found: Answers) -> int:
    """Windows with an answer that is no finite number, or a fraction outside 0..1."""
    fractions = np.concatenate([found.probability, found.severity[:, None]], axis=1)
    sound = np.isfinite(fractions).all(axis=1) & (np.abs(fractions - 0.5) <= 0.501).all(axis=1)
    return int((~(sound & np.isfinite(found.anomaly))).sum())


def slices(champion: tuple[Bundle, Answers], candidate: tuple[Bundle, Answers], sample: list[Windows]) -> list[Slice]:
    """Recall and false naming by fault, the anomaly detector's, and the severity's error."""
    truth = np.concatenate([part.severity for part in sample])
    # windows of different streams never share a motor
    motor = np.concatenate([part.motor + 1_000_000 * index for index, part in enumerate(sample)])
    worst = truth.max(axis=1)
    healthy, clear = worst == 0.0, worst >= DETECTABLE
    known = [
        fault for fault in Fault if fault in champion[0].manifest.classes and fault in candidate[0].manifest.classes
    ]
    found = []
    for fault in known:
        severity = truth[:, list(Fault).index(fault)]
        theirs, ours = _named(*champion, fault), _named(*candidate, fault)
        rows = severity >= DETECTABLE
        found.append(
            summed(
                f"{fault}.recall",
                f"windows of severity {DETECTABLE:g} or more over the bundle's own threshold",
                motor[rows],
                theirs[rows],
                ours[rows],
                higher_is_better=True,
                margin=_RECALL,
            )
        )
        rows = severity == 0.0
        found.append(
            summed(
                f"{fault}.false_naming",
                "windows without this fault over its threshold",
                motor[rows],
                theirs[rows],
                ours[rows],
                higher_is_better=False,
                margin=_FALSE,
            )
        )
    strange = [answers.anomaly > models.manifest.alarms["anomaly"].open_at for models, answers in (champion, candidate)]
    error = [np.abs(answers.severity - worst) for _, answers in (champion, candidate)]
    for name, what, rows, (theirs, ours), better, margin in (
        ("anomaly.recall", "windows with a clear fault over the threshold", clear, strange, True, _ANOMALY),
        ("anomaly.false", "healthy windows over the threshold", healthy, strange, False, _ANOMALY_FALSE),
        ("severity.error", "mean error of severity, windows with a clear fault", clear, error, False, _SEVERITY),
        ("severity.healthy", "mean severity told of healthy windows", healthy, error, False, _SEVERITY),
    ):
        found.append(summed(name, what, motor[rows], theirs[rows], ours[rows], higher_is_better=better, margin=margin))
    return found


def _named(models: Bundle, found: Answers, fault: Fault) -> NDArray[np.bool_]:
    manifest = models.manifest
    over: NDArray[np.bool_] = found.probability[:, manifest.classes.index(fault)] > manifest.alarms[fault].open_at
    return over
