"""Which sites are in which wave: a JSON file that a person keeps.

``{"brokers": [{"url": "mqtts://plant-a:8883", "username": "viewer", "password_file": "a.txt"}],
"waves": [{"name": "canary", "sites": ["plant-a"]}, ...]}``; a site is the ``AGENT_NODE`` of its agent.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads annotations at run time
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
MAX_BYTES = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Broker(_Part):
    """One broker that agents speak to."""

    url: Annotated[str, Field(pattern=r"^mqtts?://[^/@\s]+$")]
    username: str = ""
    password_file: Path | None = None
    ca: Path | None = None


class Wave(_Part):
    """Sites that take a release at the same time.

    Attributes:
        name: the tag that their agents follow.
        sites: their names.
        patience_s: all must have come to an end by then.
        may_fail: as many may fail without stopping the rollout.
    """

    name: Name
    sites: Annotated[tuple[Name, ...], Field(min_length=1)]
    patience_s: Annotated[float, Field(gt=0.0)] = 6 * 3600.0
    may_fail: Annotated[int, Field(ge=0)] = 0


class Plan(_Part):
    """The whole of it, first wave first."""

    brokers: Annotated[tuple[Broker, ...], Field(min_length=1)]
    waves: Annotated[tuple[Wave, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        sites = [site for wave in self.waves for site in wave.sites]
        for what, names in (("site", sites), ("wave", [wave.name for wave in self.waves])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]} stands there twice")
        return self


def read(path: Path) -> Plan:
    """The plan in a file; ``ValueError`` with one line, or ``OSError``."""
    raw = path.read_bytes()
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{path}: more than {MAX_BYTES} bytes")
    try:
        return Plan.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise ValueError(f"{path}: {where}: {first['msg'][:200]}") from error
