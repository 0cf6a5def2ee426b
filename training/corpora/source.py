"""Where public data lie: ``MOTOR_DATA/<name>/``, as plain files or inside an archive in that folder."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "MOTOR_DATA"
DEFAULT = Path("data")
_TAR = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz")
_MAX_MEMBER_BYTES = 1 << 30


class CorpusAbsentError(Exception):
    """A data set that is not on this machine; one line that names it and says how to get it."""

    def __init__(self, name: str, where: Path) -> None:
        self.name = name
        super().__init__(f"{name}: absent in {where}; run 'python -m training fetch {name}' or set {VARIABLE}")


class CorpusError(ValueError):
    """A data set that is there but cannot be used; one line that names the file, the fault and the remedy."""


def root() -> Path:
    """The folder of data sets: ``MOTOR_DATA``, by default ``data``."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def files(folder: Path, name: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Members of a data set as ``(path in the data set, bytes)``, plain files first, in the order of their names.

    An archive is gone through once, in its own order; a member that also lies beside it is not read twice.

    Args:
        folder: the folder of data sets.
        name: of the data set, a folder in it.
        wanted: by the member's path, ``/``-separated and relative to the data set.

    Raises:
        CorpusAbsentError: nothing that is wanted is there.
        CorpusError: an archive is damaged.
    """
    home = folder / name
    seen: set[str] = set()
    paths = sorted(path for path in home.rglob("*") if path.is_file()) if home.is_dir() else []
    for path in paths:
        member = path.relative_to(home).as_posix()
        if wanted(member):
            seen.add(member)
            yield member, path.read_bytes()
    for path in paths:
        if path.name.endswith(_TAR):
            members = _tar(path, wanted)
        elif path.suffix == ".zip":
            members = _zip(path, wanted)
        else:
            continue
        try:
            for member, raw in members:
                if member not in seen:
                    seen.add(member)
                    yield member, raw
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise CorpusError(f"{path}: damaged archive ({error}); fetch {name} again") from error
    if not seen:
        raise CorpusAbsentError(name, folder)


def _tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    # A stream is unpacked once; random access would unpack it from the start for every member.
    with tarfile.open(path, "r|*") as archive:
        for item in archive:
            member = item.name.removeprefix("./")
            if item.isfile() and wanted(member):
                file = archive.extractfile(item)
                assert file is not None
                yield member, _limited(path, member, file.read(_MAX_MEMBER_BYTES + 1))


def _zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if not item.is_dir() and wanted(item.filename):
                with archive.open(item) as file:
                    yield item.filename, _limited(path, item.filename, file.read(_MAX_MEMBER_BYTES + 1))


def _limited(path: Path, member: str, raw: bytes) -> bytes:
    if len(raw) > _MAX_MEMBER_BYTES:
        raise CorpusError(f"{path}:{member}: larger than {_MAX_MEMBER_BYTES} bytes; not a file of this data set")
    return raw
