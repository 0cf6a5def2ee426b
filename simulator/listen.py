"""What the edge says, as the demo hears it over MQTT: health, alerts, rejections. Retained old news is left out."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from service.contract import topics
from service.contract.messages import Alert, Health, Rejection
from simulator.publish import BrokerError

if TYPE_CHECKING:
    from service.contract.messages import Message
    from simulator.publish import Broker

_SUBSCRIBE_S = 10.0


class Ear:
    """A subscriber; use as a context manager, then take messages from ``heard()``.

    ``broken`` counts messages of the edge that do not fit the contract.
    """

    def __init__(self, broker: Broker, node: str) -> None:
        self.broken = 0
        self._rejected = topics.node(node, "rejected")
        self._kinds: dict[str, type[Message]] = {"health": Health, "alert": Alert}
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._subscribed = threading.Event()
        self._broker = broker
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self._client.tls_set()
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except OSError as error:
            raise BrokerError(f"{self._broker}: cannot connect: {error}") from error
        self._client.loop_start()
        if not self._subscribed.wait(_SUBSCRIBE_S):
            self.__exit__()
            raise BrokerError(f"{self._broker}: no subscription within {_SUBSCRIBE_S:g} s; may this user read?")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def heard(self) -> list[Message]:
        """Everything that arrived since the last call, in order."""
        messages: list[Message] = []
        while True:
            try:
                messages.append(self._heard.get_nowait())
            except queue.Empty:
                return messages

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topics.every_motor("health"), 0), (topics.EVERY_ALERT, 1), (self._rejected, 0)])

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.retain:
            return
        kind: type[Message] = Rejection
        if (parsed := topics.parse_motor(message.topic)) is not None:
            kind = self._kinds[parsed[1].partition("/")[0]]
        try:
            self._heard.put(kind.model_validate_json(message.payload))
        except ValidationError:
            self.broken += 1
