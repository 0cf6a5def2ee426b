"""The JSON that the other side reads. Whatever a motor calls itself stays text: no markup, no links, no mentions.

Slack: incoming webhooks, Block Kit. Teams: a workflow's "webhook request received", Adaptive Card 1.4. Alertmanager:
``POST /api/v2/alerts``, an array; its ``endsAt`` ends an alert by itself unless it is told again in time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from service import cloudevent
from service.contract.faults import ANOMALY
from service.notices import wording
from service.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.notices.notice import Notice, Origin
    from service.notices.options import WebhookFormat

JSON = "application/json"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")
_ACCENTS = {"open": "attention", "update": "warning", "clear": "good"}
_EXPIRES_AFTER = 4  # repetitions that may be lost before an alert ends by itself; Prometheus takes the same


def encode(
    form: WebhookFormat, notices: Sequence[Notice], origin: Origin, now_ts_s: float, repeat_s: float
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one request; all formats but ``alertmanager`` tell one notice at a time."""
    headers = {"content-type": JSON, "user-agent": f"motortwin/{VERSION}"}
    if form == "alertmanager":
        return to_json([_alertmanager(one, origin, now_ts_s, repeat_s) for one in notices]), headers
    (notice,) = notices
    if form == "cloudevents":
        context = cloudevent.context(notice.alert, origin.node)
        return to_json(notice.alert), headers | {f"ce-{name}": text for name, text in context.items()}
    shapes = {"generic": _generic, "slack": _slack, "teams": _teams}
    return to_json(shapes[form](notice, origin)), headers


def _generic(notice: Notice, origin: Origin) -> dict[str, Any]:
    return {
        "version": 1,
        "title": wording.title(notice),
        "node": origin.node,
        "motor": {"id": notice.alert.motor, "name": notice.name},
        "alert": notice.alert,
        "page": origin.link(notice.alert.motor),
    }


def _slack(notice: Notice, origin: Origin) -> dict[str, Any]:
    def plain(text: str, limit: int) -> dict[str, Any]:
        return {"type": "plain_text", "text": text[:limit], "emoji": False}

    facts = [plain(f"{label}: {text}", 2000) for label, text in wording.facts(notice, origin).items()]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": plain(wording.title(notice), 150)},
        {"type": "section", "text": plain(notice.alert.reason, 3000)},
        {"type": "section", "fields": facts},
    ]
    link = origin.link(notice.alert.motor)
    if link is not None:
        button = {"type": "button", "text": plain("Open the motor", 75), "url": link, "action_id": "open"}
        blocks.append({"type": "actions", "elements": [button]})
    # the fallback for notifications is markup, where three characters would be more than text
    fallback = wording.title(notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": fallback, "blocks": blocks}


def _teams(notice: Notice, origin: Origin) -> dict[str, Any]:
    def block(text: str, **look: Any) -> dict[str, Any]:
        return {"type": "TextBlock", "text": _plain(text), "wrap": True, **look}

    facts = [{"title": label, "value": _plain(text)} for label, text in wording.facts(notice, origin).items()]
    accent = _ACCENTS[notice.alert.state]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            block(wording.title(notice), weight="bolder", size="medium", color=accent),
            block(notice.alert.reason),
            {"type": "FactSet", "facts": facts},
        ],
    }
    link = origin.link(notice.alert.motor)
    if link is not None:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the motor", "url": link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _alertmanager(notice: Notice, origin: Origin, now_ts_s: float, repeat_s: float) -> dict[str, Any]:
    """Labels name the alert and never change over its life; what changes are the annotations."""
    alert = notice.alert
    document = {
        "labels": {
            "alertname": "MotorAnomaly" if alert.condition == ANOMALY else "MotorFault",
            "motor": alert.motor,
            "condition": alert.condition,
            "severity": "warning" if alert.condition == ANOMALY else "critical",
            "node": origin.node,
            "alert": alert.id,
        },
        "annotations": {"summary": wording.title(notice), "description": alert.reason},
        # a simulated clock may be ahead, and Alertmanager refuses what ends before it begins
        "startsAt": wording.moment(min(alert.opened_ts_s, now_ts_s - 1.0)),
        "endsAt": wording.moment(now_ts_s if alert.state == "clear" else now_ts_s + _EXPIRES_AFTER * repeat_s),
    }
    link = origin.link(alert.motor)
    return document if link is None else document | {"generatorURL": link}


def _plain(text: str) -> str:
    """Text that an Adaptive Card's Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", text)
