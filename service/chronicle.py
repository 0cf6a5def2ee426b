"""What was asked for, what became of it, which bundles ran before: ``bundles/chronicle.json``, beside the ledger.

Nothing here is trusted: what is asked for again after a start is verified as if it were new, and a bundle that ran
before is verified before it runs again. So a chronicle that cannot be read costs the past alone: it is moved aside.
It is written whole, synced and renamed, and holds so many entries and no more.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.contract.manifest import Digest  # noqa: TC001 - pydantic reads annotations at run time
from service.ledger import Entry, write_whole
from service.swap import Phase, Shadowed

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

FILE = "chronicle.json"
ENDED_KEPT = 20
ASKED_KEPT = 16
EARLIER_KEPT = 3
_MAX_BYTES = 256 * 2**10

_MAX_TEXT = 2000

_Text = Annotated[str, Field(max_length=_MAX_TEXT)]


class Progress(NamedTuple):
    """A candidate as people see it; ``phase`` may be an ending, rank 0, digest None and gate "" are not known."""

    name: _Text
    version: int
    release: int
    digest: Digest | None
    phase: Phase
    reason: _Text
    shadow: Shadowed = Shadowed()
    soaked: int = 0
    gate: _Text = ""

    @classmethod
    def of(cls, name: str, entry: Entry, phase: Phase, reason: str) -> Progress:
        """One that judged no reading."""
        return cls(name, entry.version, entry.release, entry.digest, phase, reason)


class Ended(NamedTuple):
    """What became of a candidate, and when in Unix seconds."""

    ts_s: float
    progress: Progress


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Asked(_Part):
    """A folder in ``offered`` that was asked for, and its digest as soon as that is known."""

    name: _Text
    digest: Digest | None = None


class Earlier(_Part):
    """A bundle that was in use here, and when it was left."""

    name: _Text
    entry: Entry
    left_ts_s: float


class _Content(_Part):
    format: Literal[1] = 1
    asked: Annotated[tuple[Asked, ...], Field(max_length=ASKED_KEPT)] = ()
    ended: Annotated[tuple[Ended, ...], Field(max_length=ENDED_KEPT)] = ()
    earlier: Annotated[tuple[Earlier, ...], Field(max_length=EARLIER_KEPT)] = ()


class Chronicle:
    """The file. One thread changes it; what it holds may be read by any.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._content = _Content()

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What was asked for and has not come to an end, the oldest first."""
        return self._content.asked

    @property
    def ended(self) -> tuple[Ended, ...]:
        """What became of the last offers, the newest last."""
        return self._content.ended

    @property
    def earlier(self) -> tuple[Earlier, ...]:
        """Bundles that ran before and are kept, the newest last."""
        return self._content.earlier

    def read(self) -> None:
        """Take up what was written before."""
        try:
            with self._path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
            self._content = _Content.model_validate_json(raw)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("%s cannot be read: %s; what became of earlier bundles is not known", FILE, error.strerror)
        except ValidationError:
            _log.warning("%s is damaged and moved aside; what became of earlier bundles is not known", FILE)
            with contextlib.suppress(OSError):  # what cannot be moved is overwritten by the next entry
                self._path.replace(self._path.with_name(FILE + ".corrupt"))

    def ask(self, asked: tuple[Asked, ...]) -> None:
        """These are asked for, and no others; beyond the bound the newest are not remembered."""
        if asked[:ASKED_KEPT] != self.asked:
            self._write(self._content.model_copy(update={"asked": asked[:ASKED_KEPT]}))

    def end(self, ended: Ended) -> None:
        """One more has come to an end."""
        told = ended.progress
        ended = ended._replace(progress=told._replace(name=told.name[:_MAX_TEXT], reason=told.reason[:_MAX_TEXT]))
        self._write(self._content.model_copy(update={"ended": (*self.ended, ended)[-ENDED_KEPT:]}))

    def leave(self, left: Earlier, entered: Entry) -> None:
        """One bundle was left for another."""
        others = [one for one in self.earlier if one.entry.digest not in (left.entry.digest, entered.digest)]
        self._write(self._content.model_copy(update={"earlier": (*others, left)[-EARLIER_KEPT:]}))

    def _write(self, content: _Content) -> None:
        self._content = content
        try:
            write_whole(self._path, content.model_dump_json(indent=1).encode())
        except OSError as error:
            _log.warning("%s cannot be written: %s; a restart will forget what it says", self._path, error.strerror)
