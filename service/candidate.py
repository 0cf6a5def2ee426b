"""A bundle in a process of its own, seen from the service: prove it, run it, be rid of it.

``Candidate`` satisfies ``service.monitor.Models``, so the core can step over live readings with it. Every call has a
deadline; a candidate that crashes, hangs or answers nonsense is ``Lost``, once and for all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from service import trial
from service.errors import BundleError, InferenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from service.bundle import Files
    from service.contract.manifest import GraphName

_ROOT = Path(__file__).resolve().parent.parent
_KILL_S = 5.0
_NICE = 10  # the running models come first; much lower, and on a busy machine its graphs would look slow


class Lost(BundleError):  # noqa: N818 - named after what happened
    """The candidate's process crashed, hung or broke its limits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate may take.

    Attributes:
        start_s: wall-clock seconds for starting, loading and proving.
        run_s: wall-clock seconds for one run of one graph.
        memory_mib: address space; Python, numpy and ONNX Runtime alone need about 300 MiB of it.
        cpu_s: CPU seconds for proving, and for each run after.
    """

    start_s: float = 60.0
    run_s: float = 5.0
    memory_mib: int = 768
    cpu_s: int = 30


class Proven(NamedTuple):
    """Seconds of a full batch through all three graphs, and the most memory the process held."""

    batch_s: float
    peak_mib: float


class Candidate:
    """Starts the process; raises ``Lost`` where that fails. Close it, or use it as a context."""

    def __init__(self, files: Files, limits: Limits) -> None:
        self.manifest = files.manifest
        self.digest = files.digest
        self.run_s = 0.0
        """Seconds that the candidate's graphs have run so far, by its own clock."""
        self._limits = limits
        self._deadline_s = time.monotonic() + limits.start_s
        self._channel, theirs = socket.socketpair()
        with theirs:
            arguments = (theirs.fileno(), limits.memory_mib, limits.cpu_s)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, numbers as arguments
                    [sys.executable, "-m", "service.trial", *map(str, arguments)],
                    cwd=_ROOT,
                    # no secrets: a candidate gets neither our settings nor our environment
                    env={
                        "PATH": os.defpath,
                        "OMP_NUM_THREADS": "1",
                        "OPENBLAS_NUM_THREADS": "1",
                        "PYTHONDONTWRITEBYTECODE": "1",
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
                # from its first moment: it is busy long before it could step back by itself
                os.setpriority(os.PRIO_PROCESS, self._process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICE)
            except OSError as error:
                self._channel.close()
                raise Lost(
                    f"the trial process cannot be started: {error.strerror}; free memory or processes"
                ) from error
        try:
            self._send({"contents": files.contents()}, self._deadline_s)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prove(self) -> Proven:
        """Wait for the verdict on the golden vectors; raises ``BundleError``."""
        answer = self._answer(self._deadline_s)
        if "refused" in answer:
            raise BundleError(str(answer["refused"]))
        try:
            told = answer["proven"]
            return Proven(float(told["batch_s"]), float(told["peak_mib"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._lost("answered nonsense") from error

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs of one graph; raises ``InferenceError`` where the graph fails, ``Lost`` where the process does."""
        deadline_s = time.monotonic() + self._limits.run_s
        self._send({"graph": graph, "feeds": trial.pack(feeds)}, deadline_s)
        answer = self._answer(deadline_s)
        if "failed" in answer:
            raise InferenceError(str(answer["failed"]))
        try:
            outputs = trial.unpack(answer["outputs"])
            self.run_s += float(answer["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._lost("answered nonsense") from error
        return outputs

    def close(self) -> None:
        """End the process, at once."""
        self._channel.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # unkillable in the kernel: init takes it over
            self._process.wait(_KILL_S)

    def _send(self, content: Mapping[str, Any], deadline_s: float) -> None:
        try:
            self._channel.settimeout(max(0.01, deadline_s - time.monotonic()))
            trial.send(self._channel, content)
        except TimeoutError as error:
            raise self._lost("did not answer in time") from error
        except OSError as error:
            raise self._lost("ended") from error

    def _answer(self, deadline_s: float) -> dict[str, Any]:
        try:
            return trial.receive(self._channel, deadline_s)
        except TimeoutError as error:
            raise self._lost("did not answer in time") from error
        except (OSError, EOFError) as error:
            raise self._lost("ended") from error
        except ValueError as error:
            raise self._lost("answered nonsense") from error

    def _lost(self, what: str) -> Lost:
        code: int | None = None
        if what == "ended":
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_KILL_S)
        if code is not None:
            what = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self.close()
        return Lost(f"the trial process {what}; do not run this bundle here")
