"""paho's client with a shorter way for what a fleet sends by the thousand: messages in, acknowledgements and QoS 0 out.

paho reads each packet with four or more calls of ``recv``, makes objects and log texts of everything it says, and
writes each packet with a ``send`` of its own. Here the socket is read in large pieces, a PUBLISH at QoS 0 or 1 goes
straight to ``on_delivery``, and what waits to be written goes out in one piece. Sessions, subscriptions, pings and
publications at QoS 1 stay paho's. The overridden methods are private ones of the locked version; what a broker and a
client see on the wire is what the tests compare.

Packet layout: MQTT 5.0 (OASIS, 2019) sec. 2.1 (fixed header), 3.3 (PUBLISH), 3.4 (PUBACK).
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_READ_BYTES = 65_536
_JOIN_BYTES = 65_536
_LENGTH_BYTES = 4
_PUBLISH, _PUBACK, _DISCONNECT = 0x30, 0x40, 0xE0
_TYPE = 0xF0
_QOS = 0x06
_QOS_1 = 0x02


class _MalformedError(Exception):
    """The broker speaks something that is not MQTT; the connection ends."""


class Client(paho.Client):
    """Driven by ``loop_read``, ``loop_write`` and ``loop_misc`` from one thread; callers elsewhere only queue.

    Attributes:
        on_delivery: called by the owner thread with topic, payload, the fixed header's first byte and the message id
            (0 at QoS 0) of each message at QoS 0 or 1. It must return at once, and True where more are wanted now.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_delivery: Callable[[bytes, bytes, int, int], bool] | None = None
        self._wanted = True
        self._read = bytearray()
        self._at = 0
        self._unsent = bytearray()
        self._properties = self._protocol == paho.MQTTv5

    def waiting(self) -> bool:
        """Whether a packet can be read although the socket itself would not say so."""
        sock = self._sock
        if isinstance(sock, ssl.SSLSocket) and sock.pending() > 0:
            return True
        try:
            return self._frame() is not None
        except _MalformedError:
            return True

    def tell(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Queue a message at QoS 0; False without a connection."""
        if self._sock is None:
            return False
        name = topic.encode()
        packet = bytearray((_PUBLISH | retain,))
        length = 2 + len(name) + self._properties + len(payload)
        while length >= 0x80:
            packet.append(length & 0x7F | 0x80)
            length >>= 7
        packet.append(length)
        packet += len(name).to_bytes(2, "big")
        packet += name
        if self._properties:
            packet.append(0)
        packet += payload
        return self._packet_queue(paho.PUBLISH, packet, 0, 0) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def acknowledge(self, mids: Iterable[int]) -> None:
        """Queue the acknowledgements of QoS 1 messages."""
        packets = b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])
        if packets:
            self._packet_queue(paho.PUBACK, packets, 0, 1)

    def want_write(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._unsent) or super().want_write()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what has come, at most so many packets, and none after a message beyond which no more are wanted."""
        self._wanted = True
        for _ in range(max_packets):
            if self._sock is None:
                return MQTTErrorCode.MQTT_ERR_NO_CONN
            code = self._packet_read()
            if code > 0:
                return self._loop_rc_handle(code)
            if code == MQTTErrorCode.MQTT_ERR_AGAIN or not self._wanted:
                break
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _create_socket(self) -> Any:
        # a new connection: what the last one left half read or half written is void
        self._read.clear()
        self._unsent.clear()
        self._at = 0
        return super()._create_socket()

    def _packet_read(self) -> MQTTErrorCode:
        """Read one packet and let what follows from it happen."""
        try:
            while (frame := self._frame()) is None:
                code = self._fill()
                if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return code
            start, end = frame
            command = self._read[self._at]
            self._at = end
            if command & _TYPE == _PUBLISH and command & _QOS <= _QOS_1 and self.on_delivery is not None:
                self._wanted = self.on_delivery(*self._message(command, start, end))
                return MQTTErrorCode.MQTT_ERR_SUCCESS
        except _MalformedError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        given = self._in_packet
        given["command"], given["packet"] = command, self._read[start:end]
        given["remaining_length"], given["pos"] = end - start, 0
        try:
            return self._packet_handle()
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _frame(self) -> tuple[int, int] | None:
        """Where the next packet's body begins and ends in what was read; None while it is not all there."""
        read, at = self._read, self._at
        length = shift = 0
        for here in range(at + 1, min(at + 1 + _LENGTH_BYTES, len(read))):
            byte = read[here]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                end = here + 1 + length
                return (here + 1, end) if end <= len(read) else None
            shift += 7
        if len(read) > at + _LENGTH_BYTES:
            raise _MalformedError
        return None

    def _message(self, command: int, start: int, end: int) -> tuple[bytes, bytes, int, int]:
        """Topic, payload, first byte and message id of a PUBLISH; properties are passed over."""
        read, at, mid = self._read, start + 2, 0
        if at > end:
            raise _MalformedError
        at += int.from_bytes(read[start : start + 2], "big")
        topic = bytes(read[start + 2 : at])
        if command & _QOS:
            mid = int.from_bytes(read[at : at + 2], "big")
            at += 2
            if not mid:
                raise _MalformedError
        if self._properties:
            at = self._past_properties(at, end)
        if at > end:
            raise _MalformedError
        with memoryview(read) as view:
            return topic, bytes(view[at:end]), command, mid

    def _past_properties(self, at: int, end: int) -> int:
        length = shift = 0
        for here in range(at, min(at + _LENGTH_BYTES, end)):
            byte = self._read[here]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return here + 1 + length
            shift += 7
        raise _MalformedError

    def _fill(self) -> MQTTErrorCode:
        """Read what the socket has, at most a piece."""
        try:
            data = self._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not data:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if self._at:
            del self._read[: self._at]
            self._at = 0
        self._read += data
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_write(self) -> MQTTErrorCode:
        """Write what waits, joined. A DISCONNECT stays paho's: it ends the connection behind itself."""
        unsent, queue = self._unsent, self._out_packet
        while True:
            while queue and len(unsent) < _JOIN_BYTES and queue[0]["command"] & _TYPE != _DISCONNECT:
                unsent += queue.popleft()["packet"]
            if not unsent:
                return super()._packet_write() if queue else MQTTErrorCode.MQTT_ERR_SUCCESS
            try:
                sent = self._sock_send(unsent)
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except OSError:
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            del unsent[:sent]
            with self._msgtime_mutex:
                self._last_msg_out = time.monotonic()
