"""``python -m service.console`` or ``motor``: the edge at the terminal.

Exit codes: 0 done, 1 done and something is amiss, 2 usage, 3 the edge does not answer, 4 the edge refuses.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from service.console import ack, doctor, history, models, options, replay, report, status, watch
from service.console.exits import USAGE, Exit
from service.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (status, watch, history, ack, models, report, replay, doctor)
_INTERRUPTED = 130
EPILOG = """\
examples:
  motor status                               the fleet, most urgent first
  motor watch                                as it changes
  motor history press-4 --from 7d --csv      every kept sample of a week
  motor ack press-4 -m "bearing ordered"     acknowledge its open alerts
  motor report press-4 --out press-4.html    a page for the shift book; print it
  motor models swap 2026-05                  try a bundle and bring it into use
  motor doctor                               what is wrong, and what to do

exit codes: 0 done, 1 done and something is amiss, 2 usage, 3 the edge does not answer, 4 the edge refuses
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["replay"]:
            return replay.run(words[1:])
        parser = _parser()
        if not words:
            parser.print_help(sys.stderr)
            return USAGE
        chosen = parser.parse_args(words)
        code: int = chosen.command(chosen)
        sys.stdout.flush()
    except Exit as end:
        print(f"motor: {end}", file=sys.stderr)
        return end.code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # `motor history ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="motor",
        description="The motortwin edge at the terminal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"motor {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.declare(commands, options.shared())
    return parser


if __name__ == "__main__":
    sys.exit(main())
