"""``python -m training COMMAND``: makes the models, and judges recordings with them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from service import bundle
from service.errors import BundleError
from simulator.catalogue import bearing
from simulator.console import number
from simulator.recording import RecordingError
from simulator.unit import UNITS
from training import bundle as written
from training import card, commission, score, sketch, train
from training.train import Args

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path("service/models")
COMMISSIONED = Path("build/commissioned")
WORK = Path("build/training")


class Step(NamedTuple):
    """One of the steps that ``train`` is made of."""

    summary: str
    details: str
    fields: tuple[str, ...]
    run: Callable[[Args, Path, Callable[[str], None]], object]


STEPS = {
    "prepare": Step(
        "the training set from the twin",
        "Makes the windows that the models learn from and keeps them by the thousand in WORK/data. Interrupted, it "
        "goes on where it was: what is whole and made by the same seed and twin stays, the rest is made. Example: "
        "python -m training prepare --windows 131072 --seed 1 --workers 2",
        ("windows", "seed", "workers"),
        train.prepare,
    ),
    "fit": Step(
        "networks and thresholds from the prepared data",
        "Fits and calibrates the networks on what prepare made, reports on motors that nothing was fitted to, and "
        "keeps weights, thresholds and figures in WORK/weights.npz. Example: python -m training fit --epochs 30",
        ("epochs", "golden", "commit", "false_alarms", "workers"),
        train.fit,
    ),
    "export": Step(
        "weights to ONNX graphs and golden vectors",
        "Makes WORK/graphs from WORK/weights.npz: the same bytes for the same weights. Example: python -m training "
        "export --work build/training",
        (),
        lambda _args, work, tell: train.export(work, tell),
    ),
    "bundle": Step(
        "graphs to a bundle that the edge's loader has proven",
        "Puts WORK/graphs, thresholds, golden vectors, drift sketch and model card together, and in OUT's place once "
        "the edge's own loader has proven them. Example: python -m training bundle --out build/models",
        ("out",),
        lambda args, work, tell: train.assemble(work, args.out, tell),
    ),
}
"""What ``train`` does as a whole, one by one; each reads what the one before left in ``--work``."""
_OWN = {"evaluate": "training.evaluate.__main__", "gan": "training.gan.command", "gate": "training.gate.command"}


def main(argv: list[str]) -> int:
    """Runs one command; 0 when it did what it says, 2 with one line that explains when not."""
    # These bring their own arguments, and drawing and fitting libraries that the others need not wait for.
    module = _OWN.get(argv[0]) if argv else None
    if module is not None:
        return int(import_module(module).main(argv[1:]))
    if not argv:
        _parser().print_help(sys.stderr)
        return 2
    try:
        if argv[0] == "fetch":
            return int(import_module("training.fetch").main(argv[1:], print))
        options = _parser().parse_args(argv)
        return int(options.run(options))
    except (BundleError, RecordingError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)

    making = commands.add_parser(
        "train",
        help="twin -> models -> proven bundle",
        description="Makes windows with the motor twin, fits and calibrates the models on them, reports on motors that "
        "nothing was fitted to, and replaces the bundle once the edge's own loader has proven the new one. With "
        "--data: fits the shipped bundle's anomaly levels and thresholds to a plant's own healthy running, into "
        f"{COMMISSIONED}. Example: python -m training train --data monday.csv --fs-hz 12800 --speed-rpm 1480 "
        "--geometry 6309",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _fields(making, *(field.name for field in fields(Args)))
    own = making.add_argument_group("your own data")
    own.add_argument(
        "--data", nargs="+", metavar="FILE", help="healthy running: .mat, .npz, .csv, .parquet, history.db"
    )
    own.add_argument("--geometry", help="the bearing's name in the catalogue, like 6309")
    own.add_argument("--channel", help="publisher's channel, like DE or FE")
    _unsaid(own)
    own.add_argument("--models", type=Path, default=MODELS, help="bundle to start from")
    own.add_argument("--first", type=float, default=1.0, help="use only this share of each recording, from its start")
    own.add_argument("--sure", action="store_true", help="the machine is sound, whatever the shipped models think")
    making.set_defaults(run=_train)

    for name, step in STEPS.items():
        part = commands.add_parser(
            name, help=step.summary, description=step.details, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        _fields(part, "work", *step.fields)
        part.set_defaults(run=_step, step=step, work=WORK)

    judging = commands.add_parser(
        "score",
        help="a recording through the shipped bundle",
        description="Runs recordings (.mat of Case Western or MFPT, .npz of FEMTO, .csv, .parquet; "
        "archive.tar.xz:member too) through the bundle and the edge's own core, one line each. A file that cannot be "
        "judged is one line on stderr and status 2; the others are judged all the same. Example: "
        "python -m training score monday.csv --bearing 6309 --speed-rpm 1480 --fs-hz 12800 --json",
    )
    judging.add_argument("files", nargs="+", metavar="FILE")
    judging.add_argument("--bearing", help="name from the catalogue, like 6205; without it no bearing fault is named")
    judging.add_argument("--channel", help="publisher's channel, like DE or FE; default the drive end")
    _unsaid(judging)
    judging.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    judging.add_argument("--json", action="store_true", help="one JSON object a line")
    judging.set_defaults(run=_score)

    sketching = commands.add_parser(
        "sketch",
        help="gives a bundle the sketch of its training's inputs, without training it again",
        description="Draws the sketch of the bundle's own seed (drift is judged against it) and puts it in the "
        "manifest. The digest changes: sign the bundle afterwards.",
    )
    sketching.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    sketching.set_defaults(run=_sketch)

    carding = commands.add_parser(
        "card",
        help="writes a bundle's model card anew from its manifest",
        description="The card says what the bundle was made from, what it is for, how good it is and where it fails. "
        "The digest changes: sign the bundle afterwards. Example: python -m training card --models build/models",
    )
    carding.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    carding.set_defaults(run=_card)

    telling = commands.add_parser(
        "history",
        help="an edge's history.db as Parquet",
        description="One row a sample, columns as in history.csv. Example: python -m training history "
        "/var/lib/motortwin/history.db --out monday.parquet --motor press-7",
    )
    telling.add_argument("source", type=Path, metavar="HISTORY.DB", help="from an edge's data folder")
    telling.add_argument("--out", type=Path, required=True, metavar="FILE", help="the Parquet file")
    telling.add_argument("--motor", metavar="ID", help="of this motor only")
    telling.set_defaults(run=_history)

    # Shown in the help only; main() hands their arguments on as they are.
    commands.add_parser("evaluate", help="every figure of the models, honestly -> build/evaluation", add_help=False)
    commands.add_parser("gan", help="rare failures, made and judged: fit, sample, report -> build/gan", add_help=False)
    commands.add_parser("gate", help="candidate against champion: refused where it got worse", add_help=False)
    commands.add_parser("fetch", help="the public data sets from their publishers", add_help=False)
    return parser


def _unsaid(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What a recording may not say of itself."""
    parser.add_argument("--speed-rpm", type=number.positive, help="shaft speed, where the file does not say it")
    parser.add_argument("--fs-hz", type=number.positive, help="sampling rate, where the file does not say it")
    parser.add_argument(
        "--unit", choices=UNITS, help="of the file's numbers; else g in .mat, mg in .npz, m/s2 in tables"
    )


