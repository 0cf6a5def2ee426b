"""What the agent knows for certain, through any power cut: one JSON file, written whole, synced, renamed."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

FILE, LOCK = "journal.json", "lock"
MAX_REMEMBERED = 64

State = Literal["idle", "pending", "installing", "installed", "failed", "rolled_back"]


class InUse(Exception):  # noqa: N818 - says what the folder is
    """Another agent works with this folder."""


class Wanted(BaseModel):
    """A release that was trusted: its image's digest, its number, its bundle's digest and image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str
    sequence: int
    bundle: str
    image: str


class Record(BaseModel):
    """The content.

    Attributes:
        state: of the last release that was seen.
        reason: why, where it is failed or rolled back.
        sequence: highest that was taken up; no release at or below it ever is again.
        current: bundle digest in use as far as we brought it.
        rollback: the one before.
        desired: what is on its way; None when nothing is.
        seen: digest of the release image that the state is about.
        refused: release images that were not taken, with the reason, oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State = "idle"
    reason: str = ""
    sequence: int = 0
    current: str = ""
    rollback: str = ""
    desired: Wanted | None = None
    seen: str = ""
    refused: dict[str, str] = {}

    def refusing(self, release: str, state: Literal["failed", "rolled_back"], reason: str) -> Record:
        """With a release that is done for."""
        refused = dict(list({**self.refused, release: reason}.items())[-MAX_REMEMBERED:])
        return self.model_copy(
            update={"state": state, "reason": reason, "desired": None, "seen": release, "refused": refused}
        )


class Journal:
    """The file, and the lock that only one agent holds.

    Raises:
        InUse: somebody else holds it.
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InUse(f"{folder}: another agent works with this device; stop it first") from None
        self.record = self._read()

    def write(self, record: Record) -> None:
        """On the disk before this returns."""
        part = self._folder / f"{FILE}.part"
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(record.model_dump_json(indent=1).encode())
            file.flush()
            os.fsync(descriptor)
        part.replace(self._folder / FILE)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.record = record

    def close(self) -> None:
        """Let another agent have it."""
        os.close(self._lock)

    def _read(self) -> Record:
        path = self._folder / FILE
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Record()
        except ValidationError:
            # the sequence is lost with it; the edge's own ledger still refuses what was signed lower
            path.replace(path.with_name(f"{FILE}.corrupt"))
            return Record(reason="the journal could not be read and was moved aside")
