"""The command line: ``gan fit``, ``gan sample``, ``gan report``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training.console.arguments import PROGRAM, Parser
from training.gan import artefact, tabular
from training.gan.campaign import STEPS, Plan, run
from training.gan.downstream import DOMAINS, FAILURES
from training.gan.findings import Findings
from training.gan.fitting import KINDS, fit
from training.gan.generator import Budget
from training.gan.page import page
from training.gan.windows import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

OUT = Path("build/gan")
DEFAULT = Budget()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status. What a user can cause is one line on stderr and status 2."""
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
    except (InputError, OSError) as error:
        sys.stderr.write(f"gan: {error}\n")
        return 2
    return status


def _parser() -> Parser:
    parser = Parser(
        prog=f"{PROGRAM} gan",
        description="Rare failures, made by a generator and judged by what they are worth to a detector.",
        example="gan fit --domain bearing --kind diffusion --failures 3",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MOTOR_DATA", "data")), help="data folder (MOTOR_DATA)"
    )
    commands = parser.add_subparsers(required=True, metavar="fit|sample|report")

    one = commands.add_parser(
        "fit",
        help="train one generator and write its artefacts",
        description="Trains one generator on few real failures and keeps it with a checkpoint, to go on from with "
        "--resume.",
        example="gan fit --kind diffusion --failures 3 --steps 2000 --out build/gan/model",
    )
    one.add_argument("--domain", choices=DOMAINS, default="bearing", help="what fails")
    one.add_argument("--kind", choices=KINDS, default="diffusion", help="of generator")
    one.add_argument("--failures", type=int, default=3, help="real failures in training")
    one.add_argument("--seed", type=int, default=0, help="of everything random")
    one.add_argument("--steps", type=int, default=DEFAULT.steps, help="of the optimiser")
    one.add_argument("--out", type=Path, default=OUT / "model", help="folder of the generator")
    one.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    one.set_defaults(run=_fit)

    draw = commands.add_parser(
        "sample",
        help="draw windows from a trained generator",
        description="Draws windows of one class from what gan fit kept; the same seed gives the same windows.",
        example="gan sample --label inner_race --count 100 --out build/gan/samples.npz",
    )
    draw.add_argument("--model", type=Path, default=OUT / "model", help="folder that gan fit wrote")
    draw.add_argument("--label", required=True, help="class to draw, e.g. inner_race")
    draw.add_argument("--count", type=int, default=100, help="windows to draw")
    draw.add_argument("--seed", type=int, default=0, help="of everything random")
    draw.add_argument("--out", type=Path, default=OUT / "samples.npz", help="file of the windows")
    draw.set_defaults(run=_sample)

    report = commands.add_parser(
        "report",
        help="run everything and write report.html and verdict.json",
        description="Trains every generator on every domain, compares detectors with and without what they make, and "
        "writes the page and the verdict. What is done already is kept.",
        example="gan report --seeds 3 --domains bearing --folds 0",
    )
    report.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    report.add_argument("--seeds", type=int, default=10, help="repetitions of whatever is random")
    report.add_argument(
        "--failures", type=int, nargs="+", default=list(FAILURES), help="real failures in training, each tried"
    )
    report.add_argument("--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS), help="what fails")
    report.add_argument("--steps", type=int, default=STEPS, help="of the optimiser, per generator")
    report.add_argument("--folds", type=int, default=tabular.FOLDS * tabular.REPEATS, help="folds of AI4I; 0: none")
    report.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="fits at a time")
    report.set_defaults(run=_report)
    return parser


def _fit(options: argparse.Namespace) -> int:
    _positive(options, "steps")
    domain = DOMAINS[options.domain]
    split = domain.split(options.data, options.failures, options.seed, synthetic=domain.synthetic)
    budget = Budget(steps=options.steps)
    began = time.monotonic()

    def progress(step: int, losses: dict[str, float]) -> None:
        if "mmd" in losses:
            text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            _say(f"step {step}/{budget.steps} {time.monotonic() - began:.0f} s {text}")

    options.out.mkdir(parents=True, exist_ok=True)
    fitted = fit(
        options.kind,
        split.train,
        budget=budget,
        seed=options.seed,
        guide=split.physics,
        progress=progress,
        checkpoint=options.out / "checkpoint.pt",
        resume=options.resume,
    )
    artefact.save(fitted, options.out, seed=options.seed, samples=domain.synthetic)
    took = f"{time.monotonic() - began:.0f} s on the {'GPU' if torch.cuda.is_available() else 'CPU'}"
    _say(f"fitted {options.kind} on {len(split.train)} windows in {took}: {options.out}")
    return 0


def _sample(options: argparse.Namespace) -> int:
    _positive(options, "count")
    fitted = artefact.load(options.model)
    classes = fitted.train.classes
    if options.label not in classes:
        raise InputError(f"label: {options.label!r} is unknown; choose from {', '.join(classes)}")
    windows = fitted.sample(classes.index(options.label), options.count, options.seed)
    artefact.write_samples(windows, options.out)
    _say(f"{options.count} windows of {options.label}: {options.out}")
    return 0


def _report(options: argparse.Namespace) -> int:
    for name in ("seeds", "steps", "workers"):
        _positive(options, name)
    if not 0 <= options.folds <= tabular.FOLDS * tabular.REPEATS:
        raise InputError(f"folds: {options.folds} is outside 0..{tabular.FOLDS * tabular.REPEATS}; choose fewer")
    plan = Plan(
        data=options.data,
        out=options.out,
        domains=tuple(options.domains),
        failures=tuple(options.failures),
        seeds=options.seeds,
        budget=Budget(steps=options.steps, check_every=max(options.steps // 4, 1)),
        table=options.folds,
        workers=options.workers,
    )
    began = time.monotonic()
    findings = Findings(plan, run(plan, _say))
    (plan.out / "report.html").write_text(page(findings), encoding="utf-8")
    (plan.out / "verdict.json").write_text(json.dumps(findings.as_json(), indent=1))
    for line in findings.lines():
        _say(line)
    _say(f"{plan.out / 'report.html'} written after {time.monotonic() - began:.0f} s")
    return 0


def _positive(options: argparse.Namespace, name: str) -> None:
    if getattr(options, name) < 1:
        raise InputError(f"{name}: {getattr(options, name)} must be at least 1")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
