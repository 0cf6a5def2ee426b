"""``python -m training gate CANDIDATE CHAMPION``: exit status 0 passed, 1 refused, 2 could not be judged."""

from __future__ import annotations

import sys
from dataclasses import MISSING, fields
from pathlib import Path

from service.errors import BundleError
from training.console.arguments import PROGRAM, Parser
from training.corpora.source import CorpusError
from training.gate import run

PASSED, REFUSED, NOT_JUDGED = 0, 1, 2


def main(argv: list[str]) -> int:
    """Runs the gate; one line of explanation where it could not judge."""
    parser = Parser(
        prog=f"{PROGRAM} gate",
        description="Compares a candidate bundle with the champion on a frozen replay set and refuses it where it got "
        "worse. Exit status: 0 passed, 1 refused, 2 could not be judged.",
        example="gate build/models service/models --retrain",
    )
    for field in fields(run.Args):
        option = f"--{field.name}"
        text = field.metadata["help"]
        if field.default is MISSING:
            parser.add_argument(field.name, type=Path, help=text)
        elif field.type == "bool":
            parser.add_argument(option, action="store_true", help=text)
        else:
            parser.add_argument(
                option, type=type(field.default), default=field.default, help=f"{text} (default: {field.default})"
            )
    options = vars(parser.parse_args(argv))
    del options["config"]
    try:
        report = run.gate(run.Args(**options), _tell)
    except (BundleError, CorpusError, ValueError, OSError) as error:
        sys.stderr.write(f"gate: {error}\n")
        return NOT_JUDGED
    return PASSED if report.passed else REFUSED


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
