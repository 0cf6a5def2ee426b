"""Options that every command takes, and what they stand for."""

from __future__ import annotations

import argparse
import os
import re
import time
from datetime import datetime
from pathlib import Path

from service.console.edge import TOKEN_FILE_VARIABLE, URL_VARIABLE, Edge, address, token
from service.console.exits import USAGE, Exit

_AGO = re.compile(r"-?(\d+(?:\.\d+)?)(s|min|h|d|w)")
_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def shared() -> argparse.ArgumentParser:
    """The parent of every command's parser."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("edge")
    group.add_argument("--url", help=f"the edge's address (or {URL_VARIABLE}; default: the one on this machine)")
    group.add_argument("--token-file", type=Path, metavar="FILE", help=f"for changes (or {TOKEN_FILE_VARIABLE})")
    group.add_argument("--ca-file", metavar="FILE", help="https: certificate authority")
    group.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def edge(options: argparse.Namespace) -> Edge:
    """The edge that the options name."""
    return Edge(address(options.url, os.environ), token(options.token_file, os.environ), options.ca_file)


def moment(text: str | None) -> float | None:
    """Unix seconds from ``7d`` or ``90min`` (ago), a date or time in this machine's zone, or Unix seconds."""
    if text is None:
        return None
    found = _AGO.fullmatch(text)
    if found is not None:
        return time.time() - float(found[1]) * _UNITS_S[found[2]]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise Exit(
            USAGE, f"{text!r} is no time: write 7d, 90min, 2026-05-01, 2026-05-01T06:00 or Unix seconds"
        ) from error
