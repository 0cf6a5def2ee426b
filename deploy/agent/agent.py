"""One step at a time: look at the wave's tag, judge the release, hand its bundle over, wait for what becomes of it.

Every step begins from the journal and what the edge says, so a crash between any two of them costs a repetition and
nothing else: a bundle that was handed over twice is the same bundle, and the edge refuses twice what it refused once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from deploy.agent.edge import EdgeSilent
from deploy.agent.journal import Record, Wanted
from deploy.agent.registry import Damaged, PullError
from deploy.agent.release import Untrusted, verified
from service.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from deploy.agent.edge import Edge
    from deploy.agent.journal import Journal
    from deploy.agent.registry import Registry

RETRIES = 5
"""Damaged content is asked for so often: a proxy may have spoilt it once."""


@dataclass(slots=True)
class Agent:
    """Follows one wave.

    Attributes:
        registry: where releases come from.
        edge: where bundles go.
        journal: what is certain.
        keys: pinned public keys.
        wave: the tag to follow.
        wait_s: longest time for the edge to come to an end with a bundle.
        told: called with the record after each change.
        trouble: what is in the way for now; empty where nothing is.
    """

    registry: Registry
    edge: Edge
    journal: Journal
    keys: Mapping[str, Ed25519PublicKey]
    wave: str
    wait_s: float
    told: Callable[[Record], None]
    trouble: str = ""
    _damaged: int = 0
    _since_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the edge is at work and soon asked again; what is in the way waits for the next look."""
        return self.journal.record.desired is not None and not self.trouble

    def step(self) -> None:
        """Goes as far as it can without waiting; what is in the way stands in ``trouble``."""
        self.trouble = ""
        try:
            if self.journal.record.desired is None:
                self._look()
            if self.journal.record.desired is not None:
                self._bring(self.journal.record.desired)
        except (PullError, EdgeSilent, OSError) as error:
            self.trouble = str(error)[:300]

    def _look(self) -> None:
        record = self.journal.record
        try:
            manifest = self.registry.manifest("release", self.wave)
            if manifest.digest == record.seen or manifest.digest in record.refused:
                return
            files = self.registry.files("release", manifest)
        except Damaged as error:
            self._damaged += 1
            if self._damaged < RETRIES:
                raise
            self._damaged = 0
            # whatever the tag names is seen again at once when it names something else
            self.trouble = str(error)
            if record.reason != str(error):
                self._write(record.model_copy(update={"state": "failed", "reason": str(error)}))
            return
        self._damaged = 0
        try:
            release = verified(files, self.keys, now=datetime.now(UTC), above=record.sequence)
            if release.lane != "models":
                raise Untrusted(f"lane {release.lane}: this agent brings models; images are recreated by digest")  # noqa: TRY301
        except Untrusted as error:
            self._write(record.refusing(manifest.digest, "failed", str(error)))
            return
        wanted = Wanted(
            release=manifest.digest, sequence=release.sequence, bundle=release.bundle.digest, image=release.bundle.image
        )
        update = {
            "state": "pending",
            "reason": "",
            "desired": wanted,
            "seen": manifest.digest,
            "sequence": release.sequence,
        }
        self._write(record.model_copy(update=update))

    def _bring(self, wanted: Wanted) -> None:
        record = self.journal.record
        outcome = self.edge.outcome(wanted)
        if outcome.what == "installed":
            rollback = record.rollback if record.current == wanted.bundle else record.current
            update = {
                "state": "installed",
                "reason": "",
                "desired": None,
                "current": wanted.bundle,
                "rollback": rollback,
            }
            self._write(record.model_copy(update=update))
        elif outcome.what in ("failed", "rolled_back"):
            self._end(wanted, outcome.what, outcome.reason)
        elif outcome.what == "unknown":
            self._hand_over(wanted)
        elif self._since_s is not None and time.monotonic() - self._since_s > self.wait_s:
            self._end(wanted, "failed", f"the edge came to no end within {self.wait_s:g} s ({outcome.reason})")
        else:
            self._since_s = self._since_s or time.monotonic()

    def _hand_over(self, wanted: Wanted) -> None:
        digest = wanted.image.rsplit("@", 1)[1]
        try:
            files = self.registry.files("models", self.registry.manifest("models", digest))
            if not self.journal.record.current:
                self._write(self.journal.record.model_copy(update={"current": self.edge.running()}))
            self._write(self.journal.record.model_copy(update={"state": "installing"}))
            self.edge.hand_over(wanted, files)
        except Damaged as error:
            self._damaged += 1
            if self._damaged < RETRIES:
                raise
            self._end(wanted, "failed", str(error))
        except BundleError as error:
            self._end(wanted, "failed", str(error))
        else:
            self._damaged, self._since_s = 0, time.monotonic()

    def _end(self, wanted: Wanted, state: Literal["failed", "rolled_back"], reason: str) -> None:
        self._damaged, self._since_s = 0, None
        self._write(self.journal.record.refusing(wanted.release, state, reason))

    def _write(self, record: Record) -> None:
        self.journal.write(record)
        self.told(record)
