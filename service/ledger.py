"""What was decided about bundles, and the bundle that was: files below ``bundles`` in the data folder.

::

    incoming/NAME/      a whole bundle, put there by renaming; the edge takes it from here by itself
    offered/NAME/       a whole bundle that waits until it is asked for (the API's load)
    kept/DIGEST/        the bundle in use and some that were, as they were verified
    refused/NAME/       what was not taken, with ``reason.txt``
    ledger.json         highest rank accepted, bundle in use, bundle in its soak, digests refused
    chronicle.json      what was asked for, what became of it, which bundles ran before (``service.chronicle``)

The ledger is no table of the database: it says which bundle to start with before anything else is read, and it must
outlive a damaged database, or an old signed bundle could be played back by damaging one. It is written whole, synced
and renamed. A ledger that cannot be read is moved aside; the rank is then that of the bundles at hand.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.contract.manifest import Digest  # noqa: TC001 - pydantic reads annotations at run time
from service.errors import StoreError
from service.store import check_unused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_log = logging.getLogger(__name__)

FILE = "ledger.json"
REASON_FILE = "reason.txt"
_MAX_REMEMBERED = 64
_MAX_REFUSED_FOLDERS = 8


class Entry(BaseModel):
    """A bundle by what orders and names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Annotated[int, Field(ge=0)] = 0
    version: Annotated[int, Field(ge=0)] = 0
    digest: Digest | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """What a newer bundle must exceed."""
        return self.release, self.version


class Record(BaseModel):
    """The ledger's content.

    Attributes:
        highest: the highest-ranking bundle that was ever accepted.
        active: the bundle that was accepted last and is kept; None: the one of the installation.
        soaking: a bundle that runs on probation.
        refused: ``digest@release`` of what was not taken, with the reason, oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    highest: Entry = Entry()
    active: Entry | None = None
    soaking: Entry | None = None
    refused: dict[str, str] = {}

    def refusing(self, entry: Entry, reason: str) -> Record:
        """This record with one more refusal."""
        refused = {**self.refused, name_of(entry): reason}
        return self.model_copy(update={"refused": dict(list(refused.items())[-_MAX_REMEMBERED:])})


def name_of(entry: Entry) -> str:
    """How a refusal is remembered: the same bundle under a higher release is another matter."""
    return f"{entry.digest}@{entry.release}"


class Ledger:
    """The files. One thread uses them."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.folder = data_dir / "bundles"
        self.incoming = self.folder / "incoming"
        self.offered = self.folder / "offered"
        self._kept = self.folder / "kept"
        self._refused = self.folder / "refused"
        self.record = Record()

    def open(self) -> None:
        """Make sure that the data folder is ours, then ``read``.

        Raises:
            InUse: another service works on the data folder, so its record is not ours to judge.
            StoreError: the folder cannot be used.
        """
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            check_unused(self._data_dir)
        except OSError as error:
            raise self._unusable(error) from error
        self.read()

    def read(self) -> None:
        """Make the folders and read what was recorded; raises ``StoreError``, after which it may be tried again."""
        try:
            for folder in (self.incoming, self.offered, self._kept, self._refused):
                folder.mkdir(parents=True, exist_ok=True)
            raw = (self.folder / FILE).read_bytes() if (self.folder / FILE).exists() else b"{}"
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self.record = Record.model_validate_json(raw)
        except ValidationError:
            _log.error("%s cannot be read; moved aside, the highest rank is that of the bundles at hand", FILE)
            with contextlib.suppress(OSError):  # what cannot be moved is overwritten by the next record
                (self.folder / FILE).replace(self.folder / (FILE + ".corrupt"))
            self.record = Record()

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(f"{self.folder} cannot be used: {error.strerror}; new bundles cannot be taken")

    def write(self, record: Record) -> None:
        """Make this the record, durably; raises ``StoreError``, after which the old one stands."""
        try:
            write_whole(self.folder / FILE, record.model_dump_json(indent=1).encode())
        except OSError as error:
            raise StoreError(f"{self.folder / FILE} cannot be written: {error.strerror}") from error
        self.record = record

    def keep(self, digest: str, contents: Mapping[str, bytes]) -> None:
        """Store a verified bundle durably, all of it or nothing; raises ``StoreError``."""
        target = self.kept(digest)
        if target.exists():
            return
        try:
            with tempfile.TemporaryDirectory(dir=self._kept, prefix=".new-") as scratch:
                whole = Path(scratch) / "bundle"
                whole.mkdir()
                for name, raw in contents.items():
                    _write(whole / name, raw)
                _sync(whole)
                whole.rename(target)
            _sync(self._kept)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}") from error

    def kept(self, digest: str) -> Path:
        """Where a kept bundle lies."""
        return self._kept / digest

    def prune(self, earlier: Iterable[str | None]) -> None:
        """Remove kept bundles that neither the record nor ``earlier``, digests of what ran before, refers to."""
        wanted = {entry.digest for entry in (self.record.active, self.record.soaking) if entry is not None}
        wanted.update(earlier)
        for folder in _folders(self._kept):
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def discard(self, folder: Path) -> None:
        """Remove an offered bundle that was taken over."""
        if folder.parent in (self.incoming, self.offered):
            shutil.rmtree(folder, ignore_errors=True)

    def set_aside(self, folder: Path, reason: str) -> None:
        """Move an offered bundle to where people can look at it; the oldest of those go."""
        if folder.parent not in (self.incoming, self.offered):
            return
        target = self._refused / folder.name
        try:
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
            (target / REASON_FILE).write_text(reason + "\n", encoding="utf-8")
            os.utime(target)
        except OSError as error:
            _log.warning("%s was refused and cannot be moved to %s: %s", folder, target, error.strerror)
        for old in sorted(_folders(self._refused), key=_age)[:-_MAX_REFUSED_FOLDERS]:
            shutil.rmtree(old, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:  # the data folder is gone; the store says so
        return []


def write_whole(path: Path, raw: bytes) -> None:
    """The file holds these bytes or what it held before, whatever happens meanwhile; raises ``OSError``."""
    _write(path, raw)
    _sync(path.parent)


def _write(path: Path, raw: bytes) -> None:
    scratch = path.with_name(f".{path.name}.new")
    with scratch.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
