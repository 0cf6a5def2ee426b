"""What one commit will hold: changes of several steps, and the acknowledgements that follow it. Pure.

A commit waits for the disk, several milliseconds on a small box, and nobody reads meanwhile. So steps share one: it is
due once something must leave the house (alerts, births), once half of what the broker keeps in flight waits for it,
once nothing more comes, and after ``WITHIN_S`` at the latest. A power cut before it costs a repetition, never a
reading: what is not committed is not acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.store import Changes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.wire import Delivery, Token

WITHIN_S = 0.05
IDLE_S = 0.01
"""Nothing has come for so long: the disk may as well work now."""


class Group:
    """Collects until it is due; then the owner commits ``changes``, acknowledges ``tokens`` and begins another."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.tokens: list[Token] = []
        self._since_s: float | None = None

    def add(self, deliveries: Iterable[Delivery], now_s: float) -> None:
        """Deliveries whose effects are in ``changes``."""
        self.tokens += [delivery.token for delivery in deliveries if delivery.token is not None]
        if self._since_s is None and (self.changes or self.tokens):
            self._since_s = now_s

    def patience_s(self, now_s: float, longest_s: float) -> float:
        """How long to wait for more."""
        if self._since_s is None:
            return longest_s
        return max(0.0, min(IDLE_S, self._since_s + WITHIN_S - now_s))

    def due(self, now_s: float, in_flight: int, *, idle: bool) -> bool:
        """Whether to commit now.

        Args:
            now_s: a steady clock.
            in_flight: unacknowledged messages that the broker sends before it waits.
            idle: nothing came while there was patience.
        """
        if self._since_s is None:
            return False
        urgent = bool(self.changes.outbox or self.changes.births)
        return urgent or idle or 2 * len(self.tokens) >= in_flight or now_s - self._since_s >= WITHIN_S
