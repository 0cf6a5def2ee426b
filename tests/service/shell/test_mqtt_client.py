"""What the short way of the MQTT client reads and writes, against a peer that cuts and spoils the bytes."""

from __future__ import annotations

import random
import select
import socket
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from service.mqtt.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Got = tuple[bytes, bytes, int, int]
VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])


class Peer:
    """A broker's end of one connection that says exactly what a test wants."""

    def __init__(self, version: Any) -> None:
        self.got: list[Got] = []
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id="edge", protocol=version, manual_ack=True, reconnect_on_failure=False
        )
        self.client.on_delivery = self._take
        self.client.on_socket_register_write = lambda *_: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.client.connect("127.0.0.1", self._listener.getsockname()[1])
        self.sock, _ = self._listener.accept()
        self.client.loop_write()
        self.sock.recv(4096)
        self.say(b"\x20\x03\x00\x00\x00" if version == paho.MQTTv5 else b"\x20\x02\x00\x00")
        self.read(0.2)

    def _take(self, *message: Any) -> bool:
        self.got.append(message)
        return True

    def say(self, data: bytes) -> None:
        """Send bytes and let the client read until nothing waits."""
        self.sock.sendall(data)
        self.read(0.0)

    def read(self, patience_s: float) -> None:
        """Let the client read until nothing has come for so long."""
        while (sock := self.client.socket()) is not None:
            if not self.client.waiting() and not select.select([sock], [], [], patience_s)[0]:
                return
            self.client.loop_read()

    def hear(self, count: int) -> bytes:
        """Let the client write; the next ``count`` bytes of it."""
        self.sock.settimeout(5)
        data = b""
        while len(data) < count:
            self.client.loop_write()
            data += self.sock.recv(count - len(data))
        return data

    def close(self) -> None:
        """End it from both sides."""
        self.sock.close()
        self._listener.close()
        self.client.disconnect()


@pytest.fixture
def peer() -> Iterator[Callable[[Any], Peer]]:
    peers: list[Peer] = []

    def make(version: Any) -> Peer:
        peers.append(Peer(version))
        return peers[-1]

    yield make
    for each in peers:
        each.close()


def published(version: Any, topic: str, payload: bytes, *, qos: int, mid: int = 0, retain: bool = False) -> bytes:
    """A PUBLISH as paho itself packs it, properties included."""
    sender = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender._sock = ours
        sender.on_socket_register_write = lambda *_: None
        properties = None
        if version == paho.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = [("trace", "x" * 150)]
        sender._send_publish(mid, topic.encode(), payload, qos, retain, False, None, properties)
        packet = bytes(sender._out_packet[0]["packet"])
        sender._out_packet.clear()
        sender._sock = None
    return packet


@VERSIONS
def test_messages_arrive_whole_however_the_bytes_are_cut(version: Any, peer: Callable[[Any], Peer]) -> None:
    near = peer(version)
    rng = random.Random(3)
    sent: list[Got] = []
    stream = b""
    for number in range(1, 60):
        payload = rng.randbytes(rng.choice([0, 1, 100, 9000, 70_000]))
        qos, retain = number % 2, number % 3 == 0
        stream += published(version, f"m/{number}", payload, qos=qos, mid=number if qos else 0, retain=retain)
        sent.append((f"m/{number}".encode(), payload, 0x30 | qos << 1 | retain, number if qos else 0))
        stream += b"\xd0\x00" * (number % 7 == 0)  # an answer to a ping between them stays paho's
    while stream:
        piece = rng.choice([1, 2, 5, 1000, 100_000])
        near.say(stream[:piece])
        stream = stream[piece:]
    near.read(0.5)
    assert near.got == sent


