"""``python -m deploy.agent``: until told to stop. Exit status 0; 2 for a wrong setting; 3 where another works.

``--state`` prints what the journal says of the last release instead: 0 where it is well, 1 where there is no journal to
read, 4 failed, 5 rolled back. ``--healthcheck``: 0 where an agent works with this journal. ``--carry FILE.tar`` writes
the wave's release and all it names into a file, for a plant without internet, whose agent has that file as its
registry.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.agent import carry
from deploy.agent import journal as journals
from deploy.agent import settings as setting
from deploy.agent.agent import Agent
from deploy.agent.content import PullError
from deploy.agent.edge import Edge
from deploy.agent.engine import Engine
from deploy.agent.images import Images
from deploy.agent.journal import InUse, Journal, Lock
from deploy.agent.layout import Layout
from deploy.agent.models import Models
from deploy.agent.registry import Registry
from deploy.agent.release import Untrusted, keys_of
from deploy.agent.report import Report
from deploy.agent.soak import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.agent.agent import Lane
    from deploy.agent.content import Source
    from deploy.agent.settings import Settings

BUSY_S = 1.0
"""Between looks at the edge while a release is on its way."""
EXITS = {"failed": 4, "rolled_back": 5}


def main(arguments: Sequence[str]) -> int:
    """Runs until SIGTERM, or answers a question."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        settings = setting.load(os.environ)
        return _asked(settings, list(arguments)) if arguments else _run(settings)
    except InUse as error:
        print(f"agent: {error}", file=sys.stderr)
        return 3
    except (ValueError, OSError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2


def _asked(settings: Settings, arguments: list[str]) -> int:
    match arguments:
        case ["--state"]:
            return _state(Path(settings.data))
        case ["--healthcheck"]:
            return _healthcheck(Path(settings.data))
        case ["--carry", file]:
            return _carry(settings, Path(file))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _run(settings: Settings) -> int:
    keys = keys_of(settings.key_files)
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
    source = _source(settings)
    edge = Edge(settings.edge_url, Path(settings.edge_data))
    lanes: dict[str, Lane] = {"models": Models(source, edge, journal, settings.wait_s)}
    if settings.engine:
        rules = Rules(
            min_readings=settings.min_readings,
            soak_s=settings.soak_s,
            soak_max_s=settings.soak_max_s,
            ready_s=settings.ready_s,
        )
        engine = Engine(settings.engine, settings.container)
        lanes["images"] = Images(source, engine, edge, journal, Path(settings.data) / "spool", rules)
    agent = Agent(source, journal, keys, settings.wave, lanes, settings.poll_s)
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


def _source(settings: Settings) -> Source:
    """A registry, or a file on a stick."""
    if settings.registry.startswith("/"):
        return Layout(Path(settings.registry))
    file = settings.registry_password_file
    password = Path(file).read_text(encoding="utf-8").strip() if file else ""
    return Registry(settings.registry, user=settings.registry_user, password=password)


def _carry(settings: Settings, file: Path) -> int:
    try:
        sequence, size = carry.carried(_source(settings), keys_of(settings.key_files), settings.wave, file)
    except (PullError, Untrusted) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 1
    print(f"{file}: release {sequence} for wave {settings.wave}, {size / 1e6:.1f} MB")
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
