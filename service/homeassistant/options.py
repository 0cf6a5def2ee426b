"""Whether Home Assistant is told of the motors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.table import Table


class HomeAssistantSettings(Table):
    """Whether Home Assistant is told of the motors."""

    discovery: Annotated[
        Literal["off", "on", "remove"], Field(description="remove: take back what an earlier 'on' has told the broker")
    ] = "off"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = "homeassistant"
