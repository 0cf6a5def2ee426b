"""What the agent knows for certain, through any power cut: one JSON file, written whole, synced, renamed.

Beside it stands the highest release number in a file of its own, ``floor``: a journal that cannot be read costs the
memory of what failed, and never lets an old release in again. Where that one cannot be read either, nothing is taken
until somebody writes it anew.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE, FLOOR, LOCK = "journal.json", "floor", "lock"
MAX_REMEMBERED = 64
_MOVED = "the journal could not be read and was moved aside"

State = Literal["idle", "pending", "installing", "installed", "failed", "rolled_back"]
Bad = Literal["failed", "rolled_back"]
Stage = Literal["", "replacing", "soaking", "keeping", "restoring"]


class InUse(Exception):  # noqa: N818 - says what the folder is
    """Another agent works with this folder."""


class Wanted(BaseModel):
    """A release that was trusted: its image's digest, its number, its lane, its bundle, and the image to bring."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    release: str
    sequence: int
    lane: Literal["models", "images"] = "models"
    bundle: str
    image: str


class Record(BaseModel):
    """The content.

    Attributes:
        state: of the last release that was seen.
        reason: why, where it is failed or rolled back.
        sequence: highest that was taken up; no release at or below it ever is again.
        release: digest of the release image that was installed last.
        current: bundle digest in use as far as we brought it.
        rollback: the one before.
        desired: what is on its way; None when nothing is.
        seen: digest of the release image that the state is about.
        waits: the same, where it is refused for now and judged again at the next look.
        refused: release images that were not taken, with the reason, oldest first.
        stage: how far a new image of the edge has come.
        image: the engine's id of that image.
        previous: the id of the one that ran before.
        kept: numbers of the releases whose images of the edge are kept, oldest first.
        baseline: what the old container's counters said.
        failed: digests of images of the edge that failed here, with the reason, oldest first.
        gap_s: seconds from the old container's stop until the new one was ready; None where nobody saw it.
        back_s: the same for the way back.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: State = "idle"
    reason: str = ""
    sequence: int = 0
    release: str = ""
    current: str = ""
    rollback: str = ""
    desired: Wanted | None = None
    seen: str = ""
    waits: str = ""
    refused: dict[str, str] = {}
    stage: Stage = ""
    image: str = ""
    previous: str = ""
    kept: tuple[int, ...] = ()
    baseline: dict[str, float] = {}
    failed: dict[str, str] = {}
    gap_s: float | None = None
    back_s: float | None = None

    def refusing(self, release: str, state: Bad, reason: str) -> Record:
        """With a release that is done for."""
        update = {"state": state, "reason": reason, "desired": None, "seen": release, "waits": ""}
        return self.model_copy(update={**update, "refused": remembered(self.refused, release, reason)})

    def putting_off(self, release: str, reason: str) -> Record:
        """With a release that is not taken now, and may be later."""
        return self.model_copy(update={"state": "failed", "reason": reason, "seen": release, "waits": release})


class Lock:
    """One agent a folder, until ``close`` or the process' end; raises ``InUse`` or ``OSError``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise InUse(f"{folder}: another agent works with this device; stop it first") from None

    def close(self) -> None:
        """Let another agent have it."""
        os.close(self._descriptor)


class Journal:
    """The file, and the lock that only one agent holds.

    Attributes:
        record: what stands in it.
        blocked: why no release may be taken; empty where one may.
        told: called with the record after each change.

    Raises:
        InUse: somebody else holds it.
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = Lock(folder)
        self._folder = folder
        self.blocked = ""
        self.told: Callable[[Record], None] = lambda _: None
        self._floor = _floor(folder)
        self.record = self._read()
        if not self.blocked:
            self._raise_floor()

    def write(self, record: Record) -> None:
        """On the disk before this returns."""
        written(self._folder / FILE, record.model_dump_json(indent=1).encode())
        self.record = record
        self._raise_floor()
        self.told(record)

    def change(self, **update: object) -> None:
        """Write the record with some fields changed."""
        self.write(self.record.model_copy(update=update))

    def close(self) -> None:
        """Let another agent have it."""
        self._lock.close()

    def _raise_floor(self) -> None:
        """After the journal: the other way round, who dies in between would refuse what was only just seen."""
        if self._floor is None or self.record.sequence > self._floor:
            written(self._folder / FLOOR, str(self.record.sequence).encode())
            self._floor = self.record.sequence

    def _read(self) -> Record:
        path = self._folder / FILE
        aside = path.with_name(f"{FILE}.corrupt")
        try:
            record = Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            lost = aside.exists() or self._floor is not None
        except ValidationError:
            path.replace(aside)
            lost = True
        else:
            return record.model_copy(update={"sequence": max(record.sequence, self._floor or 0)})
        if not lost:
            return Record()
        if self._floor is None:
            self.blocked = (
                f"{_MOVED}, and {self._folder / FLOOR} cannot be read: write the number of the last release into it "
                "(0 takes any), then start again"
            )
            return Record(state="failed", reason=self.blocked)
        return Record(sequence=self._floor, reason=f"{_MOVED}; releases up to {self._floor} stay refused")


def read(folder: Path) -> Record:
    """What the journal of another agent says now; raises ``OSError`` or ``ValueError``."""
    return Record.model_validate_json((folder / FILE).read_bytes())


def written(path: Path, raw: bytes) -> None:
    """Puts a file there, whole and on the disk."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(descriptor)
    part.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Names in the folder reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _floor(folder: Path) -> int | None:
    try:
        text = (folder / FLOOR).read_text(encoding="ascii").strip()
        return int(text) if text.isdecimal() else None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def remembered(refused: dict[str, str], key: str, reason: str) -> dict[str, str]:
    """With one more, and the oldest left out where they are many."""
    others = {name: text for name, text in refused.items() if name != key}
    return dict(list({**others, key: reason}.items())[-MAX_REMEMBERED:])