@VERSIONS
@pytest.mark.parametrize(
    "spoilt",
    [
        b"\x30\xff\xff\xff\xff\x01",  # five length bytes
        b"\x32\x03\x00\x01a",  # no message id at QoS 1
        b"\x32\x05\x00\x01a\x00\x00",  # message id 0
        b"\x30\x03\x00\x09a",  # the topic is longer than the packet
        b"\x30\x01\x00",  # no topic length
    ],
)
def test_what_is_not_mqtt_ends_the_connection(version: Any, spoilt: bytes, peer: Callable[[Any], Peer]) -> None:
    near = peer(version)
    near.say(spoilt)
    near.read(0.5)
    assert near.client.socket() is None
    assert near.got == []


def test_properties_that_outgrow_their_packet_end_the_connection(peer: Callable[[Any], Peer]) -> None:
    near = peer(paho.MQTTv5)
    near.say(b"\x30\x05\x00\x01a\x7fx")
    near.read(0.5)
    assert near.client.socket() is None
    assert near.got == []


@VERSIONS
def test_what_is_told_and_acknowledged_goes_out_in_order_and_as_paho_packs_it(
    version: Any, peer: Callable[[Any], Peer]
) -> None:
    near = peer(version)
    none = b"\x00" if version == paho.MQTTv5 else b""
    health = b'{"health":1}' * 40
    assert near.client.tell("m/é/health", health, retain=True)
    near.client.acknowledge([1, 513])
    near.client.publish("m/alert", b"up", qos=1)
    near.client.tell("m/x", b"", retain=False)
    name = "m/é/health".encode()
    length = 2 + len(name) + len(none) + len(health)
    wanted = bytes([0x31, length & 0x7F | 0x80, length >> 7]) + len(name).to_bytes(2, "big") + name + none + health
    wanted += b"\x40\x02\x00\x01\x40\x02\x02\x01"
    wanted += b"\x32" + bytes([13 + len(none)]) + b"\x00\x07m/alert\x00\x01" + none + b"up"
    wanted += b"\x30" + bytes([5 + len(none)]) + b"\x00\x03m/x" + none
    assert near.hear(len(wanted)) == wanted
    assert not near.client.want_write()


def test_a_slow_peer_gets_every_byte_in_order(peer: Callable[[Any], Peer]) -> None:
    near = peer(paho.MQTTv5)
    payloads = [bytes([number % 251]) * 40_000 for number in range(200)]
    for payload in payloads:
        near.client.tell("t", payload, retain=False)
    heard = near.hear(200 * (40_000 + 8))
    assert b"".join(heard[at + 8 : at + 40_008] for at in range(0, len(heard), 40_008)) == b"".join(payloads)


def test_a_new_connection_knows_nothing_of_bytes_of_the_last(peer: Callable[[Any], Peer]) -> None:
    near = peer(paho.MQTTv5)
    near.say(published(paho.MQTTv5, "m/1", b"x" * 500, qos=1, mid=4)[:100])
    near.read(0.2)
    near.client.tell("t", b"never written", retain=False)
    near.client.reconnect()
    sock, _ = near._listener.accept()
    near.sock.close()
    near.sock = sock
    near.client.loop_write()
    assert sock.recv(4096)[0] == 0x10
    near.say(b"\x20\x03\x00\x00\x00" + published(paho.MQTTv5, "m/2", b"y", qos=1, mid=5))
    near.read(0.5)
    assert near.got == [(b"m/2", b"y", 0x32, 5)]


def test_reading_stops_after_so_many_packets_and_where_no_more_is_wanted(peer: Callable[[Any], Peer]) -> None:
    at = peer(paho.MQTTv5)
    at.sock.sendall(b"".join(published(paho.MQTTv5, f"t/{k}", b"x", qos=0) for k in range(10)))
    select.select([at.client.socket()], [], [], 5.0)
    enough = {3, 6}

    def take(*message: Any) -> bool:
        at.got.append(message)
        return len(at.got) not in enough

    at.client.on_delivery = take
    counts = []
    while at.client.waiting() or not counts:
        at.client.loop_read(2 if len(counts) > 1 else 100)
        counts.append(len(at.got))
    assert counts == [3, 6, 8, 10]
