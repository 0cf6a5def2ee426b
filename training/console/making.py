"""``train`` and the steps that it is made of; ``train --data`` commissions."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from training import commission
from training import train as steps
from training.console.arguments import MODELS, PROGRAM, Parser, tell, unsaid
from training.train import Args

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

COMMISSIONED = Path("build/commissioned")
WORK = Path("build/training")


class Step(NamedTuple):
    """One of the steps."""

    details: str
    example: str
    fields: tuple[str, ...]
    run: Callable[[Args, Path, Callable[[str], None]], object]


STEPS = {
    "prepare": Step(
        "Makes the windows that the models learn from and keeps them by the thousand in WORK/data. Interrupted, it "
        "goes on where it was: what is whole and made by the same seed and twin stays, the rest is made.",
        "prepare --windows 131072 --seed 1 --workers 2",
        ("windows", "seed", "workers"),
        steps.prepare,
    ),
    "fit": Step(
        "Fits and calibrates the networks on what prepare made, reports on motors that nothing was fitted to, and "
        "keeps weights, thresholds and figures in WORK/weights.npz.",
        "fit --epochs 30 --commit $(git rev-parse HEAD)",
        ("epochs", "golden", "commit", "false_alarms", "workers"),
        steps.fit,
    ),
    "export": Step(
        "Makes WORK/graphs from WORK/weights.npz: ONNX graphs and what torch answers to a few windows. The same "
        "weights give the same bytes.",
        "export --work build/training",
        (),
        lambda _args, work, say: steps.export(work, say),
    ),
    "bundle": Step(
        "Puts WORK/graphs, thresholds, golden vectors, drift sketch and model card together, and in OUT's place once "
        "the edge's own loader has proven them.",
        "bundle --out build/models",
        ("out",),
        lambda args, work, say: steps.assemble(work, args.out, say),
    ),
}
"""What ``train`` does as a whole, one by one; each reads what the one before left in ``--work``."""


def train(argv: list[str]) -> int:
    """``train``: from the twin, or with ``--data`` on a plant's own healthy running."""
    parser = Parser(
        prog=f"{PROGRAM} train",
        description="Makes windows with the motor twin, fits and calibrates the models on them, reports on motors that "
        "nothing was fitted to, and replaces the bundle once the edge's own loader has proven the new one. With "
        "--data: fits the shipped bundle's anomaly levels and thresholds to a plant's own healthy running, into "
        f"{COMMISSIONED}.",
        example="train --data monday.csv --fs-hz 12800 --speed-rpm 1480 --geometry 6309",
    )
    _fields(parser, *(field.name for field in fields(Args)))
    own = parser.add_argument_group("your own data")
    own.add_argument(
        "--data", nargs="+", metavar="FILE", help="healthy running: .mat, .npz, .csv, .parquet, history.db"
    )
    own.add_argument("--geometry", help="the bearing's name in the catalogue, like 6309")
    own.add_argument("--channel", help="publisher's channel, like DE or FE")
    unsaid(own)
    own.add_argument("--models", type=Path, default=MODELS, help="bundle to start from")
    own.add_argument("--first", type=float, default=1.0, help="use only this share of each recording, from its start")
    own.add_argument("--sure", action="store_true", help="the machine is sound, whatever the shipped models think")
    options = parser.parse_args(argv)
    if options.data:
        _commission(options)
    else:
        steps.train(_args(options), tell)
    return 0


def _step(name: str, argv: list[str]) -> int:
    step = STEPS[name]
    parser = Parser(prog=f"{PROGRAM} {name}", description=step.details, example=step.example)
    parser.add_argument("--work", type=Path, default=WORK, help="folder that holds what the steps leave each other")
    _fields(parser, *step.fields)
    options = parser.parse_args(argv)
    step.run(_args(options), options.work, steps.timed(tell))
    return 0


prepare, fit, export, bundle = (partial(_step, name) for name in STEPS)


def _fields(parser: Parser, *names: str) -> None:
    for field in fields(Args):
        if field.name in names:
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=Path if field.default is None else type(field.default),
                default=field.default,
                help=field.metadata["help"],
            )


def _args(options: argparse.Namespace) -> Args:
    return Args(**{field.name: getattr(options, field.name) for field in fields(Args) if hasattr(options, field.name)})


def _commission(options: argparse.Namespace) -> None:
    commission.commission(
        commission.Args(
            data=tuple(options.data),
            geometry=options.geometry,
            speed_rpm=options.speed_rpm,
            fs_hz=options.fs_hz,
            unit=options.unit,
            channel=options.channel,
            models=options.models,
            out=COMMISSIONED if options.out == Args().out else options.out,
            false_alarms=options.false_alarms,
            first=options.first,
            sure=options.sure,
        ),
        tell,
    )
