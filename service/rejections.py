"""What was refused, told to people: at most a few a second on a topic of their own; the rest is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.contract.messages import Rejection

if TYPE_CHECKING:
    from service.contract.codec import Refused

_PER_SECOND = 5.0
_BURST = 10.0
_TOPIC_LIMIT = 256


class Rejections:
    """A token bucket: which refusals are described, and how many were not."""

    def __init__(self, node: str, *, per_second: float = _PER_SECOND, burst: float = _BURST) -> None:
        self._node = node
        self._per_second = per_second
        self._burst = burst
        self._level = burst
        self._at_s = 0.0
        self._suppressed = 0

    def describe(self, topic: str, refused: Refused, *, now_s: float, ts_s: float) -> Rejection | None:
        """The message to publish, or None where the bucket is empty; ``now_s`` is monotonic, ``ts_s`` the clock."""
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        if self._level < 1.0:
            self._suppressed += 1
            return None
        self._level -= 1.0
        suppressed, self._suppressed = self._suppressed, 0
        return Rejection(
            node=self._node,
            ts_s=ts_s,
            topic="".join(char if char.isprintable() else "?" for char in topic)[:_TOPIC_LIMIT],
            reason=refused.reason,
            field=refused.field,
            detail=refused.detail,
            remedy=refused.remedy,
            suppressed=suppressed,
        )
