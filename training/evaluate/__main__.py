"""``python -m training.evaluate``: the same as ``python -m training evaluate``."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from service.errors import BundleError
from training.console.arguments import PROGRAM, Parser
from training.corpora.source import CorpusError
from training.evaluate import run

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the evaluation to a parser."""
    for field in fields(run.Args):
        option = f"--{field.name}"
        text = f"{field.metadata['help']} (default: {field.default or 'all'})"
        if field.type == "bool":
            parser.add_argument(option, action="store_true", help=field.metadata["help"])
        else:
            parser.add_argument(option, type=type(field.default), default=field.default, help=text)


def main(argv: list[str]) -> int:
    """Runs the evaluation; 0 when it ran, whatever it found; 2 with one line of explanation when not."""
    parser = Parser(
        prog=f"{PROGRAM} evaluate", description=run.__doc__ or "", example="evaluate --only cwru,femto --seeds 5"
    )
    arguments(parser)
    options = vars(parser.parse_args(argv))
    del options["config"]
    try:
        run.evaluate(run.Args(**options), lambda line: print(line, flush=True))
    except (BundleError, CorpusError, ValueError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
