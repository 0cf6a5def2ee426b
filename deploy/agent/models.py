"""The lane of models: a bundle goes to the edge's own hot swap, which tries, shadows, soaks, takes back by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.agent.edge import NotTheBundle

if TYPE_CHECKING:
    from deploy.agent.content import Source
    from deploy.agent.edge import Edge
    from deploy.agent.journal import Bad, Journal, Wanted


class Models:
    """Brings bundles.

    Args:
        source: where they come from.
        edge: where they go.
        journal: what is certain.
        wait_s: longest time for the edge to come to an end with one.
    """

    def __init__(self, source: Source, edge: Edge, journal: Journal, wait_s: float) -> None:
        self._source, self._edge, self._journal, self._wait_s = source, edge, journal, wait_s
        self._since_s: float | None = None

    def step(self, wanted: Wanted) -> None:
        """Hands over what is not there yet, and writes down what became of it."""
        record = self._journal.record
        outcome = self._edge.outcome(wanted)
        if outcome.what == "installed":
            self._since_s = None
            rollback = record.rollback if record.current == wanted.bundle else record.current
            self._journal.change(
                state="installed",
                reason="",
                desired=None,
                release=wanted.release,
                current=wanted.bundle,
                rollback=rollback,
            )
        elif outcome.what in ("failed", "rolled_back"):
            self._end(wanted, outcome.what, outcome.reason)
        elif outcome.what == "unknown":
            self._hand_over(wanted)
        elif self._since_s is not None and time.monotonic() - self._since_s > self._wait_s:
            self._end(wanted, "failed", f"the edge came to no end within {self._wait_s:g} s ({outcome.reason})")
        else:
            self._since_s = self._since_s or time.monotonic()

    def _hand_over(self, wanted: Wanted) -> None:
        digest = wanted.image.rsplit("@", 1)[1]
        files = self._source.files("models", self._source.manifest("models", digest))
        current = self._journal.record.current or self._edge.running()
        self._journal.change(state="installing", current=current)
        try:
            self._edge.hand_over(wanted, files)
        except NotTheBundle as error:
            self._end(wanted, "failed", str(error))
        else:
            self._since_s = time.monotonic()

    def _end(self, wanted: Wanted, state: Bad, reason: str) -> None:
        self._since_s = None
        self._journal.write(self._journal.record.refusing(wanted.release, state, reason))
