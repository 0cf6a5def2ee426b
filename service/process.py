"""How the process uses the machine that it shares. Called by ``service.__main__`` alone, before and after the start.

OpenBLAS would start a thread for every core, which spin while they wait; the edge's products are short. A full
collection of garbage walks everything that was ever imported: tens of milliseconds in which no reading is answered.
What stands once the service runs never becomes garbage, so it is set apart; what readings leave is freed by counting.

One thread runs Python at a time, and one that wants its turn waits ``sys.getswitchinterval()`` for it, 5 ms, every time
it comes back from a graph or a wait. A thread that has much to do and is in no hurry gives way sooner (``patient``).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_YOUNG, _MIDDLE, _OLD = 10_000, 20, 20
_GIVES_WAY_S = 1e-4


def prepare() -> None:
    """Before numpy is loaded."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """What is done within lets readings pass: threads change over in a fraction of a reading's time. For one thread."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_GIVES_WAY_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def settle() -> None:
    """Everything that lasts has been made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
