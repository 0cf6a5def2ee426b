"""Alerts as CloudEvents 1.0: the context that goes beside them (https://github.com/cloudevents/spec)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pydantic import ValidationError

from service.contract.messages import Alert

if TYPE_CHECKING:
    from collections.abc import Callable


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


def headers(node: str, *, wanted: bool) -> Callable[[bytes], dict[str, str] | None]:
    """What makes the attributes of an alert message as it waits to be published; None where none go along."""

    def made(payload: bytes) -> dict[str, str] | None:
        try:
            return context(Alert.model_validate_json(payload), node) if wanted else None
        except ValidationError:  # stored by another release
            return None

    return made
