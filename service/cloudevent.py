"""Alerts as CloudEvents 1.0: the context that goes beside them (https://github.com/cloudevents/spec)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.contract.messages import Alert

CONTENT_TYPE = "application/json"


def context(alert: Alert, node: str) -> dict[str, str]:
    """The attributes; ``source`` and ``id`` together name one message of one alert, however often it is sent."""
    return {
        "specversion": "1.0",
        "id": f"{alert.id}/{alert.revision}",
        "source": f"/motortwin/edge/{node}",
        "type": f"motortwin.alert.{alert.state}",
        "subject": f"{alert.motor}/{alert.condition}",
        "time": dt.datetime.fromtimestamp(alert.ts_s, dt.UTC).isoformat().replace("+00:00", "Z"),
    }
