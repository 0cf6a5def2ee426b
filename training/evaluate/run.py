"""Every figure with its protocol: ``build/evaluation/evaluation.json`` and ``index.html``."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from service import bundle
from training.corpora import source
from training.evaluate import report
from training.evaluate.figure import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.evaluate.figure import Section

SECTIONS: dict[str, str] = {
    "cwru": "transfer",
    "sizes": "sizes",
    "calibration": "reliability",
    "femto": "wear",
    "skab": "testbed",
    "nab": "temperature",
    "cmapss": "turbofan",
    "ai4i": "milling",
    "twin": "fleet",
    "ekf": "consistency",
    "timing": "timing",
    "rootcause": "rootcause",
    "drift": "drift",
    "innovation": "innovation",
}
"""Name of each section to its module, in the order of the page."""

LONGEST_FIRST = (
    "cmapss",
    "twin",
    "femto",
    "ai4i",
    "sizes",
    "cwru",
    "nab",
    "skab",
    "calibration",
    "ekf",
    "drift",
    "innovation",
    "rootcause",
)
"""Sections that may run beside each other; the rest runs alone, behind them."""


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments of ``python -m training evaluate``."""

    out: Path = field(default=Path("build/evaluation"), metadata={"help": "folder of the two files"})
    bundle: Path = field(default=Path("service/models"), metadata={"help": "bundle to evaluate"})
    only: str = field(default="", metadata={"help": f"some sections, by comma: {','.join(SECTIONS)}"})
    seeds: int = field(default=5, metadata={"help": "repetitions of whatever is random"})
    workers: int = field(default=2, metadata={"help": "sections that run at a time"})
    tiny: bool = field(default=False, metadata={"help": "see that it runs; the figures mean nothing"})

    def __post_init__(self) -> None:
        unknown = set(self.names) - set(SECTIONS)
        if unknown:
            raise ValueError(f"--only: unknown section {min(unknown)!r}; known are {', '.join(SECTIONS)}")
        for name in ("seeds", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name}: {getattr(self, name)} must be at least 1")

    @property
    def names(self) -> tuple[str, ...]:
        """The sections to run."""
        return tuple(name.strip() for name in self.only.split(",") if name.strip()) or tuple(SECTIONS)


def evaluate(args: Args, tell: Callable[[str], None]) -> dict[str, float | None]:
    """Runs the sections and writes both files after each, so that an interrupted run leaves what it has found.

    Args:
        args: what to run.
        tell: takes lines of progress, and every figure.

    Returns:
        The figures, flat.

    Raises:
        service.errors.BundleError: the edge refuses the bundle.
        CorpusError: a data set is damaged. One that is absent is skipped, by name.
    """
    about = {
        "bundle": bundle.load(args.bundle).digest[:12],
        "seeds": str(args.seeds),
        "data": ", ".join(sorted(path.name for path in source.root().glob("*/"))) or "none",
    }
    if args.tiny:
        about["tiny"] = "the figures mean nothing"
    outcomes: dict[str, report.Outcome] = {}

    def take(outcome: report.Outcome) -> None:
        outcomes[outcome.name] = outcome
        section = outcome.section
        tell(
            f"{outcome.name}: "
            + (f"skipped, {outcome.skipped}" if section is None else section.title)
            + f" ({outcome.seconds:.0f} s)"
        )
        for figure in section.figures if section else ():
            tell(report.line(figure))
        report.write(args.out, [outcomes[name] for name in args.names if name in outcomes], about)

    together = [name for name in LONGEST_FIRST if name in args.names]
    if args.workers > 1 and len(together) > 1:
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(outcome_of, name, args) for name in together]):
                take(done.result())
    else:
        for name in together:
            take(outcome_of(name, args))
    # Times are taken with nothing beside them.
    for name in args.names:
        if name not in outcomes:
            take(outcome_of(name, args))
    tell(f"evaluate: {args.out / report.JSON_FILE} and {args.out / report.PAGE_FILE}")
    return report.figures_of([outcomes[name] for name in args.names])


def outcome_of(name: str, args: Args) -> report.Outcome:
    """One section, run; skipped where its data set is absent."""
    started = time.monotonic()
    torch.set_num_threads(1)
    protocol: Callable[[Options], Section] = import_module(f"training.evaluate.{SECTIONS[name]}").evaluate
    options = Options(source.root(), bundle.load(args.bundle, prove=False), args.seeds, args.tiny)
    try:
        section, skipped = protocol(options), ""
    except source.CorpusAbsentError as error:
        section, skipped = None, str(error)
    return report.Outcome(name, section, skipped, time.monotonic() - started)
