"""Around every answer: security headers; around every request: a limit on its size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from service.api.documents import Failure, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 65_536
MAX_TENSOR_BYTES = 4 * 2**20
"""Of an inference: a full batch of windows, as text."""
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
    """ASGI middleware. A body that is declared, or grows, too large is answered with 413 and not read on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

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
