"""Around every answer: security headers; around every request: limits on its size, its client's rate and guesses.

Who has shown too many wrong tokens is refused, whatever token comes next, until its bucket has filled a little. Health
is asked by machines that must get an answer: it is never limited.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from service.api.bucket import Buckets, name_of
from service.api.documents import Failure, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.metrics import Metrics
    from service.settings import HttpSettings

MAX_BODY_BYTES = 65_536
MAX_TENSOR_BYTES = 4 * 2**20
"""Of an inference: a full batch of windows, as text."""
_UNAUTHORIZED = 401
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def is_protocol(path: str) -> bool:
    """Whether an address belongs to the Open Inference Protocol, whose errors have a form of their own."""
    return path == "/v2" or path.startswith("/v2/")


def failure(status: int, code: str, message: str, remedy: str) -> Response:
    """An error answer in the API's one form."""
    body = Failure(error=Problem(code=code, message=message, remedy=remedy)).model_dump_json()
    return Response(body, status, media_type="application/json", headers={"cache-control": "no-store"})


class Shield:
    """ASGI middleware. A body that is declared, or grows, too large is answered with 413 and not read on.

    A client that asks too often, or guesses, is answered with 429 and told how long to wait.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings, metrics: Metrics) -> None:
        self._app = app
        self._requests = Buckets(settings.rate_per_s, settings.burst) if settings.rate_per_s > 0.0 else None
        self._guesses = Buckets(settings.guesses_per_min / 60.0, settings.guesses)
        self._limited = metrics.http_limited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        client = name_of(scope["client"][0]) if scope.get("client") else ""
        shows_token = any(name == b"authorization" for name, _ in scope["headers"])

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                if shows_token and message["status"] == _UNAUTHORIZED:
                    self._guesses.take(client, time.monotonic())
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope["path"], client, shows_token=shows_token)
        if refused is not None:
            await refused(scope, receive, send_shielded)
            return
        limit = MAX_TENSOR_BYTES if scope["path"].startswith("/v2/models/") else MAX_BODY_BYTES
        if _declared(scope, limit) > limit:
            await _too_large(scope["path"], limit)(scope, receive, send_shielded)
            return
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:  # chunked and longer than allowed: to the application the client has left
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, receive_limited, send_shielded)

    def _refusal(self, path: str, client: str, *, shows_token: bool) -> Response | None:
        """Why this client is not heard now, or None."""
        now_s = time.monotonic()
        if path.startswith("/health/"):
            return None
        wait_s = self._requests.take(client, now_s) if self._requests is not None else 0.0
        if wait_s > 0.0:
            self._limited["rate"].inc()
            return _too_many(path, "this client asks too often", wait_s)
        wait_s = self._guesses.wait_s(client, now_s) if shows_token else 0.0
        if wait_s > 0.0:
            self._limited["token"].inc()
            return _too_many(path, "this client has shown too many wrong tokens", wait_s)
        return None


def _too_many(path: str, text: str, wait_s: float) -> Response:
    wait = math.ceil(wait_s)
    remedy = f"ask again in {wait} s"
    if is_protocol(path):
        answer = Response(json.dumps({"error": f"{text}; {remedy}"}), 429, media_type="application/json")
    else:
        answer = failure(429, "too_many", text, remedy)
    answer.headers["retry-after"] = str(wait)
    return answer


def _too_large(path: str, limit: int) -> Response:
    text = f"the body exceeds {limit} bytes"
    if is_protocol(path):
        return Response(json.dumps({"error": f"{text}; send less at once"}), 413, media_type="application/json")
    return failure(413, "too_large", text, "send less at once")


def _declared(scope: Scope, limit: int) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else limit + 1
    return 0
