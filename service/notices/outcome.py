"""How an attempt to tell somebody ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.notices.notice import Notice

Result = Literal["delivered", "refused", "failed"]
"""``failed`` is tried again; ``refused`` would be refused again and is dropped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's end, in words for a person, and how long the other side asks us to wait (None: not said)."""

    result: Result
    text: str
    wait_s: float | None = None


class Teller(Protocol):
    """Who makes the attempt."""

    batch: int
    repeat_s: float | None

    @property
    def place(self) -> str:
        """Where it goes, in words that give no secret away."""

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """One attempt; never raises for what the other side or the network does."""
