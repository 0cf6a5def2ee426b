"""``motor report``: a page for the shift book."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.console import options
from service.console.exits import DONE, USAGE, Exit
from service.console.terminal import Terminal

if TYPE_CHECKING:
    import argparse


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("report", parents=[parent], help="a page for the shift book, of the fleet or a motor")
    parser.add_argument("motor", nargs="?", help="one motor's id; default: the fleet")
    parser.add_argument("--hours", type=float, help="how far back; default: the fleet's last 24, all of a motor")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: motortwin-report.html, or MOTOR-report.html")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    steps = ("v1", "report") if chosen.motor is None else ("v1", "motors", chosen.motor, "report")
    text = b"".join(edge.lines(*steps, hours=chosen.hours))
    out = chosen.out or Path(f"{chosen.motor or 'motortwin'}-report.html")
    try:
        out.write_bytes(text)
    except OSError as error:
        raise Exit(USAGE, f"{out} cannot be written: {error.strerror}; give --out FILE") from error
    if chosen.json:
        terminal.document({"file": str(out), "bytes": len(text)})
    else:
        terminal.say(f"{out}: open it in a browser; its print dialog makes the PDF")
    return DONE
