"""``motor history``: a motor's past as a table, or every kept sample as CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.console import options
from service.console.exits import DONE, USAGE, Exit
from service.console.terminal import Terminal, local, number

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_ROWS = 24
_SHOWN = {
    "health": (".2f", "HEALTH"),
    "rul_h": (".0f", "LIFE LEFT h"),
    "severity": (".2f", "SEVERITY"),
    "anomaly": (".2f", "ANOMALY"),
    "velocity_rms_mm_s": (".2f", "VELOCITY mm/s"),
    "housing_c": (".1f", "HOUSING C"),
    "winding_c": (".1f", "WINDING C"),
}


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("history", parents=[parent], help="a motor's past; --csv for every kept sample")
    parser.add_argument("motor", help="its id")
    parser.add_argument("--from", dest="start", metavar="TIME", help="7d, 90min (ago), 2026-05-01, Unix seconds")
    parser.add_argument("--to", dest="end", metavar="TIME", help="as --from; default now")
    parser.add_argument("--csv", action="store_true", help="every kept sample, to standard output")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --csv: into a file")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    edge = options.edge(chosen)
    span: dict[str, Any] = {"from": options.moment(chosen.start), "to": options.moment(chosen.end)}
    if chosen.csv:
        _write(edge.lines("v1", "motors", chosen.motor, "history.csv", **span), chosen.out)
        return DONE
    if chosen.out is not None:
        raise Exit(USAGE, "--out goes with --csv")
    terminal = Terminal()
    past = edge.get("v1", "motors", chosen.motor, "history", **span)
    if chosen.json:
        terminal.document(past)
        return DONE
    columns = past["columns"]
    times = columns["ts_s"]
    if not times:
        terminal.say(f"nothing is kept of {chosen.motor} in this span")
        return DONE
    shown = {name: how for name, how in _SHOWN.items() if any(value is not None for value in columns.get(name, ()))}
    places = sorted({round(part * (len(times) - 1) / max(_ROWS - 1, 1)) for part in range(_ROWS)})
    rows = [
        (local(times[at]), *(number(columns[name][at], form) for name, (form, _) in shown.items())) for at in places
    ]
    for line in terminal.table(("TIME", *(head for _, head in shown.values())), rows):
        terminal.say(line)
    return DONE


def _write(lines: Iterator[bytes], out: Path | None) -> None:
    if out is None:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    first = next(lines, b"")  # what the edge refuses leaves no file behind
    try:
        with out.open("wb") as file:
            file.write(first)
            file.writelines(lines)
    except OSError as error:
        raise Exit(USAGE, f"--out {out} cannot be written: {error.strerror}") from error
