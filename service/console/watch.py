"""``motor watch``: the fleet as it changes. In a terminal a table that stays, else one line for every alert."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from service.console import options, status
from service.console.exits import AWAY, DONE, Exit
from service.console.terminal import Terminal, clean, local

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from service.console.edge import Edge

_REDRAW_S = 0.5
_AGAIN_S = 2.0
_ALERTS_SHOWN = 5


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", parents=[parent], help="the fleet as it changes, until Ctrl-C")
    parser.add_argument("--seconds", type=float, help="end by itself")
    parser.set_defaults(command=_run)


class _Picture:
    """What the stream has told so far."""

    def __init__(self) -> None:
        self.motors: dict[str, dict[str, Any]] = {}
        self.alerts: list[str] = []

    def take(self, news: dict[str, Any]) -> None:
        if news["full"]:
            self.motors.clear()
        self.motors |= {motor["motor"]: motor for motor in news["motors"]}
        for gone in news["gone"]:
            self.motors.pop(gone, None)
        self.alerts = [*self.alerts, *map(_alert, news["alerts"])][-_ALERTS_SHOWN:]


def _run(chosen: argparse.Namespace) -> int:
    edge, terminal, picture = options.edge(chosen), Terminal(), _Picture()
    until_s = None if chosen.seconds is None else time.monotonic() + chosen.seconds
    drawn_s = 0.0
    for news in _news(edge, terminal, until_s):
        if chosen.json:
            if news is not None:
                terminal.document(news)
            continue
        if news is not None:
            picture.take(news)
        if terminal.live:
            now_s = time.monotonic()
            if now_s - drawn_s >= _REDRAW_S:
                drawn_s = now_s
                terminal.redraw([f"{edge.url}  {local(time.time())}  Ctrl-C ends", *_lines(terminal, picture)])
        elif news is not None:
            for alert in news["alerts"]:
                terminal.say(_alert(alert))
    return DONE


def _lines(terminal: Terminal, picture: _Picture) -> list[str]:
    alerts = ["", *map(terminal.cut, picture.alerts)] if picture.alerts else []
    return [*status.fleet(terminal, list(picture.motors.values())), *alerts]


def _news(edge: Edge, terminal: Terminal, until_s: float | None) -> Iterator[dict[str, Any] | None]:
    """Each change; None when nothing did and time has passed. A stream that ends is asked for anew."""
    stood = False
    while until_s is None or time.monotonic() < until_s:
        try:
            left_s = 40.0 if until_s is None else min(40.0, max(until_s - time.monotonic(), 0.1))
            for line in edge.lines("v1", "stream", timeout_s=left_s):
                if line.startswith(b"data: "):
                    stood = True
                    yield json.loads(line[6:])
                elif not line.strip():
                    yield None
                if until_s is not None and time.monotonic() >= until_s:
                    return
        except Exit as away:
            if until_s is not None and time.monotonic() >= until_s:
                return
            if not stood or away.code != AWAY:
                raise
            if terminal.live:
                terminal.redraw([f"{away}", "trying again, Ctrl-C ends"])
        time.sleep(_AGAIN_S if until_s is None else min(_AGAIN_S, max(until_s - time.monotonic(), 0.0)))


def _alert(alert: dict[str, Any]) -> str:
    condition = alert["condition"].replace("_", " ")
    return clean(f"{local(alert['ts_s'])}  {alert['state']:<6}  {alert['motor']}  {condition}: {alert['reason']}")
