"""What the agents of all sites say, from their brokers."""

from __future__ import annotations

import json
import ssl
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from deploy.waves.verdict import Told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.waves.plan import Broker

TOPIC = "motortwin/v1/edge/+/release"
_MAX_SITES, _MAX_BYTES, _MAX_REASON = 10_000, 65_536, 300


class Fleet:
    """Listens until ``close``; a broker that is away comes back by itself, and retained words with it."""

    def __init__(self, brokers: Iterable[Broker]) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, Told] = {}
        self._clients = [self._listening(broker) for broker in brokers]

    def told(self) -> dict[str, Told]:
        """By site, what was said last."""
        with self._lock:
            return dict(self._told)

    def close(self) -> None:
        """Hear no more."""
        for client in self._clients:
            client.disconnect()
            client.loop_stop()

    def _listening(self, broker: Broker) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if broker.username:
            file = broker.password_file
            client.username_pw_set(broker.username, file.read_text(encoding="utf-8").strip() if file else None)
        address = urlsplit(broker.url)
        if address.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context(cafile=broker.ca))
        client.on_connect = lambda one, *_: one.subscribe(TOPIC, qos=1)
        client.on_message = self._heard
        client.connect_async(address.hostname or "localhost", address.port or 1883)
        client.loop_start()
        return client

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        site = message.topic.split("/")[3]
        try:
            body = json.loads(message.payload[:_MAX_BYTES])
            word = Told(str(body["state"]), str(body["release"]), str(body["reason"])[:_MAX_REASON])
        except (ValueError, KeyError, TypeError):
            word = Told("failed", "", "what it says cannot be read")
        with self._lock:
            if site in self._told or len(self._told) < _MAX_SITES:
                self._told[site] = word
