"""The gate: what is cheap and certain first, the replay last, every finding told as it comes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from service import bundle
from service.errors import BundleError, InferenceError
from training.corpora import source
from training.data import STREAMS
from training.gate import cost, fleet, origin, recording, windows
from training.gate.check import Check
from training.gate.report import JSON_FILE, PAGE_FILE, Report
from training.gate.slice import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.gate.slice import Slice

    Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments of ``python -m training gate``."""

    candidate: Path = field(metadata={"help": "bundle folder that wants in"})
    champion: Path = field(metadata={"help": "bundle folder that it must not be worse than"})
    out: Path = field(default=Path("build/gate"), metadata={"help": f"folder of {JSON_FILE} and {PAGE_FILE}"})
    windows: int = field(default=12_288, metadata={"help": "twin windows to replay, in parts of 1024"})
    fleets: int = field(default=2, metadata={"help": "fleets of sound and of failing motors to replay"})
    days: float = field(default=5.0, metadata={"help": "days that sound motors live"})
    retrain: bool = field(default=False, metadata={"help": "train the candidate again: same digest, torch beside ONNX"})
    tiny: bool = field(default=False, metadata={"help": "see that it runs; the verdict means nothing"})

    def __post_init__(self) -> None:
        for name in ("windows", "fleets", "days"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name}: {getattr(self, name)} must be above 0")


def gate(args: Args, tell: Tell) -> Report:
    """Judges a candidate and writes both files.

    Args:
        args: what to compare on how much.
        tell: takes lines of progress and every finding.

    Raises:
        BundleError: the champion cannot be loaded, so nothing can be compared with it.
        CorpusError: a data set is damaged.
    """
    started = time.monotonic()

    def say(text: str) -> None:
        tell(f"[{time.monotonic() - started:5.1f} s] {text}")

    torch.set_num_threads(1)
    champion = bundle.load(args.champion)
    report = Report("", champion.digest, args.tiny)
    try:
        candidate = bundle.load(args.candidate)
    except BundleError as error:
        _asked(report, say, Check("loads", False, str(error), "the edge's own loader takes it and proves it"))
    else:
        report.candidate = candidate.digest
        _asked(report, say, Check("loads", True, f"digest {candidate.digest[:12]}", "the edge's own loader proves it"))
        _compared(args, report, (champion, candidate), say)
    report.write(args.out)
    against = f": {', '.join(report.refused)}" if report.refused else ""
    say(f"gate {'passed' if report.passed else 'refused'}{against} ({args.out / JSON_FILE}, {args.out / PAGE_FILE})")
    return report


def _asked(report: Report, say: Tell, *checks: Check) -> None:
    for check in checks:
        report.checks.append(check)
        answer = {True: "ok", False: "FAILED", None: "not asked"}[check.passed]
        say(f"{check.name:24s} {answer:9s} {check.found} (wanted: {check.limit})")


def _compared(args: Args, report: Report, pair: tuple[bundle.Bundle, bundle.Bundle], say: Tell) -> None:
    champion, candidate = pair
    _asked(report, say, _held_apart(candidate), _classes(champion, candidate))
    _asked(report, say, cost.size(args.champion, args.candidate), cost.latency(args.champion, args.candidate))
    _asked(report, say, cost.memory(args.champion, args.candidate))
    if report.refused:
        report.absent.append("the replay: the candidate is refused without it")
        return
    try:
        _asked(report, say, origin.golden(args.candidate, candidate))
        found = _replayed(args, report, pair, say)
    except InferenceError as error:
        _asked(report, say, Check("runs", False, str(error), "an answer to every window"))
        return
    report.slices = judge(found, limits=not args.tiny)
    if args.tiny:
        report.absent.append("limits that hold whatever the champion does: too little was replayed for them")
    _told(report, say)
    if not args.retrain:
        _asked(report, say, Check("retrain_reproduces", None, "give --retrain to train it again", "the same digest"))
    elif report.refused:
        _asked(report, say, Check("retrain_reproduces", None, "refused without it", "the same digest"))
    else:
        _asked(report, say, *origin.again(candidate, windows.parts(windows.PART), say))


def _told(report: Report, say: Tell) -> None:
    for one in report.slices:
        if one.verdict != "same":
            say(
                f"{one.name:28s} {one.verdict:7s} {one.champion:.4g} to {one.candidate:.4g}, change {one.change:+.4f} "
                f"[{one.lo:+.4f}, {one.hi:+.4f}]"
            )


def _replayed(args: Args, report: Report, pair: tuple[bundle.Bundle, bundle.Bundle], say: Tell) -> list[Slice]:
    champion, candidate = pair
    sample = windows.parts(windows.PART if args.tiny else args.windows)
    total = sum(len(part.fs_hz) for part in sample)
    answers = []
    for models, who in ((champion, "champion"), (candidate, "candidate")):
        answers.append(windows.answers(models, sample, partial(_progress, say, who, total)))
    spoilt = windows.meaningless(answers[1]) - windows.meaningless(answers[0])
    _asked(report, say, Check("meaningless_windows", spoilt <= 0, f"{spoilt} more than the champion", "<= 0", spoilt))
    found = windows.slices((champion, answers[0]), (candidate, answers[1]), sample)
    report.replay = {"windows": total, "digest": windows.digest(sample)[:12]}

    fleets, motors, days = (1, 9, 0.5) if args.tiny else (args.fleets, fleet.MOTORS, args.days)
    lived = fleet.replay(champion, candidate, fleets=fleets, motors=motors, days=days, told=say)
    report.replay |= {
        "motor_days": fleets * motors * days,
        "failing_motors": fleets * motors,
        "readings": lived.readings,
    }
    _asked(report, say, Check("withheld_readings", not lived.withheld, f"{lived.withheld}", "0", lived.withheld))
    found += fleet.slices(lived)
    try:
        found += recording.slices(source.root(), pair, say)
    except source.CorpusAbsentError as error:
        report.absent.append(str(error))
        say(f"left out: {error}")
    return found


def _progress(say: Tell, who: str, total: int, done: int) -> None:
    if done == total or done % (4 * windows.PART) == 0:
        say(f"{who}: {done} of {total} windows")


def _held_apart(candidate: bundle.Bundle) -> Check:
    """Whether no stream of the candidate's seed can be one of the replay's."""
    seed = candidate.manifest.seed
    last = windows.SEED // STREAMS - 2
    return Check("replay_held_apart", 0 <= seed <= last, f"training seed {seed}", f"0..{last}")


def _classes(champion: bundle.Bundle, candidate: bundle.Bundle) -> Check:
    lost = sorted(set(champion.manifest.classes) - set(candidate.manifest.classes))
    new = sorted(set(candidate.manifest.classes) - set(champion.manifest.classes))
    said = ", ".join([*(f"{name} lost" for name in lost), *(f"{name} new" for name in new)])
    return Check("classes", not lost, said or "the same", "every fault that the champion knows")
