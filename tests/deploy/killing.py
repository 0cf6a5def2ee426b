"""kill -9 at a chosen moment: just before the N-th call that leaves something on the disk or in the engine."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING, Any

from deploy.agent.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def whole() -> dict[str, Callable[..., Any]]:
    """The calls as they are."""
    return {"fsync": os.fsync, "replace": os.replace, "rename": os.rename, "call": Engine._call}


def killed(work: Callable[[], None]) -> bool:
    """Runs in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing of the child may reach pytest
            traceback.print_exc()
            status = 1
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def dying(patched: Mapping[str, Callable[..., Any]], moment: int) -> None:
    """From now on the process dies just before the N-th of these calls."""
    count = 0

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return wrapped

    os.fsync, os.replace, os.rename = (before(patched[name]) for name in ("fsync", "replace", "rename"))
    Engine._call = before(patched["call"])  # type: ignore[method-assign]
