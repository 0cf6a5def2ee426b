"""``python -m service --supervise``: a small parent that starts the service again when it dies. Standard library only.

For machines where nobody else does: a container's restart policy or systemd make it unnecessary. It starts the service
again when that gave itself up, was killed, crashed, or misses its heartbeat; it passes SIGTERM and SIGINT on, and it
ends with the service where starting again would not help (settings, bundle, data folder) or was not wanted.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from service.watchdog import HEARTBEAT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

FINAL = (0, 2, 3, 4)
"""Exit codes after which the service is not started again: done, usage or settings, bundle, data folder."""

SILENCE_S = 8.0
START_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_STEADY_S = 30.0
_KILL_S = 15.0


class Supervisor:
    """Runs one child at a time.

    Args:
        command: what to run.
        silence_s: a child that has beaten once and then not for this long is killed.
    """

    def __init__(self, command: Sequence[str], silence_s: float = SILENCE_S) -> None:
        self._command = command
        self._silence_s = silence_s
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_to_end_s: float | None = None

    def run(self) -> int:
        """Supervise until the child ends for good; its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        pause_s = _FIRST_PAUSE_S
        while True:
            started_s = time.monotonic()
            code = self._once()
            if code in FINAL or self._asked_to_end_s is not None:
                return code if code >= 0 else 128 - code
            if time.monotonic() - started_s > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            _say(f"the service ended with {code}; starting it again in {pause_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _once(self) -> int:
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, pass_fds=(theirs,), env=os.environ | {HEARTBEAT_VARIABLE: str(theirs)}
            )
            os.close(theirs)
            return self._watched(self._child, ours)
        finally:
            os.close(ours)

    def _watched(self, child: subprocess.Popen[bytes], beats: int) -> int:
        limit_s, heard_s = START_S, time.monotonic()
        while True:
            ready, _, _ = select.select([beats], [], [], 0.5)
            now_s = time.monotonic()
            if ready:
                if not os.read(beats, 4096):  # the child closed it: it is ending
                    return self._ended(child)
                limit_s, heard_s = self._silence_s, now_s
            elif child.poll() is not None:
                return child.returncode
            elif now_s - heard_s > limit_s:
                _say(f"the service has not been heard for {limit_s:g} s; it is killed")
                child.kill()
            if self._asked_to_end_s is not None and now_s - self._asked_to_end_s > _KILL_S:
                child.kill()

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        try:
            return child.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _end(self, number: int, _frame: object) -> None:
        self._asked_to_end_s = time.monotonic()
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)


def supervise(arguments: Sequence[str]) -> int:
    """Run ``python -m service`` with these arguments and stand by it; the exit code."""
    return Supervisor([sys.executable, "-m", "service", *arguments]).run()


def _say(text: str) -> None:
    print(f"motortwin: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it has no log of its own
