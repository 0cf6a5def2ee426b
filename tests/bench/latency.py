"""Publish to health, as another MQTT client sees it, at a steady rate."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import paho.mqtt.client as mqtt

from service.contract import topics
from tests.bench.load import Publisher, Readings, births, motor_id
from tests.bench.processes import HOST, Edge, Mosquitto

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 15


class Answered(NamedTuple):
    """How fast the service answered, what it holds, and how long its start took."""

    p50_ms: float
    p99_ms: float
    rss_mib: float
    start_s: float
    cpu_share: float
    """Of one core, while it answered."""


def steady(folder: Path, seconds: int, *, motors: int) -> Answered:
    """``motors`` motors of one reading a second each, evenly spread, for ``seconds``."""
    broker = Mosquitto(folder)
    publisher = Publisher(HOST, broker.port)
    publisher.publish_all(births(motors), retain=True)
    service = Edge(broker, folder)
    sent: dict[tuple[str, int], float] = {}
    delays: list[float] = []
    done = threading.Event()
    expected = motors * seconds

    def on_message(_: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        now = time.perf_counter()
        body = json.loads(message.payload)
        at = sent.pop((body["motor"], body["seq"]), None)
        if at is not None:
            delays.append((now - at) * 1e3)
            if len(delays) >= expected:
                done.set()

    listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    listener.on_message = on_message
    subscribed = threading.Event()
    listener.on_subscribe = lambda *_: subscribed.set()
    listener.connect(HOST, broker.port)
    listener.subscribe(topics.every_motor("health"), qos=0)
    listener.loop_start()
    try:
        if not subscribed.wait(10):
            raise TimeoutError("the listener could not subscribe")
        readings = Readings("cbor", boot="live")
        ready = [(i, seq, *readings.payload(i, seq)) for seq in range(seconds) for i in range(motors)]
        cpu_s = service.cpu_s()
        start = time.perf_counter() + 0.1
        for number, (motor, seq, topic, payload) in enumerate(ready):
            pause = start + number / motors - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            sent[motor_id(motor), seq] = time.perf_counter()
            publisher.publish(topic, payload)
        done.wait(PATIENCE_S)
        took_s = time.perf_counter() - start
        if len(delays) < expected:
            raise RuntimeError(f"only {len(delays)} of {expected} readings were answered")
        p50, p99 = np.percentile(delays, [50, 99])
        share = (service.cpu_s() - cpu_s) / took_s
        return Answered(float(p50), float(p99), service.rss_mib(), service.start_s, share)
    finally:
        publisher.close()
        listener.disconnect()
        listener.loop_stop()
        service.stop()
        broker.stop()
