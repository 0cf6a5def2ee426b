"""``motor replay``: play a recording into the broker. The twin does it, where it is installed."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from service.console.exits import USAGE, Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_TWIN = "simulator"


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    del parent  # its options are the twin's, and ``run`` gets them unparsed
    commands.add_parser("replay", help="play a recording into the broker, with the twin", add_help=False)


def run(arguments: Sequence[str]) -> int:
    """Everything after ``motor replay`` is for the twin."""
    if importlib.util.find_spec(_TWIN) is None:
        call = shlex.join(["docker", "compose", "run", "--rm", "simulator", "replay", *arguments])
        raise Exit(USAGE, f"the twin is not installed here; where it is: {call} (mount the recording into it)")
    return subprocess.run([sys.executable, "-m", _TWIN, "replay", *arguments], check=False).returncode  # noqa: S603 - the user's own call
