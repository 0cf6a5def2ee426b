"""The steady load: one thread and one plain socket, which sends at due times and hears the answers.

A plant's sensors do not run on the gateway; here they share its processor, so what they cost is taken from the edge.
Two paho clients with a thread each took three times as much. Here every packet is built before the clock starts and
the answers are kept raw, so the loop only writes, waits and splits what comes at packet borders.

Packet layout: MQTT 3.1.1 (OASIS, 2014) sec. 2.2 (fixed header), 3.1 (CONNECT), 3.3 (PUBLISH), 3.8 (SUBSCRIBE).
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 500
"""Messages that may be unacknowledged at a time."""
PATIENCE_S = 15.0
LEAD_S = 0.1
"""From the first look at the clock to the first message."""
_READ_BYTES = 65_536
_IDS = 65_535
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
_QOS_1 = 0x02


class Exchange(NamedTuple):
    """What was sent and heard; times in seconds of ``time.perf_counter``."""

    due_s: list[float]
    sent_s: list[float]
    heard: list[tuple[float, bytes]]
    """When each answer was read whole, and its payload."""
    took_s: float
    cpu_share: float
    """Of one core, which the exchange took of this process."""


def publications(messages: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """Packets that publish ``(topic, payload)`` at QoS 1."""
    return [
        _packet(_PUBLISH | _QOS_1, _text(topic), _id(number), payload)
        for number, (topic, payload) in enumerate(messages)
    ]


class Sender:
    """A connection that has subscribed to the answers at QoS 0."""

    def __init__(self, host: str, port: int, answers: str, *, patience_s: float = PATIENCE_S) -> None:
        """Connect and subscribe; ``answers`` is a topic filter."""
        self._patience_s = patience_s
        self._read = bytearray()
        self._socket = socket.create_connection((host, port), patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # protocol level 4, clean session, no keep-alive, a client id of the broker's choice; accepted is 0
        self._ask(_packet(_CONNECT, _text("MQTT"), b"\x04\x02\0\0", _text("")), _CONNACK, b"\0\0")
        self._ask(_packet(_SUBSCRIBE, b"\0\x01", _text(answers), b"\0"), _SUBACK, b"\0\x01\0")

    def exchange(self, packets: list[bytes], per_s: float, *, answers: int) -> Exchange:
        """Send ``publications`` evenly spread, and hear ``answers`` messages; without any, hear only.

        ``RuntimeError`` says how many acknowledgements and answers are missing after ``patience_s`` of silence.
        """
        unacknowledged: set[bytes] = set()
        sent_s: list[float] = []
        heard: list[tuple[float, bytes]] = []
        cpu_s, start_s = time.process_time(), time.perf_counter()
        due_s = [start_s + LEAD_S + number / per_s for number in range(len(packets))]
        news_s = start_s
        while len(sent_s) < len(packets) or unacknowledged or len(heard) < answers:
            number = len(sent_s)
            may_send = number < len(packets) and len(unacknowledged) < WINDOW
            now_s = time.perf_counter()
            if may_send and now_s >= due_s[number]:
                unacknowledged.add(_id(number))
                sent_s.append(now_s)
                self._socket.sendall(packets[number])
                news_s, wait_s = now_s, 0.0
            else:
                wait_s = (due_s[number] if may_send else news_s + self._patience_s) - now_s
            # select, because epoll and poll round up to milliseconds
            if select.select([self._socket], [], [], max(wait_s, 0.0))[0]:
                news_s = self._receive(unacknowledged, heard)
            elif not may_send:
                raise RuntimeError(
                    f"of {len(packets)} messages {len(packets) - number} were not sent and {len(unacknowledged)} not "
                    f"acknowledged, and {max(answers - len(heard), 0)} of {answers} answers are missing"
                )
        took_s = time.perf_counter() - start_s
        return Exchange(due_s, sent_s, heard, took_s, (time.process_time() - cpu_s) / took_s)

    def close(self) -> None:
        """Leave without a word; the broker ends the clean session."""
        self._socket.close()

    def _ask(self, packet: bytes, answer: int, body: bytes) -> None:
        self._socket.sendall(packet)
        while not (came := self._packets()):
            pass
        if came[0] != (answer, body):
            raise ConnectionError(f"the broker answered {came[0][0]:#x} with {came[0][1].hex()}")

    def _receive(self, unacknowledged: set[bytes], heard: list[tuple[float, bytes]]) -> float:
        """Read once; when that was."""
        packets = self._packets()
        now_s = time.perf_counter()
        for first, body in packets:
            if first == _PUBACK:
                unacknowledged.remove(body)  # a second acknowledgement is an error too
            elif first == _PUBLISH:
                heard.append((now_s, body[2 + int.from_bytes(body[:2], "big") :]))
        return now_s

    def _packets(self) -> list[tuple[int, bytes]]:
        """First byte and body of the packets that one read completes."""
        chunk = self._socket.recv(_READ_BYTES)
        if not chunk:
            raise ConnectionError("the broker ended the connection")
        read, start, packets = self._read, 0, []
        read += chunk
        while (border := _border(read, start)) and border[1] <= len(read):
            body, end = border
            packets.append((read[start], bytes(read[body:end])))
            start = end
        del read[:start]
        return packets


def _border(read: bytearray, start: int) -> tuple[int, int] | None:
    """Where the body of the packet at ``start`` begins and ends; None while its length is not all there."""
    length = shift = 0
    for at in range(start + 1, len(read)):
        length |= (read[at] & 0x7F) << shift
        if read[at] < 0x80:
            return at + 1, at + 1 + length
        shift += 7
    return None


def _packet(first: int, *parts: bytes) -> bytes:
    length = sum(map(len, parts))
    header = bytearray((first,))
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return b"".join((header, *parts))


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _id(number: int) -> bytes:
    """Packet id of message ``number``: 1 to 65,535, round and round."""
    return (number % _IDS + 1).to_bytes(2, "big")
