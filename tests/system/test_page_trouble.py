"""What the page says when something is wrong: an edge that is gone or stands still, a clock that is off."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.conftest import free_port
from tests.system.conftest import wait_until
from tests.system.test_page_views import T0_S, introduce

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.system.browser import Browser
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system


def test_an_unknown_motor_and_a_lost_edge_are_told_in_words(edge: Edge, browse: Callable[[int, int], Browser]) -> None:
    edge.start()
    browser = browse(1280, 900)
    browser.open(edge.address + "/#/motor/nobody")
    wait_until(lambda: "No motor of this id" in browser.text("#unknown"), "the hint, once the picture has come")
    edge.kill()
    wait_until(lambda: "connection lost" in browser.text("#link"), "the loss")
    assert "is as of" in browser.text("#stale")
    assert browser.grave_violations() == []


@pytest.mark.parametrize("how", ["stands still", "dies"])
def test_the_page_tells_that_it_is_stale_and_recovers_by_itself(
    how: str, edge: Edge, watcher: Watcher, browse: Callable[[int, int], Browser]
) -> None:
    introduce(watcher, name="Pump 1")
    edge.set(MOTORTWIN_HTTP_PORT=str(free_port())).start()
    browser = browse(1280, 900)
    browser.open(edge.address)
    wait_until(lambda: "Pump 1" in browser.text("#fleet"), "the motor")
    assert browser.run("return document.querySelector('#stale').hidden")
    assert edge.process is not None
    if how == "dies":
        edge.kill()
    else:  # no connection ends, nothing comes any more: as when a cable is pulled
        edge.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "Connection lost: what stands here is as of" in browser.text("#stale"), "that it is stale")
    assert "Pump 1" in browser.text("#fleet")
    if how == "dies":
        browser.run("location.hash = '#/models'")
        wait_until(lambda: "the edge does not answer" in browser.text("#models-trouble"), "what is wrong")
    if how == "dies":
        watcher.introduce("m2")
        edge.start()
    else:
        edge.process.send_signal(signal.SIGCONT)
        watcher.introduce("m2")
    if how == "dies":
        wait_until(lambda: "tiny" in browser.text("#bundle"), "the models by themselves")
        assert browser.run("return document.querySelector('#models-trouble').hidden")
        browser.run("location.hash = '#/'")
    wait_until(lambda: "m2" in browser.text("#fleet"), "what happened meanwhile")
    assert browser.text("#link") == "live"
    assert browser.run("return document.querySelector('#stale').hidden")


def test_a_clock_two_hours_off_is_said_and_times_stay_the_edges(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], browse: Callable[[int, int], Browser]
) -> None:
    introduce(watcher, name="Pump 1")
    edge.start()
    browser = browse(360, 740)
    browser.open(edge.address)
    wait_until(lambda: "Pump 1" in browser.text("#fleet"), "the motor")
    assert browser.run("return document.querySelector('#clock').hidden")
    browser.run("const now = Date.now; Date.now = () => now() - 7200000")
    watcher.send(reading("m1", ts_s=T0_S))
    wait_until(lambda: "2.0 h behind the edge's" in browser.text("#clock"), "what is wrong with the clock")
    assert "h ago" not in browser.text("#fleet")
    assert browser.grave_violations() == []
