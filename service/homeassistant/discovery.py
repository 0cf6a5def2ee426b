"""Home Assistant finds the motors by itself: one retained discovery message a motor, in the device form.

The form is that of https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (since 2024.11). Entities
read the topics that are published anyway; ``None`` is the state that Home Assistant shows as unknown.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from service.contract import topics
from service.contract.faults import ANOMALY, HEALTHY, Fault
from service.version import VERSION

if TYPE_CHECKING:
    from service.homeassistant.options import HomeAssistantSettings
    from service.monitor import Profile
    from service.mqtt import Link

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")


class Discovery:
    """Keeps the broker's discovery messages as they should be; one thread owns it."""

    def __init__(self, link: Link, settings: HomeAssistantSettings, node: str, public_url: str | None) -> None:
        self._link = link
        self._settings = settings
        self._node = node
        self._public_url = public_url

    def introduce(self, profile: Profile) -> None:
        """A motor is known, or known better. It is said again with every new connection, so QoS 0 will do."""
        wanted = self._settings.discovery == "on"
        for topic in self.topics(profile.motor):
            self._link.publish(topic, document(profile, self._node, self._public_url) if wanted else b"", retain=True)

    def topics(self, motor: str) -> list[str]:
        """What the broker retains of a motor on Home Assistant's behalf; nothing where it is off."""
        return (
            [] if self._settings.discovery == "off" else [f"{self._settings.prefix}/device/{object_id(motor)}/config"]
        )


def object_id(motor: str) -> str:
    """An id in Home Assistant's alphabet, which has no dot; unlike motors get unlike ids."""
    plain = _NOT_ALLOWED.sub("_", motor)
    return f"motortwin_{plain}" if plain == motor else f"motortwin_{plain}-{zlib.crc32(motor.encode()):08x}"


def document(profile: Profile, node: str, public_url: str | None) -> bytes:
    """The discovery message of one motor."""
    motor, own_id = profile.motor, object_id(profile.motor)
    health, edge = topics.motor(motor, "health"), _availability(topics.node(node, "availability"))
    heard = _availability(topics.motor(motor, "availability"))
    entities = {
        "health": _number("Health", "health", scale=100, unit="%", display=0),
        "rul": _number("Life left", "rul_h", unit="h", device_class="duration", display=0),
        "severity": _number("Severity", "severity", scale=100, unit="%", display=0, category="diagnostic"),
        "anomaly": _number("Anomaly score", "anomaly", display=2, category="diagnostic"),
        "diagnosis": {
            **_entity("sensor", "Diagnosis", "{{ value_json.diagnosis }}"),
            "device_class": "enum",
            "options": [HEALTHY, ANOMALY, *Fault],
        },
        "alert": {
            **_entity("binary_sensor", "Alert", "{{ 'ON' if value_json.state == 'alarm' else 'OFF' }}"),
            "device_class": "problem",
        },
    }
    components: dict[str, dict[str, Any]] = {
        name: {**entity, "state_topic": health, "availability": [edge, heard], "availability_mode": "all"}
        for name, entity in entities.items()
    }
    # whether the sensor is heard must be told also, and above all, when it is not
    components["availability"] = {
        **_entity("binary_sensor", "Sensor", "{{ 'ON' if value_json.state == 'online' else 'OFF' }}"),
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topics.motor(motor, "availability"),
        "availability": [edge],
    }
    for name, component in components.items():
        component["unique_id"] = f"{own_id}_{name}"
    device = {
        "identifiers": [own_id],
        "name": profile.name or motor,
        "manufacturer": "motortwin",
        "model": "Motor",
        "serial_number": motor,
    }
    if public_url is not None:
        device["configuration_url"] = f"{public_url.rstrip('/')}/#/motor/{motor}"
    return to_json(
        {"device": device, "origin": {"name": "motortwin", "sw_version": VERSION}, "components": components, "qos": 1}
    )


def _availability(topic: str) -> dict[str, str]:
    return {
        "topic": topic,
        "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _entity(platform: str, name: str, template: str) -> dict[str, Any]:
    return {"platform": platform, "name": name, "value_template": template}


def _number(
    name: str,
    field: str,
    *,
    scale: int = 1,
    unit: str | None = None,
    device_class: str | None = None,
    display: int,
    category: str | None = None,
) -> dict[str, Any]:
    value = f"value_json.{field}" if scale == 1 else f"(value_json.{field} * {scale}) | round(2)"
    entity: dict[str, Any] = {
        # a field that is missing is left out of the message
        **_entity("sensor", name, f"{{{{ {value} if value_json.{field} is number else None }}}}"),
        "state_class": "measurement",
        "suggested_display_precision": display,
    }
    known = {"unit_of_measurement": unit, "device_class": device_class, "entity_category": category}
    return entity | {key: value for key, value in known.items() if value is not None}
