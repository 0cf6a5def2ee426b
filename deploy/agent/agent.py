"""One step at a time: look at the wave's tag, judge the release, and let its lane bring it.

Every step begins from the journal and what edge and engine say, so a crash between any two of them costs a repetition
and nothing else: a bundle handed over twice is the same bundle, and the edge refuses twice what it refused once.

What is bad for ever is remembered by its digest: a signature that does not hold, a number that was there before,
content that stays damaged. What may be the device's own fault is judged again at each look: a key that is not pinned
(yet), a clock that runs wrong, a schema that this agent is too old for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from deploy.agent.content import MAX_RELEASE_BYTES, Damaged, PullError
from deploy.agent.edge import EdgeSilent
from deploy.agent.engine import EngineError
from deploy.agent.journal import Wanted
from deploy.agent.patience import Patience
from deploy.agent.release import Untrusted, verified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from deploy.agent.content import Manifest, Source
    from deploy.agent.journal import Journal


class Lane(Protocol):
    """A way to bring a release."""

    def step(self, wanted: Wanted) -> None:
        """As far as it goes without waiting; an end is written into the journal."""


class Agent:
    """Follows one wave.

    Args:
        source: where releases come from.
        journal: what is certain.
        keys: pinned public keys.
        wave: the tag to follow.
        lanes: who brings what.
        poll_s: time between two looks.

    Attributes:
        trouble: what is in the way for now; empty where nothing is.
    """

    def __init__(
        self,
        source: Source,
        journal: Journal,
        keys: Mapping[str, Ed25519PublicKey],
        wave: str,
        lanes: Mapping[str, Lane],
        poll_s: float,
    ) -> None:
        self._source, self._journal, self._keys = source, journal, keys
        self._wave, self._lanes = wave, lanes
        self._patience = Patience(poll_s)
        self._looked_at = ""
        self._held: tuple[str, dict[str, bytes]] = ("", {})
        self.trouble = ""

    @property
    def busy(self) -> bool:
        """Whether something is under way and soon asked again; what is in the way waits for the next look."""
        return self._journal.record.desired is not None and not self.trouble

    def step(self) -> None:
        """Goes as far as it can without waiting; what is in the way stands in ``trouble``."""
        if self._journal.blocked:
            self.trouble = self._journal.blocked
            return
        if self._patience.waiting:
            return
        hindered, self.trouble = bool(self.trouble), ""
        try:
            if hindered:
                self._let_go()
            if self._journal.record.desired is None:
                self._look()
            wanted = self._journal.record.desired
            if wanted is not None:
                self._lanes[wanted.lane].step(wanted)
            self._patience.over()
        except Damaged as error:
            self._damaged(str(error))
        except (PullError, EdgeSilent, EngineError, OSError) as error:
            self.trouble = str(error)[:300]

    def _let_go(self) -> None:
        """What cannot be fetched keeps nobody from what the wave went on to, or back to."""
        record = self._journal.record
        if record.desired is None or record.state != "pending":
            return
        if self._source.manifest("release", self._wave).digest != record.desired.release:
            self._journal.change(desired=None, state="idle")

    def _look(self) -> None:
        self._looked_at = ""
        record = self._journal.record
        manifest = self._source.manifest("release", self._wave)
        self._looked_at = digest = manifest.digest
        if digest in record.refused:
            if record.seen != digest:
                self._journal.write(record.refusing(digest, "failed", record.refused[digest]))
            return
        if digest == record.release:  # also where the wave went on and was taken back
            if record.seen != digest:
                self._journal.change(state="installed", reason="", seen=digest, waits="")
            return
        try:
            release = verified(self._files(manifest), self._keys, now=datetime.now(UTC), above=record.sequence)
            if release.lane not in self._lanes:
                raise Untrusted("lane images: this agent reaches no engine; see AGENT_ENGINE", final=False)  # noqa: TRY301
        except Untrusted as error:
            reason = str(error)
            if error.final:
                self._journal.write(record.refusing(digest, "failed", reason))
            elif (record.waits, record.reason) != (digest, reason):
                self._journal.write(record.putting_off(digest, reason))
            return
        image = release.bundle.image if release.lane == "models" else release.images["edge"]
        wanted = Wanted(
            release=digest, sequence=release.sequence, lane=release.lane, bundle=release.bundle.digest, image=image
        )
        self._journal.change(
            state="pending", reason="", desired=wanted, seen=digest, waits="", sequence=release.sequence
        )

    def _files(self, manifest: Manifest) -> dict[str, bytes]:
        """Of a release; what is judged again was fetched before."""
        if self._held[0] != manifest.digest:
            files = self._source.files("release", manifest, MAX_RELEASE_BYTES)
            self._held = (manifest.digest, files)
        return self._held[1]

    def _damaged(self, reason: str) -> None:
        """Asked for a few times, more and more seldom: a proxy may have spoilt it once. Then it is done for."""
        self.trouble = reason
        if not self._patience.failed():
            return
        record = self._journal.record
        name = record.desired.release if record.desired else self._looked_at
        if name:
            self._patience.over()
            self._journal.write(record.refusing(name, "failed", reason))
        elif record.reason != reason:  # whatever the tag names is seen again when it names something else
            self._journal.change(state="failed", reason=reason)