def _fields(parser: argparse.ArgumentParser, *names: str) -> None:
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


def _tell(line: str) -> None:
    print(line, flush=True)


def _train(options: argparse.Namespace) -> int:
    if options.data:
        return _commission(options)
    train.train(_args(options), _tell)
    return 0


def _history(options: argparse.Namespace) -> int:
    rows = import_module("training.history").export(options.source, options.out, options.motor)
    _tell(f"{options.out}: {rows} samples")
    return 0


def _step(options: argparse.Namespace) -> int:
    options.step.run(_args(options), options.work, train.timed(_tell))
    return 0


def _commission(options: argparse.Namespace) -> int:
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
        _tell,
    )
    return 0


def _sketch(options: argparse.Namespace) -> int:
    digest = sketch.put(options.models)
    print(f"bundle {digest[:12]} in {options.models} holds a sketch now", flush=True)
    return 0


def _card(options: argparse.Namespace) -> int:
    digest = written.carded(options.models)
    print(f"bundle {digest[:12]} in {options.models}: {options.models / card.FILE} says what it is", flush=True)
    return 0


def _score(options: argparse.Namespace) -> int:
    geometry = bearing(options.bearing) if options.bearing else None
    models = bundle.load(options.models)
    failed = 0
    for source in options.files:
        try:
            verdict = score.score(
                source,
                models,
                bearing=geometry,
                channel=options.channel,
                speed_rpm=options.speed_rpm,
                fs_hz=options.fs_hz,
                unit=options.unit,
            )
        except RecordingError as error:
            print(f"training: {error}", file=sys.stderr)
            failed += 1
            continue
        print(verdict.to_json() if options.json else verdict.to_text(), flush=True)
        for doubt in verdict.doubts:
            print(f"training: {source}: {doubt}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
