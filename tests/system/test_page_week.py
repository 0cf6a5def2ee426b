"""More than a test's patience or machine holds, played to the page in seconds: a week of news, ten thousand motors."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.browser import Browser

pytestmark = pytest.mark.system

PAGE = ROOT / "service" / "page"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
MOTORS, ALERTS, BATCH = 50, 20_000, 500
"""A fleet that comes and goes, and an alert of it every half a minute, opened, noted and cleared."""
HEAP = "gc(); return [performance.memory.usedJSHeapSize, document.querySelectorAll('*').length]"
KEPT = (
    """return import("/page/picture.js").then(({ motors, alerts, notes }) => [motors.size, alerts.size, notes.size]);"""
)

SEEK = """
const began = performance.now(), search = document.querySelector("#search");
search.value = arguments[0];
search.dispatchEvent(new Event("input"));
return performance.now() - began;"""
MOTOR_HEARD = """return import("/page/picture.js").then(
  ({ motors }) => [...motors.keys()].find((id) => id.startsWith("guest-")));"""


def alert(number: int, state: str) -> dict[str, Any]:
    return {
        "id": f"a{number}",
        "motor": f"m{number % MOTORS}",
        "condition": "ball",
        "state": state,
        "revision": int(state == "clear"),
        "opened_ts_s": 1.8e9 + 30 * number,
        "ts_s": 1.8e9 + 30 * number + 10,
        "reason": f"Ball fault, number {number}, with a sentence as long as they are.",
    }


def motor(name: str, number: int) -> dict[str, Any]:
    health = {
        "state": "ok",
        "diagnosis": "healthy",
        "probabilities": {},
        "health": 0.9,
        "anomaly": 0.1 + number % 9 / 10,
    }
    return {"motor": name, "name": "", "clock": "wall", "availability": "online", "heard_ts_s": 1.8e9, "health": health}


def news(number: int, fleet: int) -> dict[str, Any]:
    numbers = range(number, number + BATCH)
    alerts = [alert(one, state) for one in numbers for state in ("open", "clear")]
    notes = [
        {"alert": f"a{one}", "kind": "comment", "by": "Ann", "text": "seen", "ts_s": 1.8e9 + one} for one in numbers
    ]
    # a motor is replaced by one of another name, again and again
    come, gone = f"guest-{number}", f"guest-{number - BATCH}"
    motors = [motor(f"m{one}", number) for one in range(fleet)] + [motor(come, number)]
    return {
        "ts_s": time.time(),
        "full": number == 0,
        "motors": motors,
        "alerts": alerts,
        "gone": [gone],
        "notes": notes,
    }


class Edge(ThreadingHTTPServer):
    """Serves the page and a stream that stops where ``until`` says; every other question is answered with nothing."""

    daemon_threads = True
    until = 0
    motors = MOTORS


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Edge

    def do_GET(self) -> None:
        """The page's files, or the stream."""
        path = self.path.partition("?")[0]
        if path == "/v1/stream":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the browser left
                self._stream()
            return
        file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
        known = path == "/" or path.startswith("/page/")
        body = file.read_bytes() if known else b'{"reasons": [], "alerts": [], "notes": [], "changes": false}'
        self.send_response(200)
        self.send_header("content-type", KINDS[file.suffix] if known else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        number = 0
        while True:
            if number < self.server.until:
                self.wfile.write(f"event: news\ndata: {json.dumps(news(number, self.server.motors))}\n\n".encode())
                number += BATCH
            else:
                self.wfile.write(b"event: beat\ndata:\n\n")
                time.sleep(0.1)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Silent."""


@pytest.fixture
def week() -> Iterator[Edge]:
    server = Edge(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_page_that_is_left_open_for_a_week_holds_no_more_than_after_an_hour(
    week: Edge, browse: Callable[[int, int], Browser]
) -> None:
    browser = browse(1280, 900)
    browser.open(f"http://127.0.0.1:{week.server_port}/")
    figures = []
    for until in (ALERTS // 10, ALERTS):
        week.until = until
        last = f"guest-{until - BATCH}"
        wait_until(lambda: last in browser.text("#fleet"), f"{until} alerts", 60.0)  # noqa: B023 - asked at once
        time.sleep(0.5)
        figures.append((browser.run(KEPT), browser.run(HEAP)))
    (kept, early), (later, late) = figures
    assert kept == later == [MOTORS + 1, 200, 200], figures
    assert late[1] == early[1], figures
    assert late[0] < 1.2 * early[0] + 1_000_000, figures


def test_ten_thousand_motors_neither_block_the_page_nor_hide_the_one_that_is_sought(
    week: Edge, browse: Callable[[int, int], Browser]
) -> None:
    week.motors = 10_000
    week.until = BATCH
    browser = browse(1280, 900)
    browser.open(f"http://127.0.0.1:{week.server_port}/")
    wait_until(lambda: "500 most urgent of 10001" in browser.text("#more"), "every motor", 60.0)
    took_ms = browser.run(SEEK, "m9876")
    assert browser.run("return document.querySelectorAll('#fleet li').length") == 1
    assert "m9876" in browser.text("#fleet")
    assert took_ms < 1000, took_ms
    week.until = 3 * BATCH  # every one of them says something new
    wait_until(lambda: browser.run(MOTOR_HEARD) == f"guest-{2 * BATCH}", "the news", 60.0)
    assert browser.run("return document.querySelectorAll('#fleet li').length") == 1
    assert browser.log() == []
