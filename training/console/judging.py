"""``score``: recordings through the shipped bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from service import bundle
from simulator.catalogue import bearing
from simulator.recording import RecordingError
from training import score as scoring
from training.console.arguments import MODELS, PROGRAM, Parser, unsaid


def score(argv: list[str]) -> int:
    """Judges each file; 2 where one of them could not be."""
    parser = Parser(
        prog=f"{PROGRAM} score",
        description="Runs recordings (.mat of Case Western or MFPT, .npz of FEMTO, .csv, .parquet; "
        "archive.tar.xz:member too) through the bundle and the edge's own core, one line each. A file that cannot be "
        "judged is one line on stderr and status 2; the others are judged all the same.",
        example="score monday.csv --bearing 6309 --speed-rpm 1480 --fs-hz 12800 --json",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--bearing", help="name from the catalogue, like 6205; without it no bearing fault is named")
    parser.add_argument("--channel", help="publisher's channel, like DE or FE; default the drive end")
    unsaid(parser)
    parser.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(argv)
    geometry = bearing(options.bearing) if options.bearing else None
    models = bundle.load(options.models)
    failed = False
    for source in options.files:
        try:
            verdict = scoring.score(
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
            failed = True
            continue
        print(verdict.to_json() if options.json else verdict.to_text(), flush=True)
        for doubt in verdict.doubts:
            print(f"training: {source}: {doubt}", file=sys.stderr)
    return 2 if failed else 0
