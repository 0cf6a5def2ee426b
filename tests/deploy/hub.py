"""The comments of one pull request, behind as much of GitHub's interface as a report needs."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hub(BaseHTTPRequestHandler):
    """The comments of one pull request."""

    comments: list[dict[str, Any]]
    tokens: list[str]
    refuse = False

    def do_GET(self) -> None:
        """A page of them."""
        page = int(self.path.rsplit("page=", 1)[1])
        self._answer(self.comments[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        """A new one."""
        self.comments.append({"id": len(self.comments) + 1, **self._body()})
        self._answer({"html_url": f"comment {len(self.comments)}"})

    def do_PATCH(self) -> None:
        """One renewed."""
        number = int(self.path.rsplit("/", 1)[1])
        self.comments[number - 1] |= self._body()
        self._answer({"html_url": f"comment {number}"})

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, document: Any) -> None:
        self.tokens.append(self.headers["Authorization"])
        raw = json.dumps(document).encode()
        self.send_response(403 if self.refuse else 200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextlib.contextmanager
def serving() -> Iterator[tuple[type[Hub], str]]:
    """A server of its own and its address."""
    handler = type("OneHub", (Hub,), {"comments": [], "tokens": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
