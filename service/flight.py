"""Which readings were being judged when the service died: a few bytes in a mapped file, for the next start to read.

A graph that crashes or hangs takes the process with it, and the broker delivers the same reading again: without a
memory of it the service would die for ever. So the identity of every reading is in the file while it is judged. What
is found there at the start is suspect and is judged alone; a reading that was alone when the service gave itself up
(it hung), or alone three times when it died of something else (a power cut is not the reading's fault), is condemned.
What one bundle died of is not held against the reading when another runs.

The file is mapped, so this costs no system call; it survives the process, and need not survive the machine. Its space
is allocated at once: a full disk is then no matter. Where it cannot be had, nothing is remembered.

Layout, little-endian: magic, 1 byte hung, 2 bytes count, 8 bytes of the bundle's digest; then ``count`` times 8 bytes
identity, 1 byte strikes.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from service.contract.messages import Reading

_log = logging.getLogger(__name__)

FILE = "flight"
STRIKES = 3
_MAGIC = b"MTF1"
_HEAD = struct.Struct("<4sBHQ")
_HUNG_AT = 4
_ENTRY = struct.Struct("<QB")
_MAX_ENTRIES = 4096
_SIZE = _HEAD.size + _MAX_ENTRIES * _ENTRY.size


class Suspected(Exception):  # noqa: N818 - named after what is known
    """A suspect is among these readings: judge them apart."""


class Condemned(Exception):  # noqa: N818 - named after what is known
    """The service does not survive this reading."""


class Flight:
    """The readings that are being judged now, and the suspects of the last run. One thread enters and leaves.

    Args:
        folder: where the file lies.
        digest: of the bundle that runs.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._memory = _mapped(folder / FILE)
        self._bundle = _named(digest)
        self._suspects = self._left()
        if self._suspects:
            _log.warning(
                "%d readings were being judged when the service died; they are judged apart", len(self._suspects)
            )

    def enter(self, readings: Sequence[Reading]) -> None:
        """These are being judged from now on; raises ``Suspected`` or ``Condemned``, and then they are not."""
        names = [_identity(reading) for reading in readings]
        strikes = 0
        if self._suspects:
            if len(names) > 1 and any(name in self._suspects for name in names):
                raise Suspected
            strikes = self._suspects.get(names[0], 0)
            if strikes >= STRIKES:
                raise Condemned("the service died or hung while it judged this reading alone")
        count = min(len(names), _MAX_ENTRIES)
        body = b"".join([_ENTRY.pack(name, strikes) for name in names[:count]])
        self._memory[_HEAD.size : _HEAD.size + len(body)] = body
        self._head(count)

    def leave(self, readings: Sequence[Reading]) -> None:
        """They have been judged, for better or worse."""
        self._head(0)
        if self._suspects:
            for reading in readings:
                self._suspects.pop(_identity(reading), None)

    def hung(self) -> None:
        """The service gives itself up because of what is in flight; callable from any thread."""
        self._memory[_HUNG_AT] = 1

    def take_up(self, digest: str) -> None:
        """Another bundle runs from now on, which has nothing against anyone."""
        self._bundle = _named(digest)
        self._suspects.clear()

    def _head(self, count: int) -> None:
        self._memory[: _HEAD.size] = _HEAD.pack(_MAGIC, 0, count, self._bundle)

    def _left(self) -> dict[int, int]:
        """Identity to strikes of what the last run left."""
        magic, hung, count, bundle = _HEAD.unpack_from(self._memory)
        if magic != _MAGIC or count > _MAX_ENTRIES or bundle != self._bundle:
            return {}
        entries = [_ENTRY.unpack_from(self._memory, _HEAD.size + k * _ENTRY.size) for k in range(count)]
        if count == 1:
            ((name, strikes),) = entries
            return {name: STRIKES if hung else min(strikes + 1, STRIKES)}
        return dict(entries)


def _mapped(path: Path) -> mmap.mmap:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, _SIZE)
            return mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
    except OSError as error:
        _log.warning("%s cannot be used (%s); what the service dies of will not be remembered", path, error.strerror)
        return mmap.mmap(-1, _SIZE)


def _named(digest: str) -> int:
    return int(digest[:16], 16)


def _identity(reading: Reading) -> int:
    text = f"{reading.motor}\0{reading.boot}\0{reading.seq}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
