"""``python -m training COMMAND``: makes the models, and judges recordings with them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from service import bundle
from service.errors import BundleError
from simulator.catalogue import bearing
from simulator.recording import RecordingError
from training import score
from training.train import Args, train

MODELS = Path("service/models")


def main(argv: list[str]) -> int:
    """Runs one command; 0 when it did what it says, 1 with one line that explains when not."""
    # These bring their own arguments, and drawing and fitting libraries that the others need not wait for.
    if argv[:1] == ["evaluate"]:
        return int(import_module("training.evaluate.__main__").main(argv[1:]))
    if argv[:1] == ["gan"]:
        return int(import_module("training.gan.command").main(argv[1:]))
    if argv[:1] == ["gate"]:
        return int(import_module("training.gate.command").main(argv[1:]))
    try:
        if argv[:1] == ["fetch"]:
            return int(import_module("training.fetch").main(argv[1:], print))
        options = _parser().parse_args(argv or ["train"])
        return int(options.run(options))
    except (BundleError, RecordingError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, epilog="Without a command: train, with its defaults."
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    making = commands.add_parser(
        "train",
        help="twin -> models -> proven bundle",
        description="Makes windows with the motor twin, fits and calibrates the models on them, reports on motors that "
        "nothing was fitted to, and replaces the bundle once the edge's own loader has proven the new one.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for field in fields(Args):
        making.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=field.metadata["help"],
        )
    making.set_defaults(run=_train)

    judging = commands.add_parser(
        "score",
        help="a recording through the shipped bundle",
        description="Runs recordings (.mat of Case Western or MFPT, .npz of FEMTO, CSV; archive.tar.xz:member too) "
        "through the bundle and the edge's own core, one line each.",
    )
    judging.add_argument("files", nargs="+", metavar="FILE")
    judging.add_argument("--bearing", help="name from the catalogue, like 6205; without it no bearing fault is named")
    judging.add_argument("--channel", help="publisher's channel, like DE or FE; default the drive end")
    judging.add_argument("--speed-rpm", type=float, help="where the file does not say it")
    judging.add_argument("--fs-hz", type=float, help="where the file does not say it")
    judging.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    judging.add_argument("--json", action="store_true", help="one JSON object a line")
    judging.set_defaults(run=_score)

    # Shown in the help only; main() hands their arguments on as they are.
    commands.add_parser("evaluate", help="every figure of the models, honestly -> build/evaluation", add_help=False)
    commands.add_parser("gan", help="rare failures, made and judged: fit, sample, report -> build/gan", add_help=False)
    commands.add_parser("gate", help="candidate against champion: refused where it got worse", add_help=False)
    commands.add_parser("fetch", help="the public data sets from their publishers", add_help=False)
    return parser


def _train(options: argparse.Namespace) -> int:
    args = Args(**{field.name: getattr(options, field.name) for field in fields(Args)})
    train(args, lambda line: print(line, flush=True))
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
            )
        except RecordingError as error:
            print(f"training: {error}", file=sys.stderr)
            failed += 1
            continue
        print(verdict.to_json() if options.json else verdict.to_text(), flush=True)
        if geometry is not None and not verdict.speed_known:
            warning = "no shaft speed is known, so no bearing fault is named; give --speed-rpm"
            print(f"training: {source}: {warning}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
