"""What the other side reads: each format by its own rules, whatever a motor calls itself."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from service.notices import formats, signature, wording
from service.notices.notice import Notice, Origin, wanted
from service.notices.options import WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Alert

ORIGIN = Origin("hall-3", "https://edge.plant:8443/")
EVIL = "<!channel> [pay](https://evil.example) *now* & <script>\n\x1b[31m"
NOW_S = 1_900_000_000.0


@pytest.fixture
def notice(alert: Callable[..., Alert]) -> Callable[..., Notice]:
    def make(name: str = "Press 4", **fields: Any) -> Notice:
        return Notice(alert(**({"severity": 0.42, "rul_h": 76.4} | fields)), name)

    return make


def encoded(form: Any, *notices: Notice) -> tuple[Any, dict[str, str]]:
    body, headers = formats.encode(form, notices, ORIGIN, NOW_S, 60.0)
    return json.loads(body), headers


def test_a_title_names_what_happened_to_which_motor(notice: Callable[..., Notice]) -> None:
    assert wording.title(notice()) == "Alert: Press 4 (m1): ball fault"
    assert wording.title(notice("", state="clear", condition="anomaly")) == "Cleared: m1: unlike healthy motors"
    assert "\n" not in wording.title(notice(EVIL))


def test_generic_says_everything_once(notice: Callable[..., Notice]) -> None:
    body, headers = encoded("generic", notice())
    assert headers["content-type"] == "application/json"
    assert body["alert"]["id"] == "m1:ball:1"
    assert (body["node"], body["motor"]) == ("hall-3", {"id": "m1", "name": "Press 4"})
    assert body["page"] == "https://edge.plant:8443/#/motor/m1"


def test_a_cloudevent_is_read_by_the_cloudevents_library(notice: Callable[..., Notice]) -> None:
    body, headers = formats.encode("cloudevents", [notice()], ORIGIN, NOW_S, 60.0)
    event = from_http_event(HTTPMessage(headers, body))
    assert (event.get_type(), event.get_source()) == ("motortwin.alert.open", "/motortwin/edge/hall-3")
    assert (event.get_id(), event.get_subject()) == ("m1:ball:1/0", "m1/ball")
    assert event.get_time().timestamp() == notice().alert.ts_s
    assert event.get_data()["reason"] == "because"


def test_slack_gets_blocks_within_its_limits_and_no_mentions(notice: Callable[..., Notice]) -> None:
    body, _ = encoded("slack", notice(EVIL, reason="r" * 400))
    header, reason, facts, actions = body["blocks"]
    texts = [header["text"], reason["text"], *facts["fields"]]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert len(header["text"]["text"]) <= 150
    assert len(facts["fields"]) <= 10
    assert actions["elements"][0]["url"] == "https://edge.plant:8443/#/motor/m1"
    assert "<" not in body["text"]


def test_teams_gets_an_adaptive_card_whose_texts_hold_no_markup(notice: Callable[..., Notice]) -> None:
    body, _ = encoded("teams", notice(EVIL))
    (attachment,) = body["attachments"]
    card = attachment["content"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    title = card["body"][0]["text"]
    assert "](https" not in title
    assert r"\[pay\]\(https" in title
    assert {"title": "Life left", "value": "about 76 h"} in card["body"][2]["facts"]


def test_alertmanager_labels_stay_the_same_from_open_to_clear(notice: Callable[..., Notice]) -> None:
    (opened, cleared), _ = encoded("alertmanager", notice(), notice(state="clear", revision=3, severity=0.9))
    assert opened["labels"] == cleared["labels"]
    assert opened["labels"]["condition"] == "ball"
    assert opened["startsAt"] < opened["endsAt"]
    assert cleared["endsAt"] == "2030-03-17T17:46:40Z"


def test_a_signature_is_verified_by_the_standard_webhooks_library(notice: Callable[..., Notice]) -> None:
    import time

    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    body, _ = formats.encode("generic", [notice()], ORIGIN, NOW_S, 60.0)
    headers = signature.headers(secret, notice().key, time.time(), body)
    assert Verifier(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"because", b"becausE"), headers)


@pytest.mark.parametrize(
    ("fields", "takes"),
    [
        ({}, True),
        ({"conditions": ("ball",)}, True),
        ({"conditions": ("cage",)}, False),
        ({"motors": ("m*",)}, True),
        ({"motors": ("hall-3.*", "m2")}, False),
    ],
)
def test_a_route_takes_the_conditions_and_motors_it_names(
    notice: Callable[..., Notice], fields: dict[str, Any], takes: bool
) -> None:
    assert wanted(notice().alert, WebhookSettings(url="http://h/", **fields)) is takes
