"""What the edge says besides alerts: health, availability, rejections. Telemetry: said now or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from service.contract import codec, topics
from service.contract.messages import MotorAvailability, NodeAvailability
from service.rejections import Rejections
from service.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.codec import Refused
    from service.homeassistant.discovery import Discovery
    from service.monitor import Profile
    from service.mqtt import Link


def node_availability(node: str, state: Literal["online", "offline"], model: str) -> bytes:
    """The node's availability as it is published, now."""
    return codec.encode_json(NodeAvailability(node=node, state=state, ts_s=time.time(), version=VERSION, model=model))


class Voice:
    """Encodes and publishes; what cannot be sent at once is not kept, for newer values follow."""

    def __init__(self, link: Link, node: str, model: Callable[[], str], discovery: Discovery) -> None:
        self._discovery = discovery
        self._link = link
        self._node = node
        self._model = model
        self._rejections = Rejections(node)
        self._health_topics: dict[str, str] = {}
        self._leaving: set[str] = set()

    def health(self, motor: str, payload: bytes) -> bool:
        """Publish a motor's encoded health, retained; False where there is nobody to tell."""
        topic = self._health_topics.get(motor)
        if topic is None:
            topic = self._health_topics[motor] = topics.motor(motor, "health")
        return self._link.publish(topic, payload, retain=True) is not None

    def availability(self, motor: str, state: Literal["online", "silent"]) -> None:
        """Publish whether a motor is heard, retained; it is said again with every new connection, so QoS 0 will do."""
        message = MotorAvailability(motor=motor, state=state, ts_s=time.time(), node=self._node)
        self._link.publish(topics.motor(motor, "availability"), codec.encode_json(message), retain=True)

    def node(self, state: Literal["online", "offline"]) -> None:
        """Publish whether this edge lives, retained."""
        payload = node_availability(self._node, state, self._model())
        self._link.publish(topics.node(self._node, "availability"), payload, qos=1, retain=True)

    def rejection(self, topic: str, refused: Refused) -> None:
        """Describe a refused payload, unless too many were described lately."""
        message = self._rejections.describe(topic, refused, now_s=time.monotonic(), ts_s=time.time())
        if message is not None:
            self._link.publish(topics.node(self._node, "rejected"), codec.encode_json(message))

    def introduce(self, profile: Profile) -> None:
        """Tell those who find motors by themselves; to be said again with every connection."""
        self._leaving.discard(profile.motor)
        self._discovery.introduce(profile)

    def forget(self, motor: str) -> None:
        """Remove what the broker retains of a motor that was retired, with the next connection if there is none."""
        self._health_topics.pop(motor, None)
        retained = [topics.motor(motor, "health"), topics.motor(motor, "availability"), *self._discovery.topics(motor)]
        if any(self._link.publish(topic, b"", qos=1, retain=True) is None for topic in retained):
            self._leaving.add(motor)
        else:
            self._leaving.discard(motor)

    def welcome(self) -> None:
        """A session stands: remove what could not be removed before."""
        for motor in sorted(self._leaving):
            self.forget(motor)
