"""Every MQTT topic, built and parsed in one place.

::

    motortwin/v1/motor/{motor}/reading             in, one measurement window
    motortwin/v1/motor/{motor}/birth               in, retained: nameplate, bearing, sensors
    motortwin/v1/motor/{motor}/truth               the twin's own; the edge never subscribes to it
    motortwin/v1/motor/{motor}/health              out, retained
    motortwin/v1/motor/{motor}/alert/{condition}   out, retained
    motortwin/v1/motor/{motor}/availability        out, retained: is the sensor heard
    motortwin/v1/edge/{node}/availability          out, retained, last will: is the service alive
    motortwin/v1/edge/{node}/rejected              out: what was refused, why, and the remedy

Beside the edge an agent says ``motortwin/v1/edge/{node}/release``, retained, and looks when it hears ``desired``
(``deploy/RELEASE.md``).
"""

import re
from typing import Literal, get_args

ROOT = "motortwin/v1"

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""A motor or node id: 1-64 letters, digits, '_', '.', '-'; it can carry no topic separator and no wildcard."""

MotorTopic = Literal["reading", "birth", "truth", "health", "availability"]
NodeTopic = Literal["availability", "rejected"]

_id = re.compile(ID_PATTERN.replace("$", r"\Z"))
_motor = re.compile(rf"^{ROOT}/motor/([^/]*)/(.*)$", re.DOTALL)


def is_id(text: str) -> bool:
    """True for a text that may name a motor or an edge node."""
    return _id.match(text) is not None


def _checked(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"id {text!r} must match {ID_PATTERN}")
    return text


def motor(motor_id: str, kind: MotorTopic) -> str:
    """Topic of one motor; ``ValueError`` for an id that could inject a topic level."""
    return f"{ROOT}/motor/{_checked(motor_id)}/{kind}"


def alert(motor_id: str, condition: str) -> str:
    """Topic of one motor's alert for one condition."""
    return f"{ROOT}/motor/{_checked(motor_id)}/alert/{_checked(condition)}"


def node(node_id: str, kind: NodeTopic) -> str:
    """Topic of one edge node."""
    return f"{ROOT}/edge/{_checked(node_id)}/{kind}"


def every_motor(kind: MotorTopic) -> str:
    """Subscription filter for one kind of message of all motors."""
    return f"{ROOT}/motor/+/{kind}"


EVERY_ALERT = f"{ROOT}/motor/+/alert/+"
EVERY_NODE = f"{ROOT}/edge/+/+"


def parse_motor(topic: str) -> tuple[str, str] | None:
    """``(motor id, rest)`` of a motor's topic, None for any other topic. The id is not yet checked."""
    match = _motor.match(topic)
    return (match[1], match[2]) if match else None


MOTOR_TOPICS: tuple[str, ...] = get_args(MotorTopic)
NODE_TOPICS: tuple[str, ...] = get_args(NodeTopic)
