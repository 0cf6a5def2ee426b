"""Settings from the environment, each ``AGENT_`` and the field's name."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "AGENT_"


@dataclass(frozen=True, slots=True)
class Settings:
    """What to follow, and for whom."""

    registry: str
    keys: str
    wave: str = "rest"
    node: str = "edge"
    edge_url: str = "http://127.0.0.1:8080"
    edge_data: str = "/data"
    data: str = "/agent"
    poll_s: float = 60.0
    wait_s: float = 4 * 3600.0
    registry_user: str = ""
    registry_password_file: str = ""
    mqtt_url: str = ""
    mqtt_username: str = ""
    mqtt_password_file: str = ""
    mqtt_ca: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    engine: str = ""
    container: str = "motortwin-edge-1"
    soak_s: float = 600.0
    soak_max_s: float = 7200.0
    ready_s: float = 90.0
    min_readings: int = 200

    @property
    def key_files(self) -> list[Path]:
        """Files of pinned public keys, separated by commas."""
        return [Path(name.strip()) for name in self.keys.split(",") if name.strip()]


def load(environment: Mapping[str, str]) -> Settings:
    """The settings; ``ValueError`` with one line that names the variable."""
    known = {f"{PREFIX}{field.name.upper()}": field for field in fields(Settings)}
    unknown = [name for name in environment if name.startswith(PREFIX) and name not in known]
    if unknown:
        raise ValueError(f"{min(unknown)}: unknown; known are {', '.join(known)}")
    given: dict[str, object] = {}
    for name, field in known.items():
        text = environment.get(name, "")
        if not text:
            if field.name in ("registry", "keys"):
                raise ValueError(f"{name} is missing")
            continue
        try:
            given[field.name] = {"float": float, "int": int}.get(str(field.type), str)(text)
        except ValueError:
            raise ValueError(f"{name}={text[:40]!r} is no number") from None
    settings = Settings(**given)  # type: ignore[arg-type]
    names = (("NODE", settings.node), ("WAVE", settings.wave), ("CONTAINER", settings.container))
    for name, text in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
            raise ValueError(f"{PREFIX}{name}={text[:40]!r}: letters, digits, '_', '.', '-'")
    for name in ("poll_s", "wait_s", "soak_s", "soak_max_s", "ready_s", "min_readings"):
        if not getattr(settings, name) > 0:
            raise ValueError(f"{PREFIX}{name.upper()} must be above 0")
    return settings
