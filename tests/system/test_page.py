"""The page in a real browser, and what stands behind it: the stream, the headers, clean errors."""

from __future__ import annotations

import json
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
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.system.browser import Browser
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=document.title='owned'>"
TILES = "return [...document.querySelectorAll('#fleet li')].map(li => [li.dataset.state, li.innerText])"


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
    assert browser.grave_violations() == []
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
