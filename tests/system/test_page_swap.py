"""Another bundle is brought into use, and called off, on the page of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.service.swap.conftest import with_report
from tests.system.conftest import wait_until
from tests.system.test_page_views import post
from tests.system.test_swap import TOKEN, feed, press, trusting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Broker
    from tests.service.swap.conftest import Press
    from tests.system.browser import Browser
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system
__all__ = ["press", "trusting"]

FILL = """
const form = document.querySelector("#swap-form");
form.elements.bundle.value = arguments[0];
form.elements.token.value = arguments[1];
form.querySelector("button[type=submit]").click();
"""
BACK = "document.querySelector('#earlier button').click()"
LABEL = "const button = document.querySelector('#rollback'); return button.hidden ? '' : button.textContent"


def test_a_bundle_is_swapped_and_called_off_on_the_page(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker, browse: Callable[[int, int], Browser]
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_SWAP_SOAK_S="60", MOTORTWIN_SWAP_MIN_READINGS="20").start()
    with_report(press(2, to=trusting.data / "bundles" / "offered" / "mine"), press.key)
    browser = browse(1200, 900)
    browser.open(trusting.address + "/#/models")
    wait_until(lambda: not browser.run("return document.querySelector('#swap-form').hidden"), "the form")
    assert "no report of a gate came with this bundle" in browser.text("#gate")
    browser.run(FILL, "mine", "wrong-token-wrong-token")
    wait_until(lambda: "token" in browser.text("#swap-trouble"), "the refusal of the token")
    browser.run(FILL, "<b>nobody</b>", TOKEN)
    wait_until(lambda: browser.text("#swap-trouble").startswith("Not done: "), "the refusal of the name")
    assert trusting.json("/v1/model")["candidate"] is None
    traffic = feed(broker.port)
    try:
        browser.run(FILL, "mine", TOKEN)
        wait_until(lambda: trusting.json("/v1/model")["version"] == 2, "the swap", timeout_s=30.0)
        # the page follows by itself
        wait_until(lambda: browser.run(LABEL) == "Roll back version 2", "the button")
        assert "Passed" in browser.text("#gate-summary")
        browser.run("document.querySelector('#gate-all').open = true")
        cells = browser.text("#gate-figures").split("\t")
        assert cells == ["Inner race: found", "0.921", "0.941", "+0.0197 [+0.001, +0.04]", "better"]
        assert browser.grave_violations() == []
        browser.run("document.querySelector('#rollback').click()")
        wait_until(lambda: trusting.json("/v1/model")["version"] == 1, "the old bundle")
        wait_until(lambda: "Called off" in browser.text("#candidate"), "the page that says so")
        assert "Called off tiny, version 2" in browser.text("#ended")
        assert "passed against champion aaaaaaaaaaaa: of 1 figures 1 better" in browser.text("#candidate")
    finally:
        traffic.stop()
    assert browser.grave_violations() == []
    assert browser.run("return document.querySelector('#rollback').hidden")


def test_a_committed_bundle_is_left_on_the_page_and_stays_left_after_a_power_cut(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker, browse: Callable[[int, int], Browser]
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_SWAP_SOAK_S="0.5", MOTORTWIN_SWAP_MIN_READINGS="20").start()
    first = trusting.json("/v1/model")["digest"]
    press(2, to=trusting.data / "bundles" / "incoming" / "two")
    traffic = feed(broker.port)
    try:
        wait_until(lambda: trusting.json("/v1/model")["earlier"], "the commitment", timeout_s=30.0)
    finally:
        traffic.stop()
    url = trusting.address + "/v1/model/back"
    for body, token, status in (
        ({"digest": first}, None, 401),
        ({"digest": first}, "wrong-token-wrong-token", 401),
        ({"digest": "<script>"}, TOKEN, 422),
        ({"digest": "0" * 12}, TOKEN, 404),
        ({"digest": trusting.json("/v1/model")["digest"]}, TOKEN, 409),
    ):
        assert post(url, body, token)[0] == status, body
    browser = browse(1200, 900)
    browser.open(trusting.address + "/#/models")
    wait_until(lambda: "Go back to version 1" in browser.text("#earlier"), "the button")
    browser.run("document.querySelector('#swap-form').elements.token.value = arguments[0]", TOKEN)
    browser.run(BACK)
    assert "Sure?" in browser.text("#earlier")
    assert trusting.json("/v1/model")["version"] == 2
    assert browser.grave_violations() == []
    browser.run(BACK)
    wait_until(lambda: "Go back to version 2" in browser.text("#earlier"), "the way forward again")
    assert "gone back to tiny version 1" in browser.text("#ended")
    assert trusting.metric('motortwin_swaps_total{result="rolled_back"}') == 1.0
    trusting.kill()
    trusting.start()
    model = trusting.json("/v1/model")
    assert (model["digest"], [one["version"] for one in model["earlier"]]) == (first, [2])
    assert [one["bundle"]["phase"] for one in model["ended"]] == ["rolled_back", "committed"]


def test_without_a_token_the_page_says_how_to_get_one(edge: Edge, browse: Callable[[int, int], Browser]) -> None:
    edge.start()
    browser = browse(360, 740)
    browser.open(edge.address + "/#/models")
    wait_until(lambda: "MOTORTWIN_HTTP_TOKEN_FILE" in browser.text("#swap-off"), "the remedy")
    assert browser.run("return document.querySelector('#swap-form').hidden")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
