"""Every figure with its protocol: ``build/evaluation/evaluation.json`` and ``index.html``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

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
    "femto": "wear",
    "skab": "testbed",
    "nab": "temperature",
    "cmapss": "turbofan",
    "ai4i": "milling",
    "twin": "fleet",
    "ekf": "consistency",
    "timing": "timing",
    "rootcause": "rootcause",
}
"""Name of each section to its module, in the order they run."""


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments of ``python -m training evaluate``."""

    out: Path = field(default=Path("build/evaluation"), metadata={"help": "folder of the two files"})
    bundle: Path = field(default=Path("service/models"), metadata={"help": "bundle to evaluate"})
    only: str = field(default="", metadata={"help": f"some sections, by comma: {','.join(SECTIONS)}"})
    seeds: int = field(default=5, metadata={"help": "repetitions of whatever is random"})
    tiny: bool = field(default=False, metadata={"help": "see that it runs; the figures mean nothing"})

    def __post_init__(self) -> None:
        unknown = set(self.names) - set(SECTIONS)
        if unknown:
            raise ValueError(f"--only: unknown section {min(unknown)!r}; known are {', '.join(SECTIONS)}")
        if self.seeds < 1:
            raise ValueError(f"--seeds: {self.seeds} must be at least 1")

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
    options = Options(source.root(), bundle.load(args.bundle), args.seeds, args.tiny)
    about = {
        "bundle": options.bundle.digest[:12],
        "seeds": str(args.seeds),
        "data": ", ".join(sorted(path.name for path in options.data.glob("*/"))) or "none",
    }
    if args.tiny:
        about["tiny"] = "the figures mean nothing"
    outcomes: list[report.Outcome] = []
    for name in args.names:
        started = time.monotonic()
        protocol: Callable[[Options], Section] = import_module(f"training.evaluate.{SECTIONS[name]}").evaluate
        try:
            section, skipped = protocol(options), ""
        except source.CorpusAbsentError as error:
            section, skipped = None, str(error)
        outcome = report.Outcome(name, section, skipped, time.monotonic() - started)
        outcomes.append(outcome)
        tell(f"{name}: skipped, {skipped}" if section is None else f"{name}: {section.title} ({outcome.seconds:.0f} s)")
        for figure in section.figures if section else ():
            tell(report.line(figure))
        report.write(args.out, outcomes, about)
    tell(f"evaluate: {args.out / report.JSON_FILE} and {args.out / report.PAGE_FILE}")
    return report.figures_of(outcomes)
