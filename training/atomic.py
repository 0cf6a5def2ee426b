"""Files and folders that are there whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_Proof = TypeVar("_Proof")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class WriteError(OSError):
    """Something that could not be written, as on a full disk; one line. What stood in its place stands there still."""


def file(path: Path, raw: bytes) -> None:
    """The bytes under this name; folders above it are made. Raises ``WriteError``."""
    part = path.with_name(f".{path.name}.part")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _written(part, raw)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def folder(path: Path, contents: Mapping[str, bytes], prove: Callable[[Path], _Proof]) -> _Proof:
    """These files as a folder of this name, instead of what stood there, if ``prove`` does not raise; what it returns.

    Raises:
        WriteError: they could not be written.
    """
    path = path.resolve()
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir(mode=0o755)
            for name, raw in contents.items():
                _written(fresh / name, raw)
            proof = prove(fresh)
            replaced(path, fresh, Path(scratch) / "old")
    return proof


def tried(path: Path) -> None:
    """Sees before long work that something can be put at this place; raises ``WriteError``."""
    path = path.resolve()
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent).cleanup()


def replaced(path: Path, fresh: Path, old: Path) -> None:
    """Puts the folder ``fresh`` in ``path``'s place; whoever looks sees a whole folder, the old one or the new one."""
    if not path.exists():
        fresh.rename(path)
    elif not _exchanged(fresh, path):
        path.rename(old)  # a file system that cannot exchange: for an instant there is none
        fresh.rename(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(f"{path}: cannot be written: {why}; make room or name another place") from None


def _written(path: Path, raw: bytes) -> None:
    with path.open("wb") as out:
        out.write(raw)
        out.flush()
        os.fsync(out.fileno())


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the two names could be exchanged in one step (Linux, ``renameat2`` of the C library)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here = ctypes.c_int(_AT_FDCWD)
    status: int = rename(here, bytes(one), here, bytes(other), ctypes.c_uint(_RENAME_EXCHANGE))
    return status == 0
