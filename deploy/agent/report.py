"""The state for others: retained on MQTT, and on /metrics. The agent works without either."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, start_http_server

from deploy.agent.journal import State

if TYPE_CHECKING:
    from deploy.agent.journal import Record
    from deploy.agent.settings import Settings

_log = logging.getLogger(__name__)

ENDS = ("installed", "failed", "rolled_back")


class Report:
    """Says what the journal says.

    Attributes:
        hint: set when somebody says on MQTT that there is something to look for.
    """

    def __init__(self, settings: Settings) -> None:
        self.hint = threading.Event()
        self._topic = f"motortwin/v1/edge/{settings.node}/release"
        self._hints = f"motortwin/v1/edge/{settings.node}/desired"
        self._wave = settings.wave
        self._last: bytes | None = None
        self._before: Record | None = None
        self._registry = registry = CollectorRegistry()
        self._state = Gauge(
            "motortwin_agent_state", "1 for the state of the last release", ["state"], registry=registry
        )
        self._sequence = Gauge("motortwin_agent_sequence", "Highest release taken up", registry=registry)
        self._ended = Counter("motortwin_agent_releases", "Releases by their end", ["state"], registry=registry)
        for end in ENDS:
            self._ended.labels(end)
        self._gap = Gauge(
            "motortwin_agent_gap_seconds",
            "Without a ready edge, at the last new image and on the way back",
            ["way"],
            registry=registry,
        )
        self._trouble = Gauge("motortwin_agent_trouble", "1 while something is in the way", registry=registry)
        for state in get_args(State):
            self._state.labels(state)
        if settings.metrics_port:
            start_http_server(settings.metrics_port, settings.metrics_host, registry=registry)
        self._client = _client(settings) if settings.mqtt_url else None
        if self._client is not None:
            self._client.on_connect = self._connected
            self._client.on_message = lambda *_: self.hint.set()
            address = urlsplit(settings.mqtt_url)
            self._client.connect_async(address.hostname or "localhost", address.port or 1883)
            self._client.loop_start()

    def say(self, record: Record) -> None:
        """After each change of the journal."""
        for state in get_args(State):
            self._state.labels(state).set(state == record.state)
        self._sequence.set(record.sequence)
        self._gap.labels("on").set(record.gap_s or 0.0)
        self._gap.labels("back").set(record.back_s or 0.0)
        # what stood in the journal at the start was counted when it happened
        before, self._before = self._before, record
        if before is not None and record.state in ENDS and (record.state, record.seen) != (before.state, before.seen):
            self._ended.labels(record.state).inc()
        told = {
            "state": record.state,
            "reason": record.reason,
            "sequence": record.sequence,
            "release": record.seen,
            "current": record.current,
            "gap_s": record.gap_s,
            "back_s": record.back_s,
            "wave": self._wave,
        }
        self._last = json.dumps(told).encode()
        _log.info("%s", self._last.decode())
        if self._client is not None:
            self._client.publish(self._topic, self._last, qos=1, retain=True)

    def exposition(self) -> bytes:
        """The page of metrics."""
        return generate_latest(self._registry)

    def trouble(self, text: str) -> None:
        """What is in the way for now."""
        self._trouble.set(bool(text))
        if text:
            _log.warning("%s", text)

    def close(self) -> None:
        """Say goodbye."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._hints, qos=1)
        if self._last is not None:
            client.publish(self._topic, self._last, qos=1, retain=True)


def _client(settings: Settings) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"agent-{settings.node}")
    if settings.mqtt_username:
        file = settings.mqtt_password_file
        client.username_pw_set(settings.mqtt_username, Path(file).read_text(encoding="utf-8").strip() if file else None)
    if urlsplit(settings.mqtt_url).scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context(cafile=settings.mqtt_ca or None))
    return client
