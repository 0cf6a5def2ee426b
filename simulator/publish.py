"""The MQTT shell: births retained, readings at QoS 1, truth on its own topic. The only module here that knows MQTT.

A message counts as acknowledged once the broker says so. While the broker is away paho keeps what was published and
sends it again after the reconnect; the window of unacknowledged messages is bounded, so a slow broker slows the twin
instead of filling its memory.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote, urlsplit

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from service.contract import topics
from service.contract.codec import INT16_MAX, encode_cbor, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from service.contract.messages import Birth, Reading, Truth
    from simulator.fleet import Fleet, Tick

Encoding = Literal["cbor", "json"]

URL_VARIABLE = "MQTT_URL"
DEFAULT_URL = "mqtt://127.0.0.1:1883"
SCHEMES = {"mqtt": 1883, "mqtts": 8883}

KEEPALIVE_S = 30
BACKOFF_S = (0.5, 30.0)
"""First and largest ceiling of the random wait before a reconnect (full jitter: uniform from 0 to the ceiling)."""

IN_FLIGHT = 256
"""Messages published and not yet acknowledged; more wait in ``send``."""


class BrokerError(Exception):
    """The broker cannot be used; one line that says why and what to check."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to publish."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str | None = None) -> Broker:
        """From ``mqtt://user:password@host:port`` or ``mqtts://...``; default from MQTT_URL; raises ``BrokerError``."""
        text = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            raise BrokerError(f"{URL_VARIABLE}: the port must be a number within 1..65535") from None
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise BrokerError(f"{URL_VARIABLE}: must look like mqtt://user:password@host:1883 (mqtts:// for TLS)")
        return cls(
            host=parts.hostname,
            port=port or SCHEMES[parts.scheme],
            tls=parts.scheme == "mqtts",
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the messages so far."""

    births: int = 0
    readings: int = 0
    published: int = 0
    acknowledged: int = 0
    connects: int = 0

    @property
    def lost(self) -> int:
        """Published and never acknowledged."""
        return self.published - self.acknowledged


class Link:
    """A connection that publishes; use as a context manager.

    Args:
        broker: where to.
        encoding: of readings; everything else is JSON.
        client_id: default a random one.
        in_flight: bound of unacknowledged messages.
    """

    def __init__(
        self, broker: Broker, *, encoding: Encoding = "cbor", client_id: str | None = None, in_flight: int = IN_FLIGHT
    ) -> None:
        self.broker = broker
        self.encoding: Encoding = encoding
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"motortwin-twin-{uuid.uuid4().hex[:12]}",
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(in_flight)
        self._client.max_queued_messages_set(0)
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self._client.tls_set_context(ssl.create_default_context())
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._room = threading.BoundedSemaphore(in_flight)
        self._in_flight = in_flight
        self._changed = threading.Condition()
        self._connected = False
        self._refusal: str | None = None
        self._stopping = threading.Event()
        self._announced: dict[str, bytes] = {}
        self._reborn = threading.Event()
        self._births = self._readings = self._published = self._acknowledged = self._connects = 0
        self._thread = threading.Thread(target=self._keep_connected, name="mqtt", daemon=True)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        with self._changed:
            return Counts(self._births, self._readings, self._published, self._acknowledged, self._connects)

    def open(self, *, timeout_s: float = 10.0) -> None:
        """Connects; ``BrokerError`` if the broker is not there or refuses. Later losses reconnect on their own."""
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self._refusal is not None, timeout_s)
            connected, refusal = self._connected, self._refusal
        if not connected:
            self.close(timeout_s=0.0)
            raise BrokerError(
                f"{self.broker}: {refusal or 'no answer'}; is a broker running there, and is {URL_VARIABLE} right?"
            )

    def close(self, *, timeout_s: float = 10.0) -> Counts:
        """Waits for outstanding acknowledgements, then disconnects; what is left over shows as ``lost``."""
        if not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._acknowledged >= self._published, timeout_s)
            self._stopping.set()
            self._client.disconnect()
            if self._thread.is_alive():
                self._thread.join(timeout=5.0)
        return self.counts

    def birth(self, birth: Birth) -> None:
        """Publishes a birth, retained."""
        topic, payload = topics.motor(birth.motor, "birth"), encode_json(birth)
        self._announced[topic] = payload
        self._send(topic, payload, retain=True)
        with self._changed:
            self._births += 1

    def reading(self, reading: Reading) -> None:
        """Publishes a reading; waits while too many messages are unacknowledged."""
        payload = (
            encode_json(reading) if self.encoding == "json" else encode_cbor(reading, scale_m_s2=scale_of(reading))
        )
        self._publish(topics.motor(reading.motor, "reading"), payload)
        with self._changed:
            self._readings += 1

    def truth(self, truth: Truth) -> None:
        """Publishes what the twin knows."""
        self._publish(topics.motor(truth.motor, "truth"), encode_json(truth))

    def _publish(self, topic: str, payload: bytes) -> None:
        if self._reborn.is_set():
            # A broker that lost its memory must hear the births again before the readings.
            self._reborn.clear()
            for at, announced in self._announced.items():
                self._send(at, announced, retain=True)
        self._send(topic, payload)

    def _send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        while not self._room.acquire(timeout=0.5):
            if self._stopping.is_set():
                return
        with self._changed:
            self._published += 1
        # A message published while the connection is away is queued by paho and sent after the reconnect.
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _keep_connected(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            before = self._connects
            try:
                if self._connects == 0 and attempt == 0:
                    self._client.connect(self.broker.host, self.broker.port, KEEPALIVE_S)
                else:
                    self._client.reconnect()
                self._client.loop_forever()
            except (OSError, ValueError) as error:
                self._refused(f"cannot connect: {error}")
            with self._changed:
                self._connected = False
            attempt = attempt + 1 if self._connects == before else 1
            ceiling = min(BACKOFF_S[1], BACKOFF_S[0] * 2.0 ** min(attempt - 1, 10))
            self._stopping.wait(random.uniform(0.0, ceiling))  # noqa: S311 - jitter is no secret

    def _refused(self, why: str) -> None:
        with self._changed:
            self._refusal = why
            self._changed.notify_all()

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refused(f"refused: {reason}")
            client.disconnect()
            return
        with self._changed:
            self._connected = True
            self._connects += 1
            if self._connects > 1:
                self._reborn.set()
            self._changed.notify_all()

    def _on_publish(
        self, _client: paho.Client, _data: Any, _mid: int, _reason: ReasonCode, _properties: Properties
    ) -> None:
        self._room.release()
        with self._changed:
            self._acknowledged += 1
            self._changed.notify_all()


def scale_of(reading: Reading) -> float | None:
    """m/s^2 per count that lets the largest sample of a reading just fit int16; None without vibration."""
    peak = max((float(np.abs(samples).max()) for samples in reading.accel_m_s2.values()), default=0.0)
    return peak / INT16_MAX if peak > 0.0 else None


def publish(
    fleet: Fleet,
    link: Link,
    *,
    speedup: float = 1.0,
    stop: threading.Event | None = None,
    on_tick: Callable[[Tick], None] | None = None,
    ticks: Iterable[Tick] | None = None,
) -> Counts:
    """Plays a fleet through an open link, paced by the wall clock; returns when it is over or stopped.

    Args:
        fleet: what to play.
        link: where to.
        speedup: simulated seconds per wall second; inf plays as fast as the broker acknowledges.
        stop: set from elsewhere to end early.
        on_tick: called after each tick has been handed to the link.
        ticks: default all of ``fleet.ticks()``.
    """
    if not speedup > 0.0:
        raise ValueError(f"speedup={speedup:g}: must be above 0")
    stop = stop or threading.Event()
    interval_s = fleet.step_s / speedup
    for birth in fleet.births(
        interval_s=min(max(interval_s, 1e-3), 86_400.0), clock="wall" if speedup == 1.0 else "simulated"
    ):
        link.birth(birth)
    started = time.monotonic()
    for count, tick in enumerate(fleet.ticks() if ticks is None else ticks):
        wait_s = started + count * interval_s - time.monotonic()
        if stop.wait(wait_s) if wait_s > 0.0 else stop.is_set():
            break
        for reading, truth in zip(tick.readings, tick.truths, strict=True):
            link.truth(truth)
            if reading is not None:
                link.reading(reading)
        for reading in tick.others:
            link.reading(reading)
        if on_tick is not None:
            on_tick(tick)
    return link.counts
