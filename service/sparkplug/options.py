"""Whether and as whom the edge speaks Sparkplug."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.table import Table


class SparkplugSettings(Table):
    """The edge as a Sparkplug B edge node, on a connection of its own."""

    on: Annotated[bool, Field(description="publish below spBv1.0/")] = False
    group: Annotated[str, Field(pattern=r"^[^/+#\x00]{1,64}$", description="the group id")] = "motortwin"
    interval_s: Annotated[float, Field(ge=0.05, le=3600, description="changes within it go as one message")] = 1.0
