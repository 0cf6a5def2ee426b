"""Bundles that are offered, by the watched folder or by name, verified: signature, digests, rank. Nothing runs yet."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service import bundle
from service.chronicle import Asked
from service.contract.topics import is_id
from service.errors import BundleError, EdgeError, NotOffered
from service.incoming import Incoming
from service.ledger import Entry, name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.bundle import Files
    from service.chronicle import Chronicle
    from service.ledger import Ledger
    from service.signature import Trust

_log = logging.getLogger(__name__)

PATIENT_LOOKS = 30
"""A folder in which something is wrong is refused after it has been at rest for so many looks."""


@dataclass(slots=True)
class _Request:
    """A folder that somebody asks for; ``digest`` is what lay there when it was first looked at, before a restart."""

    name: str
    asked: Future[str]
    digest: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle that someone we trust vouches for and that ranks above what was accepted; ``asked`` waits for it."""

    folder: Path
    files: Files
    entry: Entry
    asked: Future[str] | None

    @property
    def label(self) -> str:
        """Name, version and release for people."""
        return f"{self.files.manifest.name} version {self.entry.version} release {self.entry.release}"


class Offers:
    """Where bundles come from. One thread takes; any may ask.

    Args:
        ledger: an open one.
        chronicle: remembers over a restart what was asked for.
        trust: whose bundles are taken.
        refused: told folder name, entry (if it came that far) and reason of what is refused here.
    """

    def __init__(
        self,
        ledger: Ledger,
        chronicle: Chronicle,
        trust: Trust,
        refused: Callable[[str, Entry | None, str], None],
    ) -> None:
        self._ledger = ledger
        self._chronicle = chronicle
        self._trust = trust
        self._refused = refused
        self._incoming = Incoming(ledger.incoming)
        self._requests: deque[_Request] = deque()
        self._under_way: Asked | None = None
        self._dealt_with: set[str] = set()

    def ask(self, name: str) -> Future[str]:
        """Ask for the bundle in ``offered/name``; the future ends with the phase that it reached, or an error."""
        asked: Future[str] = Future()
        self._requests.append(_Request(name, asked))
        return asked

    def ask_again(self) -> None:
        """Ask for what was asked for when the service stopped and did not come to its end."""
        for one in self._chronicle.asked:
            self._requests.append(_Request(one.name, Future(), one.digest, again=True))

    def remember(self) -> None:
        """Write down what is asked for; cheap where nothing has changed."""
        waiting = [Asked(name=one.name, digest=one.digest) for one in tuple(self._requests) if is_id(one.name)]
        self._chronicle.ask(tuple(waiting if self._under_way is None else [self._under_way, *waiting]))

    def over(self) -> None:
        """The offer that was asked for has come to its end."""
        self._under_way = None

    def next(self, running: Entry, digest: str) -> Offer | None:
        """The next bundle that is worth a trial.

        Args:
            running: rank of what runs.
            digest: digest of what runs.
        """
        while self._requests:
            request = self._requests.popleft()
            try:
                offer = self._asked(request, running, digest)
            except EdgeError as error:
                _log.error("%s is refused: %s", request.name, error)
                self._refused(request.name, None, str(error))
                request.asked.set_exception(error)
                continue
            if offer is not None:
                self._under_way = Asked(name=request.name, digest=offer.entry.digest)
                return offer
        for folder, looks in self._incoming.look().items():
            offer = self._come_in(folder, looks, running, digest)
            if offer is not None:
                return offer
        return None

    def set_aside(self, offer: Offer, reason: str) -> None:
        """Move an offer out of the way; where that fails, do not take it again by itself."""
        self._set_aside(offer.folder, name_of(offer.entry), reason)

    def _asked(self, request: _Request, running: Entry, digest: str) -> Offer | None:
        name, folder = request.name, self._ledger.offered / request.name
        if not is_id(name) or not folder.is_dir():
            raise NotOffered(f"no bundle is offered as {name[:64]!r}; put its whole folder into {folder.parent}")
        files, entry = self._verified(folder)
        if request.again:
            if entry.digest == digest:  # the service died after it had taken it into use
                self._ledger.discard(folder)
                return None
            if request.digest not in (None, entry.digest):
                raise BundleError(f"{name} is another bundle than the one that was asked for; ask again")
            self._check_unrefused(entry)
        self._check_rank(entry, running)
        return Offer(folder, files, entry, request.asked)

    def _come_in(self, folder: Path, looks: int, running: Entry, digest: str) -> Offer | None:
        entry: Entry | None = None
        try:
            files, entry = self._verified(folder)
            if name_of(entry) in self._dealt_with:
                return None
            if entry.digest == digest:
                self._ledger.discard(folder)
                return None
            self._check_unrefused(entry)
            self._check_rank(entry, running)
        except BundleError as error:
            # without an entry it may be a copy under way that is not made by renaming
            if entry is None and looks < PATIENT_LOOKS:
                return None
            key = str(folder) if entry is None else name_of(entry)
            if key not in self._dealt_with:
                _log.error("%s is refused: %s", folder.name, error)
                self._set_aside(folder, key, str(error))
                self._refused(folder.name, entry, str(error))
            return None
        return Offer(folder, files, entry, None)

    def _verified(self, folder: Path) -> tuple[Files, Entry]:
        files = bundle.read(folder)
        release = self._trust.check(files.raw_manifest, files.signature)
        return files, Entry(release=release, version=files.manifest.version, digest=files.digest)

    def _set_aside(self, folder: Path, key: str, reason: str) -> None:
        self._ledger.set_aside(folder, reason)
        if folder.exists():
            self._dealt_with.add(key)

    def _check_unrefused(self, entry: Entry) -> None:
        reason = self._ledger.record.refused.get(name_of(entry))
        if reason is not None:
            raise BundleError(f"it was refused before ({reason}); ask for it by the API, or sign a higher release")

    def _check_rank(self, entry: Entry, running: Entry) -> None:
        release, version = max(running.rank, self._ledger.record.highest.rank)
        if entry.rank <= (release, version):
            raise BundleError(
                f"release {entry.release} version {entry.version} does not exceed release {release} version {version}, "
                "which was accepted before; raise the version, or sign it anew with a higher release"
            )
