"""The connection to the broker.

MQTT 5 where the broker takes it, else 3.1.1 (``protocol = "auto"``): 5 lets us say how many unacknowledged readings
may be in flight (mosquitto's default for 3.1.1 is 20, which would bound every batch) and how long the broker keeps our
session. The session is persistent (stable client id, QoS 1, acknowledged by hand), so readings that arrive while we
are away wait at the broker, and a reading is acknowledged only when the caller says so.

One thread owns the socket: it connects, waits (full jitter between attempts), reads and writes. Callers publish and
acknowledge from their own thread; that only queues bytes and wakes the owner, within ``burst`` once at its end. Nagle's
algorithm is off: with the other side's delayed acknowledgement it would hold single messages back for 40 ms.
"""

from __future__ import annotations

import contextlib
import logging
import random
import selectors
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from service.errors import SettingsError
from service.mqtt.client import Client
from service.wire import Delivery, Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from service.settings import MqttSettings
    from service.wire import Listener, Will

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_HANDSHAKE_TIMEOUT_S = 10.0
_RETRY_FIRST_S = 0.5
_READ_BURST = 64
"""Packets, before what waits to be written has its turn."""
_IDLE_S = 0.5
_MAX_INFLIGHT = 100
_USUAL_WINDOW = 20
_UNSUPPORTED_PROTOCOL = {"Unsupported protocol version"}
_RETAIN, _DUP = 0x01, 0x08  # bits of a PUBLISH packet's first byte
_V5: Literal["5"] = "5"
_V311: Literal["3.1.1"] = "3.1.1"


