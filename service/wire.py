"""What passes between the broker's thread and the rest, in words of ours: messages, tokens, who is told what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Token(NamedTuple):
    """What names one message in flight: a delivery of one session, or a publication of one client generation."""

    era: int
    mid: int


@dataclass(slots=True)
class Delivery:
    """One message from the broker.

    Attributes:
        topic: where it was published; ``?`` stands for bytes that are not UTF-8.
        payload: the content; dropped when it is refused for its size.
        size: its length as it arrived, bytes.
        retain: it was stored at the broker before we subscribed.
        dup: the broker sent it before and does not know whether we have it.
        received_s: ``time.perf_counter()`` at arrival.
        token: to acknowledge it, None at QoS 0.
    """

    topic: str
    payload: bytes
    size: int
    retain: bool
    dup: bool
    received_s: float
    token: Token | None


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says in our name when we vanish (QoS 1); the payload is made anew for each connection."""

    topic: str
    payload: Callable[[], bytes]
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Listener:
    """What the owner thread calls; each must return at once.

    Attributes:
        room: whether more messages are wanted now; ``Link.resume`` follows on a False.
        delivered: a message came.
        connected: the session stands; True when the broker kept what it had of us.
        acknowledged: the broker holds a message we published at QoS 1; False when it refused to.
        lost: the connection is gone.
    """

    room: Callable[[], bool]
    delivered: Callable[[Delivery], None]
    connected: Callable[[bool], None]
    acknowledged: Callable[[Token, bool], None]
    lost: Callable[[], None]
