"""Server-sent events: the whole picture first, then four times a second what changed since.

A reader owns no queue: it remembers the number of the last change it was sent and gets what is newer, each motor once.
One that does not take its bytes for ten seconds is dropped; it comes back by itself and gets the whole picture.

    event: news
    id: <epoch>-<change>
    data: {"ts_s": the edge's clock, "full": bool, "motors": [Motor], "alerts": [Alert], "gone": [id],
          "notes": [SavedNote]}

Where nothing changes, an event ``beat`` without data comes every three seconds: a reader that hears nothing for longer
knows that the line is dead, which TCP may not tell for many minutes where a cable was pulled.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.responses import Response

from service.api.shield import failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from service.live import Live, News, Seen
    from service.metrics import Metrics

_TICK_S = 0.25
_BEAT_S = 3.0
_BEAT = b"event: beat\ndata:\n\n"
_STUCK_S = 10.0
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Streams:
    """Who is served live, and what they share: rendered motors, the end."""

    def __init__(self, live: Live, metrics: Metrics, limit: int) -> None:
        self._live = live
        self._metrics = metrics
        self._limit = limit
        self._epoch = secrets.token_hex(4)
        self._rendered: dict[str, tuple[int, bytes]] = {}
        self._count = 0
        self.closing = asyncio.Event()
        """Set when the service stops: every stream ends."""

    def open(self, last_event_id: str | None) -> Response:
        """The answer for one more reader; refused when there are too many."""
        if self._count >= self._limit:
            remedy = "close one, or poll /v1/motors"
            return failure(503, "too_many_streams", f"{self._limit} pages are served live", remedy)
        epoch, _, change = (last_event_id or "").rpartition("-")
        known = epoch == self._epoch and change.isdigit()
        return _EventStream(self, int(change) if known else 0)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """A reader is served within."""
        self._count += 1
        self._metrics.streams.set(self._count)
        try:
            yield
        finally:
            self._count -= 1
            self._metrics.streams.set(self._count)

    def dropped(self) -> None:
        """A reader did not keep up."""
        self._metrics.streams_dropped.inc()

    def event(self, after: int) -> tuple[int, bytes | None]:
        """The event with what changed after a number, None where nothing did."""
        if self._live.change == after:
            return after, None
        news = self._live.news(after)
        return news.change, b"event: news\nid: %s-%d\ndata: %s\n\n" % (
            self._epoch.encode(),
            news.change,
            self._data(news),
        )

    def _data(self, news: News) -> bytes:
        if news.full:
            self._rendered.clear()
        for motor in news.gone:
            self._rendered.pop(motor, None)
        motors = b",".join(map(self._motor, news.motors))
        rest = to_json({"alerts": news.alerts, "gone": news.gone, "notes": news.notes, "ts_s": time.time()})
        return b'{"full":%s,"motors":[%s],%s' % (b"true" if news.full else b"false", motors, rest[1:])

    def _motor(self, seen: Seen) -> bytes:
        """A motor as JSON, rendered once a change for all readers."""
        motor = seen.profile.motor
        cached = self._rendered.get(motor)
        if cached is None or cached[0] != seen.change:
            cached = self._rendered[motor] = (seen.change, to_json(seen.document()))
        return cached[1]


class _EventStream(Response):
    """One reader's stream."""

    def __init__(self, streams: Streams, after: int) -> None:
        super().__init__()
        self._streams = streams
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        leaving = asyncio.create_task(_left(receive), name="stream reader leaves")
        closing = asyncio.create_task(self._streams.closing.wait(), name="stream closes")
        try:
            with self._streams.counted():
                await self._serve(send, leaving, closing)
        finally:
            for task in (leaving, closing):
                task.cancel()
            await asyncio.gather(leaving, closing, return_exceptions=True)

    async def _serve(self, send: Send, leaving: asyncio.Task[None], closing: asyncio.Task[bool]) -> None:
        quiet_s = _BEAT_S
        while not leaving.done() and not closing.done():
            self._after, event = self._streams.event(self._after)
            if event is None and quiet_s >= _BEAT_S:
                event = _BEAT
            quiet_s = 0.0 if event else quiet_s + _TICK_S
            if event:
                try:
                    async with asyncio.timeout(_STUCK_S):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
                except TimeoutError:
                    self._streams.dropped()
                    raise ConnectionAbortedError("a stream's reader took no bytes for too long") from None
            await asyncio.wait({leaving, closing}, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
        if closing.done() and not leaving.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