class Link(threading.Thread):
    """The connection to the broker, kept up for as long as the service lives."""

    def __init__(
        self, settings: MqttSettings, client_id: str, filters: tuple[str, ...], will: Will, *, clean: bool = False
    ) -> None:
        super().__init__(name="mqtt", daemon=True)
        self._settings = settings
        self._clean = clean
        self._client_id = client_id
        self._filters = filters
        self._will = will
        self._listener: Listener | None = None
        self._protocol: Literal["5", "3.1.1"] = _V311 if settings.protocol == _V311 else _V5
        self._wake_receive, self._wake_send = socket.socketpair()
        self._wake_receive.setblocking(False)
        self._wake_send.setblocking(False)
        self._session = 0
        self._generation = 0
        self._kept = False
        self._answered = False
        self._up = False
        self._subscribed = False
        self._stopping = threading.Event()
        self._bursting = False
        self._client = self._new_client()
        self.connections = 0
        """Sessions that have stood since the start."""
        self.fault: str | None = "not connected yet"
        """Why there is no working connection, for a person; None while there is one."""

    @property
    def connected(self) -> bool:
        """True while the session stands and the subscriptions are made."""
        return self._subscribed

    @property
    def generation(self) -> int:
        """Publications whose token names another era than this are lost and must be published again."""
        return self._generation

    @property
    def protocol(self) -> str:
        """The MQTT version spoken, or tried next."""
        return self._protocol

    @property
    def window(self) -> int:
        """How many unacknowledged deliveries the broker sends before it waits; 3.1.1 cannot say, 20 is usual."""
        return self._settings.receive_maximum if self._protocol == _V5 else _USUAL_WINDOW

    def listen(self, listener: Listener) -> None:
        """Say who is told; then start the thread."""
        self._listener = listener
        self.start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 0,
        retain: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Token | None:
        """Queue one message; its token, None when there is no connection (nothing is kept for later)."""
        if not self._up:
            return None
        if qos == 0:
            return Token(self._generation, 0) if self._client.tell(topic, payload, retain=retain) else None
        properties = None
        if headers is not None and self._protocol == _V5:  # 3.1.1 has no place for them
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = list(headers.items())
            properties.ContentType = "application/json"
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return None
        return Token(self._generation, info.mid)

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        """Tell the broker that these deliveries are ours now; tokens of an older session are void and skipped."""
        session = self._session
        self._client.acknowledge([token.mid for token in tokens if token.era == session])

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """What one caller publishes and acknowledges within goes out together: waking the owner costs both threads."""
        self._bursting = True
        try:
            yield
        finally:
            self._bursting = False
            if self._client.want_write():
                self._wake()

    def subscribe(self, topic_filter: str) -> None:
        """Ask for one more filter on the present connection."""
        if self._up:
            self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        """End a filter on the present connection."""
        if self._up:
            self._client.unsubscribe(topic_filter)

    def resume(self) -> None:
        """There is room again: read on."""
        self._wake()

    def close(self, timeout_s: float = 3.0) -> None:
        """Leave in good order (the will is not sent) after what is queued has been written."""
        deadline = time.monotonic() + timeout_s
        while self._up and self._client.want_write() and time.monotonic() < deadline:
            self._wake()
            time.sleep(0.005)
        if self._up:
            self._client.disconnect()
        self._stopping.set()
        self._wake()
        if self.is_alive():
            self.join(timeout_s)
        if not self.is_alive():
            self._wake_receive.close()
            self._wake_send.close()

    def run(self) -> None:
        """Keep a connection until ``close``."""
        attempt = 0
        while not self._stopping.is_set():
            stood = self._one_connection()
            if self._stopping.is_set():
                return
            if stood:
                attempt = 0
            wait_s = random.uniform(0.0, min(self._settings.retry_max_s, _RETRY_FIRST_S * 2.0**attempt))  # noqa: S311 - jitter
            attempt = min(attempt + 1, 16)
            self._stopping.wait(wait_s)

    def _one_connection(self) -> bool:
        """Connect and serve until the connection ends; True if the session stood at some time."""
        client = self._client
        self._answered = False
        try:
            self._credentials(client)
            where = (self._settings.host, self._settings.port, self._settings.keepalive_s)
            if self._protocol == _V5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = 0 if self._clean else self._settings.session_expiry_s
                properties.ReceiveMaximum = self._settings.receive_maximum
                client.connect(*where, clean_start=self._clean, properties=properties)
            else:
                client.connect(*where)
        except (OSError, ssl.SSLError, SettingsError) as error:
            why = getattr(error, "strerror", None) or error
            self._say(
                f"the broker {self._settings.host}:{self._settings.port} does not answer: {why}; "
                "start it, or correct MQTT_URL"
            )
            return False
        self._serve(client)
        stood = self._subscribed
        self._up = self._subscribed = False
        if self._listener is not None and stood:
            self._listener.lost()
        if stood and not self._stopping.is_set():
            self._say("the connection to the broker was lost")
        if not self._answered and not self._stopping.is_set():
            self._say("the broker closed the connection without an answer")
            self._other_protocol()
        return stood

    def _serve(self, client: Client) -> None:
        """Move bytes until the socket is gone."""
        sock = client.socket()
        opened_s = time.monotonic()
        interest = selectors.EVENT_READ
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_receive, selectors.EVENT_READ)
            if sock is not None:
                if isinstance(sock, socket.socket):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ)
            while sock is not None and client.socket() is sock:
                reading = self._wants_more()
                wanted = (selectors.EVENT_READ if reading else 0) | (
                    selectors.EVENT_WRITE if client.want_write() else 0
                )
                if wanted != interest:
                    _change_interest(selector, sock, interest, wanted)
                    interest = wanted
                self._exchange(client, selector, reading=reading)
                if self._stopping.is_set() and not client.want_write():
                    return
                if not self._answered and time.monotonic() - opened_s > _HANDSHAKE_TIMEOUT_S:
                    client.disconnect()
                    return

    def _exchange(self, client: Client, selector: selectors.BaseSelector, *, reading: bool) -> None:
        """Wait for the socket or a caller, then read and write what can be."""
        # more was read than the last burst took: the socket itself would not say so
        pending = reading and client.waiting()
        for key, events in selector.select(0.0 if pending else _IDLE_S):
            if key.fileobj is self._wake_receive:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receive.recv(4096)
            elif events & selectors.EVENT_READ:
                client.loop_read(_READ_BURST)
        if pending:
            client.loop_read(_READ_BURST)
        if client.want_write():
            client.loop_write()
        client.loop_misc()

    def _wants_more(self) -> bool:
        return self._listener is None or self._listener.room()

    def _new_client(self) -> Client:
        """A client for the present protocol; what an older one had in flight is void."""
        self._session += 1
        self._generation += 1
        v5 = self._protocol == _V5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if v5 else self._clean,
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(_MAX_INFLIGHT)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_delivery = self._on_delivery
        client.on_publish = self._on_publish
        # with a writer registered, publishing from another thread only queues bytes
        client.on_socket_register_write = self._queued
        if self._settings.tls:
            self._secure(client)
        return client

    def _secure(self, client: Client) -> None:
        settings = self._settings
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        ca, certificate, key = (str(path) if path else None for path in files)
        try:
            client.tls_set(ca, certificate, key)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SettingsError(f"mqtt.ca_file, cert_file or key_file cannot be used: {error}") from error

    def _credentials(self, client: Client) -> None:
        """Set what may have changed since the last attempt: a rotated password, the will's time."""
        secret = self._settings.secret()
        if self._settings.username is not None or secret is not None:
            client.username_pw_set(self._settings.username or "", secret)
        client.will_set(self._will.topic, self._will.payload(), qos=1, retain=self._will.retain)

    def _other_protocol(self) -> None:
        if self._settings.protocol == "auto":
            self._protocol = _V311 if self._protocol == _V5 else _V5
            self._client = self._new_client()

    def _queued(self, *_: object) -> None:
        if not self._bursting:
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_send.send(b"\0")

    def _say(self, fault: str) -> None:
        """Note a fault; log it when it is news."""
        if fault != self.fault:
            _log.warning("%s", fault)
        self.fault = fault

    def _on_connect(
        self, client: paho.Client, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        self._answered = True
        if reason.is_failure:
            self._say(f"the broker refuses us: {reason}; check MQTT_USERNAME and MQTT_PASSWORD and its access rules")
            if reason.getName() in _UNSUPPORTED_PROTOCOL:
                self._answered = False
            client.disconnect()
            return
        qos: Any = SubscribeOptions(qos=1) if self._protocol == _V5 else 1
        client.subscribe([(name, qos) for name in self._filters])
        if not flags.session_present:
            # acknowledgements of a session that the broker forgot would name other messages now
            self._session += 1
        self._kept = bool(flags.session_present)
        # what waited for us comes before the answer to our subscription, and wants answers itself
        self._up = True

    def _on_subscribe(self, client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._say(f"the broker refuses a subscription: allow {self._client_id} to read {', '.join(self._filters)}")
            client.disconnect()
            return
        if self._subscribed:
            return
        _log.info("connected to %s:%d, MQTT %s", self._settings.host, self._settings.port, self._protocol)
        self.fault = None
        self.connections += 1
        self._subscribed = True
        if self._listener is not None:
            self._listener.connected(self._kept)

    def _on_delivery(self, name: bytes, payload: bytes, head: int, mid: int) -> bool:
        listener = self._listener
        if listener is None:
            return True
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            topic = "?"
        token = Token(self._session, mid) if mid else None
        retain, dup = bool(head & _RETAIN), bool(head & _DUP)
        listener.delivered(Delivery(topic, payload, len(payload), retain, dup, time.perf_counter(), token))
        return listener.room()

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if self._listener is not None:
            self._listener.acknowledged(Token(self._generation, mid), not reason.is_failure)


def _change_interest(selector: selectors.BaseSelector, sock: Any, before: int, after: int) -> None:
    """Register, change or forget a socket; selectors know no interest in nothing."""
    if not before:
        selector.register(sock, after)
    elif after:
        selector.modify(sock, after)
    else:
        selector.unregister(sock)
