"""The fixture that the system tests stand on does what it says."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt
import pytest

pytestmark = pytest.mark.system


def retained(port: int, topic: str) -> bytes | None:
    """The retained message of a topic; None when there is none (an unretained marker sent afterwards arrives alone)."""
    got: list[bytes] = []
    done = threading.Event()

    def on_message(client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == "marker":
            client.disconnect()
            done.set()
        else:
            got.append(message.payload)

    def on_subscribe(client: mqtt.Client, *_: object) -> None:
        client.publish("marker", b"", qos=1)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.connect("127.0.0.1", port)
    client.subscribe([(topic, 1), ("marker", 1)])
    client.loop_start()
    assert done.wait(10.0)
    client.loop_stop()
    return got[0] if got else None


def retain(port: int, topic: str, payload: bytes) -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10.0)
    client.disconnect()
    client.loop_stop()


def test_a_retained_message_survives_an_orderly_restart_of_the_broker(broker) -> None:
    retain(broker.port, "kept", b"1")
    port = broker.port
    broker.stop()
    assert not broker.running
    broker.start()
    assert broker.port == port
    assert retained(broker.port, "kept") == b"1"
    assert retained(broker.port, "never/sent") is None


def test_a_killed_broker_comes_back_on_its_port(broker) -> None:
    port = broker.port
    broker.kill()
    assert not broker.running
    broker.start()
    assert (broker.running, broker.port) == (True, port)
