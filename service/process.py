"""How the process uses the machine that it shares. Called by ``service.__main__`` alone, before and after the start.

OpenBLAS would start a thread for every core, which spin while they wait; the edge's products are short. A full
collection of garbage walks everything that was ever imported: tens of milliseconds in which no reading is answered.
What stands once the service runs never becomes garbage, so it is set apart; what readings leave is freed by counting.
"""

from __future__ import annotations

import gc
import os

_YOUNG, _MIDDLE, _OLD = 10_000, 20, 20


def prepare() -> None:
    """Before numpy is loaded."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def settle() -> None:
    """Everything that lasts has been made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
