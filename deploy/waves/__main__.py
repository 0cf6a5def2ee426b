"""``python -m deploy.waves PLAN.json SEQUENCE``: a release over all waves of a plan, stopping by itself.

Exit status 0: every wave is through. 4: stopped, and the wave's tag put back. 1: registry or disk failed; the same call
goes on where this one ended. 2: wrong call or plan. REGISTRY names the registry, like ghcr.io/owner; REGISTRY_USER with
REGISTRY_TOKEN where it wants them. What was there before lies in build/waves (WAVES_DATA).
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.agent.content import PullError
from deploy.waves import plan as plans
from deploy.waves.fleet import Fleet
from deploy.waves.rollout import Rollout
from deploy.waves.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Sequence

STOPPED = 4


def main(arguments: Sequence[str]) -> int:
    """Runs one release."""
    registry = os.environ.get("REGISTRY", "")
    match list(arguments):
        case [file, number] if number.isdecimal() and registry:
            pass
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    try:
        plan = plans.read(Path(file))
        fleet = Fleet(plan.brokers)
    except (OSError, ValueError) as error:
        print(f"waves: {error}", file=sys.stderr)
        return 2
    tags = Tags(registry, user=os.environ.get("REGISTRY_USER", ""), password=os.environ.get("REGISTRY_TOKEN", ""))
    folder = Path(os.environ.get("WAVES_DATA") or "build/waves")
    try:
        through = Rollout(plan, tags, fleet, folder, _say).run(int(number))
    except (PullError, OSError, ValueError) as error:
        print(f"waves: {error}", file=sys.stderr)
        return 1
    finally:
        fleet.close()
    return 0 if through else STOPPED


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
