"""``motor doctor``: what is wrong, and what to do. It changes nothing."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.console import machine, options, patient
from service.console.exits import AMISS, DONE
from service.console.terminal import Terminal, clean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from service.console.finding import Finding


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        parents=[parent],
        help="looks at edge, broker, clock, disk, bundle, permissions, token; says what to do",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the edge's settings file (or MOTORTWIN_CONFIG)")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    found = [*patient.examined(edge), *machine.examined(chosen.config, os.environ, edge)]
    if chosen.json:
        terminal.document([asdict(finding) for finding in found])
    else:
        _say(terminal, found)
    return AMISS if any(finding.verdict == "fail" for finding in found) else DONE


def _say(terminal: Terminal, found: Sequence[Finding]) -> None:
    width = max(len(finding.about) for finding in found)
    for finding in found:
        verdict = terminal.painted(f"{finding.verdict:<4}", finding.verdict)
        terminal.say(f"{verdict}  {finding.about:<{width}}  {clean(finding.text)}")
        if finding.remedy:
            terminal.say(f"{'':<6}{'':<{width}}  -> {clean(finding.remedy)}")
    counts = {word: sum(finding.verdict == word for finding in found) for word in ("fail", "warn")}
    terminal.say(f"{counts['fail']} failed, {counts['warn']} to look at")
