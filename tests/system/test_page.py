"""The page in a real browser, and what stands behind it: the stream, the headers, clean errors."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import codec, topics
from service.contract.messages import Birth, Nameplate
from tests.conftest import free_port
from tests.system.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.contract.messages import Reading
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=document.title='owned'>"
TILES = "return [...document.querySelectorAll('#fleet li')].map(li => [li.dataset.state, li.innerText])"


class Browser:
    """Headless Chromium over the WebDriver protocol."""

    def __init__(self, port: int, width: int, height: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        }
        metrics = {"width": width, "height": height, "pixelRatio": 1}
        options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = self._call("POST", "/session", {"capabilities": wanted})["sessionId"]

    def open(self, url: str) -> None:
        """Go to a page."""
        self._call("POST", f"/session/{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self._call("POST", f"/session/{self._session}/execute/sync", {"script": script, "args": []})

    def log(self) -> list[str]:
        """What the page complained of since the last call."""
        return [
            entry["message"] for entry in self._call("POST", f"/session/{self._session}/se/log", {"type": "browser"})
        ]

    def screenshot(self) -> bytes:
        """A PNG of the page."""
        return base64.b64decode(self._call("GET", f"/session/{self._session}/screenshot"))

    def close(self) -> None:
        """End the session."""
        self._call("DELETE", f"/session/{self._session}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._address + path, data, headers, method=method)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())["value"]


@pytest.fixture
def browse() -> Iterator[Callable[[int, int], Browser]]:
    """Makes browsers of a given width and height."""
    program = shutil.which("chromedriver")
    if program is None:
        pytest.skip("chromedriver is absent; apt-get install chromium-driver")
    port = free_port()
    driver = subprocess.Popen([program, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1):
                return True
        except OSError:
            return False

    wait_until(answers, "chromedriver")
    with contextlib.ExitStack() as stack:
        stack.callback(driver.wait, PATIENCE_S)
        stack.callback(driver.terminate)

        def make(width: int, height: int) -> Browser:
            browser = Browser(port, width, height)
            stack.callback(browser.close)
            return browser

        yield make


def failing(reading: Callable[..., Reading], seq: int) -> Reading:
    return reading(seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95})


def introduce_hostile(watcher: Watcher) -> None:
    plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)
    birth = Birth(motor="m1", ts_s=time.time(), name=HOSTILE, nameplate=plate, clock="simulated")
    watcher.publish(topics.motor("m1", "birth"), codec.encode_json(birth), retain=True)


def test_the_page_shows_a_fault_within_two_seconds_and_survives_a_restart(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], browse: Callable[[int, int], Browser]
) -> None:
    edge.set(MOTORTWIN_HTTP_PORT=str(free_port())).start()
    browser = browse(1280, 800)
    browser.open(edge.address)
    wait_until(lambda: "motors.ID" in browser.run("return document.body.innerText"), "the hint for an empty fleet")
    introduce_hostile(watcher)
    watcher.introduce("m2")
    watcher.send(reading("m2"), failing(reading, 0), failing(reading, 1))
    watcher.wait_for("motortwin/v1/motor/m1/alert/inner_race")
    wait_until(lambda: browser.run(TILES)[:1] and browser.run(TILES)[0][0] == "alarm", "the fault on the page", 2.0)
    wait_until(lambda: [state for state, _ in browser.run(TILES)] == ["alarm", "ok"], "the worst motor first")
    tiles = browser.run(TILES)
    assert "Inner race" in tiles[0][1]
    assert HOSTILE in tiles[0][1]
    assert "Inner race" in browser.run("return document.querySelector('#alerts').innerText")
    wait_until(lambda: browser.run("return document.title") == "(1) motortwin", "the count in the title", 2.0)
    assert browser.log() == []
    edge.stop()
    wait_until(lambda: browser.run("return document.querySelector('#link').dataset.state") == "lost", "the loss")
    edge.start()
    wait_until(lambda: browser.run("return document.querySelector('#link').dataset.state") == "live", "live again")
    watcher.send(*(reading(seq=seq) for seq in range(2, 8)))
    wait_until(lambda: [state for state, _ in browser.run(TILES)] == ["ok", "ok"], "the fault gone")


def test_the_page_fits_a_phone(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], browse: Callable[[int, int], Browser]
) -> None:
    introduce_hostile(watcher)
    edge.start()
    watcher.send(failing(reading, 0), failing(reading, 1))
    browser = browse(360, 740)
    browser.open(edge.address)
    wait_until(lambda: browser.run(TILES)[:1] and browser.run(TILES)[0][0] == "alarm", "the fault on the page")
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    assert browser.screenshot().startswith(b"\x89PNG")


def test_the_stream_sends_the_whole_picture_and_then_what_changed(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    watcher.introduce("m2")
    edge.start()
    watcher.send(reading())
    watcher.wait_for("motortwin/v1/motor/m1/health")
    with urllib.request.urlopen(edge.address + "/v1/stream", timeout=PATIENCE_S) as stream:  # noqa: S310 - our own
        assert stream.headers["content-type"].startswith("text/event-stream")

        def news() -> dict[str, Any]:
            while True:
                line = stream.readline()
                if line.startswith(b"data: "):
                    body: dict[str, Any] = json.loads(line[6:])
                    return body

        first = news()
        assert first["full"]
        assert [motor["motor"] for motor in first["motors"]] == ["m1", "m2"]
        watcher.send(failing(reading, 1), failing(reading, 2))
        alerts: list[Any] = []
        while not alerts:
            later = news()
            assert not later["full"]
            assert [motor["motor"] for motor in later["motors"]] == ["m1"]
            alerts = later["alerts"]
        assert alerts[0]["condition"] == "inner_race"
        watcher.publish("motortwin/v1/motor/m2/birth", b"", retain=True)
        while not later["gone"]:
            later = news()
        assert later["gone"] == ["m2"]
        assert edge.metric("motortwin_streams") == 1
        assert edge.stop() == 0


def test_streams_are_limited_and_their_end_is_noticed(edge: Edge) -> None:
    edge.set(MOTORTWIN_HTTP_MAX_STREAMS="1").start()
    with urllib.request.urlopen(edge.address + "/v1/stream", timeout=PATIENCE_S):  # noqa: S310 - our own
        status, body = edge.answer("/v1/stream")
        assert status == 503
        assert json.loads(body)["error"]["code"] == "too_many_streams"
    wait_until(lambda: edge.metric("motortwin_streams") == 0, "the reader's end to be noticed")


def test_every_answer_is_shielded_and_errors_are_clean_json(edge: Edge) -> None:
    edge.start()
    for path in ("/", "/page/app.js", "/v1/motors", "/metrics", "/nowhere"):
        request = urllib.request.Request(edge.address + path)  # noqa: S310 - our own
        try:
            answer = urllib.request.urlopen(request, timeout=5.0)  # noqa: S310 - our own
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"], path
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert answer.headers["server"] is None, path
    for path, status, code in (
        ("/nowhere", 404, "not_found"),
        ("/v1/motors/nobody", 404, "unknown_motor"),
        ("/v1/alerts?cleared=perhaps", 422, "invalid"),
        ("/page/../settings.py", 404, "not_found"),
        ("/docs", 404, "not_found"),
    ):
        got, body = edge.answer(path)
        error = json.loads(body)["error"]
        assert (got, error["code"]) == (status, code), path
        assert error["remedy"], path
    request = urllib.request.Request(edge.address + "/v1/motors", data=b"x" * 100_000, method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5.0)  # noqa: S310 - our own
    with refused.value:
        assert refused.value.code == 413
        assert json.loads(refused.value.read())["error"]["code"] == "too_large"
