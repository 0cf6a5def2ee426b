"""``python -m deploy.agent``: until told to stop. Exit status 0; 2 for a wrong setting; 3 where another works."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from deploy.agent import settings as setting
from deploy.agent.agent import Agent
from deploy.agent.edge import Edge
from deploy.agent.journal import InUse, Journal
from deploy.agent.registry import Registry
from deploy.agent.release import keys_of
from deploy.agent.report import Report
from service.signature import Trust

BUSY_S = 1.0
"""Between looks at the edge while a bundle is on its way."""


def main() -> int:
    """Runs until SIGTERM."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        settings = setting.load(os.environ)
        keys = keys_of(settings.key_files)
        file = settings.registry_password_file
        password = Path(file).read_text(encoding="utf-8").strip() if file else ""
        journal = Journal(Path(settings.data))
        report = Report(settings)
    except InUse as error:
        print(f"agent: {error}", file=sys.stderr)
        return 3
    except (ValueError, OSError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()

    def leave(*_: object) -> None:
        stop.set()
        report.hint.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    agent = Agent(
        registry=Registry(settings.registry, user=settings.registry_user, password=password),
        edge=Edge(settings.edge_url, Path(settings.edge_data), Trust(keys.values())),
        journal=journal,
        keys=keys,
        wave=settings.wave,
        wait_s=settings.wait_s,
        told=report.say,
    )
    report.say(journal.record)
    while not stop.is_set():
        report.hint.clear()
        agent.step()
        report.trouble(agent.trouble)
        report.hint.wait(min(BUSY_S, settings.poll_s) if agent.busy else settings.poll_s)
    report.close()
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
