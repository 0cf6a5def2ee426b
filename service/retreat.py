"""Going back, by hand, to a bundle that ran here before. No trial: it has proven itself, and what runs now is unwanted.

Its files are verified and its golden vectors run again all the same. The highest rank that was ever accepted stays, so
that what was left does not come back by itself from the watched folder; people can go forward to it as they went back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from service.chronicle import Earlier
from service.errors import BundleError, EdgeError, NotOffered
from service.opening import load_kept, load_own

if TYPE_CHECKING:
    from service.bundle import Bundle
    from service.chronicle import Chronicle
    from service.gate import Gate
    from service.ledger import Entry, Ledger
    from service.monitor import Models
    from service.opening import Own
    from service.signature import Trust

_log = logging.getLogger(__name__)


class Back(NamedTuple):
    """What is to run now; the ledger says so already."""

    models: Bundle
    entry: Entry
    gate: Gate
    reason: str
    asked: Future[Entry]


class Retreat:
    """One thread goes back; any may ask.

    Args:
        ledger: an open one.
        chronicle: knows what ran before.
        trust: whose bundles are taken.
        own: the installation's bundle.
    """

    def __init__(self, ledger: Ledger, chronicle: Chronicle, trust: Trust, own: Own) -> None:
        self._ledger = ledger
        self._chronicle = chronicle
        self._trust = trust
        self._own = own
        self._asked: deque[tuple[str, Future[Entry]]] = deque()

    @property
    def targets(self) -> tuple[Earlier, ...]:
        """What ran before, is still there, and would run after a start too: the installation's own may outrank it."""
        own = self._own.entry
        return tuple(
            one
            for one in self._chronicle.earlier
            if one.entry.digest == own.digest
            or (one.entry.rank >= own.rank and self._ledger.kept(str(one.entry.digest)).is_dir())
        )

    def ask(self, digest: str) -> Future[Entry]:
        """Ask for the bundle whose digest begins so."""
        asked: Future[Entry] = Future()
        self._asked.append((digest, asked))
        return asked

    def next(self, running: Entry, models: Models, on_its_way: str | None) -> Back | None:
        """The next bundle to go back to, recorded; what cannot be is answered with its reason.

        Args:
            running: rank of what runs.
            models: what runs.
            on_its_way: a candidate that is under way.
        """
        while self._asked:
            digest, asked = self._asked.popleft()
            try:
                if on_its_way is not None:
                    raise BundleError(f"{on_its_way} is on its way; call it off first")
                return self._gone_back(digest, running, models, asked)
            except EdgeError as error:
                _log.error("going back to %s: %s", digest[:12], error)
                asked.set_exception(error)
        return None

    def _gone_back(self, digest: str, running: Entry, models: Models, asked: Future[Entry]) -> Back:
        entry = self._found(digest, models).entry
        own = entry.digest == self._own.entry.digest
        chosen, entry, gate = load_own(self._own) if own else load_kept(entry, self._ledger, self._trust)
        reason = f"gone back to {chosen.manifest.name} version {entry.version}, digest {chosen.digest[:12]}, by hand"
        record = self._ledger.record.refusing(running, reason)
        self._ledger.write(record.model_copy(update={"active": None if own else entry}))
        left = Earlier(name=models.manifest.name, entry=running, left_ts_s=time.time())
        self._chronicle.leave(left, entered=entry)
        self._ledger.prune(one.entry.digest for one in self._chronicle.earlier)
        return Back(chosen, entry, gate, reason, asked)

    def _found(self, digest: str, models: Models) -> Earlier:
        if models.digest.startswith(digest):
            raise BundleError(f"bundle {digest[:12]} runs already")
        for one in self.targets:
            if str(one.entry.digest).startswith(digest):
                return one
        raise NotOffered(f"{digest[:12]} is of none that ran here and can run again; see earlier in GET /v1/model")
