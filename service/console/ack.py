"""``motor ack``: say something of an alert."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

from service.console import options
from service.console.exits import DONE, USAGE, Exit
from service.console.terminal import Terminal, clean

if TYPE_CHECKING:
    import argparse

_KINDS = ("acknowledged", "repaired", "false_alarm", "comment")


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("ack", parents=[parent], help="acknowledge an alert, with a comment; needs the token")
    parser.add_argument("alert", help="an alert's id, or a motor's: all its open alerts")
    parser.add_argument("-m", "--comment", default="", help="what there is to say")
    parser.add_argument("--as", dest="kind", choices=_KINDS, default="acknowledged")
    parser.add_argument("--by", help="who says it; default: this machine's user")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    standing = edge.get("v1", "alerts")["alerts"]
    ids = [alert["id"] for alert in standing if alert["motor"] == chosen.alert] or [chosen.alert]
    if ids == [chosen.alert] and ":" not in chosen.alert:
        known = ", ".join(sorted({alert["motor"] for alert in standing})) or "none"
        raise Exit(USAGE, f"{chosen.alert} has no open alert; motors with open alerts: {known}")
    body = {"kind": chosen.kind, "by": chosen.by or _user(), "text": chosen.comment}
    saved = [edge.post("v1", "alerts", one, "notes", body=body) for one in ids]
    if chosen.json:
        terminal.document(saved)
        return DONE
    for note in saved:
        terminal.say(f"{clean(note['alert'])}: {note['kind'].replace('_', ' ')} by {clean(note['by'])}")
    return DONE


def _user() -> str:
    try:
        return getpass.getuser()[:80]
    except (KeyError, OSError):  # a container's user may have no name
        return "console"
