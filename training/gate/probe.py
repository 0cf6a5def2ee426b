"""What a bundle costs, in a process of its own without torch: ``python -m training.gate.probe WHAT FOLDER...``.

``memory FOLDER``: peak resident memory in MiB, with one bundle loaded and run at its largest batch.
``latency CHAMPION CANDIDATE``: seconds of each run for one motor of the graphs that the edge runs, both in turn.
It is the processor's time of all threads: on an idle core that is the latency, on a busy one it is the bundle's own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service import bundle
from service.errors import BundleError, InferenceError
from training.gate import graphs

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.bundle import Bundle

BLOCKS, REPEATS, WARMING = 24, 25, 10


def main(argv: list[str]) -> int:
    """One JSON object to stdout; 1 with one line to stderr when a bundle fails."""
    what, *folders = argv
    try:
        found = {"memory": _memory, "latency": _latency}[what]([Path(folder) for folder in folders])
    except (BundleError, InferenceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found))
    return 0


def _memory(folders: list[Path]) -> dict[str, Any]:
    models = bundle.load(folders[0], prove=False)
    call = _calls(models, graphs.vectors(folders[0], models.manifest), bundle.FULL_BATCH)
    for _ in range(5):
        call()
    # not getrusage: its peak begins with that of the process this one was forked from
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {"peak_mib": float(status.split("VmHWM:", 1)[1].split()[0]) / 1024}


def _latency(folders: list[Path]) -> dict[str, Any]:
    loaded = [bundle.load(folder, prove=False) for folder in folders]
    # both get the champion's vectors
    vectors = graphs.vectors(folders[0], loaded[0].manifest)
    calls = [_calls(models, vectors, 1) for models in loaded]
    for call in calls:
        for _ in range(WARMING):
            call()
    taken = np.empty((len(calls), BLOCKS * REPEATS))
    for repeat in range(BLOCKS * REPEATS):
        # who goes first alternates: the second may find a warmer cache
        for side in (0, 1) if repeat % 2 else (1, 0):
            started = time.process_time()
            calls[side]()
            taken[side, repeat] = time.process_time() - started
    return {"blocks": taken.reshape(len(calls), BLOCKS, REPEATS).tolist()}


def _calls(models: Bundle, vectors: graphs.Arrays, rows: int) -> Callable[[], None]:
    feeds = {
        name: {
            key: np.resize(value, (rows, *value.shape[1:]))
            for key, value in graphs.fed(models.manifest, name, vectors).items()
        }
        for name in graphs.running(models.manifest)
    }

    def call() -> None:
        for name, given in feeds.items():
            models.run(name, given)

    return call


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
