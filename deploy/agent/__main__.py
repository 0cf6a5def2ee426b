"""``python -m deploy.agent``: until told to stop. Exit status 0; 2 for a wrong setting; 3 where another works.

``--state`` prints what the journal says of the last release instead: 0 where it is well, 1 where there is no journal to
read, 4 failed, 5 rolled back. ``--healthcheck``: 0 where an agent works with this journal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.agent import journal as journals
from deploy.agent import settings as setting
from deploy.agent.agent import Agent
from deploy.agent.edge import Edge
from deploy.agent.journal import InUse, Journal, Lock
from deploy.agent.models import Models
from deploy.agent.registry import Registry
from deploy.agent.release import keys_of
from deploy.agent.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.agent.settings import Settings

BUSY_S = 1.0
"""Between looks at the edge while a release is on its way."""
EXITS = {"failed": 4, "rolled_back": 5}


def main(arguments: Sequence[str]) -> int:
    """Runs until SIGTERM, or answers a question."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        settings = setting.load(os.environ)
        if list(arguments) == ["--state"]:
            return _state(Path(settings.data))
        if list(arguments) == ["--healthcheck"]:
            return _healthcheck(Path(settings.data))
        if arguments:
            print(__doc__, file=sys.stderr)
            return 2
        return _run(settings)
    except InUse as error:
        print(f"agent: {error}", file=sys.stderr)
        return 3
    except (ValueError, OSError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    keys = keys_of(settings.key_files)
    file = settings.registry_password_file
    password = Path(file).read_text(encoding="utf-8").strip() if file else ""
    # another agent with a journal of its own would hand the same edge other bundles
    device = Lock(Path(settings.edge_data) / "bundles" / "agent")
    journal = Journal(Path(settings.data))
    report = Report(settings)
    stop = threading.Event()

    def leave(*_: object) -> None:
        stop.set()
        report.hint.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    registry = Registry(settings.registry, user=settings.registry_user, password=password)
    edge = Edge(settings.edge_url, Path(settings.edge_data))
    lanes = {"models": Models(registry, edge, journal, settings.wait_s)}
    agent = Agent(registry, journal, keys, settings.wave, lanes, settings.poll_s)
    report.say(journal.record)
    journal.told = report.say
    while not stop.is_set():
        report.hint.clear()
        agent.step()
        report.trouble(agent.trouble)
        report.hint.wait(min(BUSY_S, settings.poll_s) if agent.busy else settings.poll_s)
    report.close()
    journal.close()
    device.close()
    return 0


def _state(folder: Path) -> int:
    try:
        record = journals.read(folder)
    except (OSError, ValueError) as error:
        print(f"agent: no journal to read: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    print(f"{record.state}: {record.reason}" if record.reason else record.state)
    return EXITS.get(record.state, 0)


def _healthcheck(folder: Path) -> int:
    try:
        Lock(folder).close()
    except InUse:
        return 0
    print("agent: none works here", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
