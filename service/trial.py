"""``python -m service.trial``: a process in which a bundle is tried that nobody should trust yet.

Its parent (``service.candidate``) sends the bundle's bytes; it loads them and proves the golden vectors, as they are,
one row alone, and as a full batch, and says how long a full batch takes. Then it runs graphs on request until its
parent leaves. Whatever a graph does here, crash, run for ever, take all memory, costs this process and no other.

Limits, set before ONNX Runtime is loaded: address space, CPU seconds of each request, no files written, no core dump,
few open files, no new privileges, the first to go when memory runs out, killed with the parent's thread; the parent has
given it a low priority. Each message is a length (8 bytes, little-endian) and that many bytes of CBOR.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import numpy as np

from service.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.bundle import Bundle

MAX_MESSAGE_BYTES = 128 * 2**20
_LENGTH = struct.Struct("<Q")
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_REPEATS = 3


def pack(arrays: Mapping[str, NDArray[np.floating]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Arrays as CBOR takes them."""
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def unpack(packed: Mapping[str, Any]) -> dict[str, NDArray[np.floating]]:
    """What ``pack`` packed. Raises ``TypeError`` or ``ValueError`` for anything else."""
    arrays = {}
    for name, (dtype, shape, raw) in packed.items():
        if dtype not in ("<f4", "<f8"):
            raise ValueError("not an array of floats")
        arrays[str(name)] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return arrays


def send(channel: socket.socket, content: Mapping[str, Any]) -> None:
    """One message out."""
    raw = cbor2.dumps(content)
    channel.sendall(_LENGTH.pack(len(raw)))
    channel.sendall(raw)


def receive(channel: socket.socket, deadline_s: float | None = None) -> dict[str, Any]:
    """One message in; raises ``EOFError``, ``TimeoutError`` past the deadline (monotonic), ``ValueError``."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, deadline_s))
    if length > MAX_MESSAGE_BYTES:
        raise ValueError("message too long")
    raw = _exactly(channel, length, deadline_s)
    try:
        content = cbor2.loads(raw)
    except cbor2.CBORError as error:
        raise ValueError("message is not CBOR") from error
    if not isinstance(content, dict):
        raise ValueError("message is no map")  # noqa: TRY004 - whatever came, it is a bad value
    return content


def _exactly(channel: socket.socket, count: int, deadline_s: float | None) -> bytearray:
    raw = bytearray(count)
    view, at = memoryview(raw), 0
    while at < count:
        if deadline_s is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                raise TimeoutError
            channel.settimeout(left_s)
        read = channel.recv_into(view[at:])
        if read == 0:
            raise EOFError
        at += read
    return raw


def main() -> int:
    """Serve one parent; the arguments are the channel's descriptor, memory in MiB, CPU seconds a request."""
    descriptor, memory_mib, cpu_s = (int(text) for text in sys.argv[1:4])
    _confine(memory_mib, cpu_s)
    with socket.socket(fileno=descriptor) as channel:
        try:
            bundle = _proven(channel)
            while True:
                request = receive(channel)
                _allow(cpu_s)
                send(channel, _answer(bundle, request))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return 0
        except (EdgeError, MemoryError) as error:
            send(channel, {"refused": str(error) or type(error).__name__})
            return 1


def _proven(channel: socket.socket) -> Bundle:
    from service import bundle  # noqa: PLC0415 - ONNX Runtime is loaded after the limits are set

    files = bundle.from_contents(receive(channel)["contents"])
    tried = bundle.Bundle(files)
    bundle.prove_golden(tried, files.golden)
    batch_s = min(bundle.prove_batch(tried, files.golden) for _ in range(_REPEATS))
    send(channel, {"proven": {"batch_s": batch_s, "peak_mib": _peak_kib() / 1024}})
    return tried


def _peak_kib() -> int:
    """Most memory this process held. ``ru_maxrss`` would not do: it inherits the parent's across fork and exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _answer(bundle: Bundle, request: Mapping[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        outputs = bundle.run(request["graph"], unpack(request["feeds"]))
    except EdgeError as error:
        return {"failed": str(error)}
    return {"outputs": pack(outputs), "seconds": time.perf_counter() - started}


def _confine(memory_mib: int, cpu_s: int) -> None:
    with contextlib.suppress(OSError):  # where there is no such file, nobody is killed by it either
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for what, limit in (
        (resource.RLIMIT_AS, memory_mib * 2**20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (limit, limit))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _allow(cpu_s)


def _allow(cpu_s: int) -> None:
    """So many CPU seconds more from now; past them the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_s + 1, hard))


if __name__ == "__main__":
    sys.exit(main())
