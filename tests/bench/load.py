"""The bench's load: motors, their readings, and a publisher that fills a broker."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import paho.mqtt.client as mqtt

from service.contract import codec, topics
from service.contract.bearing import CATALOGUE
from service.contract.messages import Birth, Nameplate, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

FS_HZ = 12_000.0
SAMPLES = 4096
SPEED_RPM = 1480.0
INT16_SCALE = 0.01
JSON_DECIMALS = 3
CLIENT_WINDOW = 500


def motor_id(index: int) -> str:
    """Name of the bench's motor number ``index``."""
    return f"bench-{index:05d}"


def births(count: int) -> list[tuple[str, bytes]]:
    """``(topic, payload)`` of ``count`` motors introducing themselves on a simulated clock."""
    plate = Nameplate(rated_power_w=7500.0, rated_speed_rpm=SPEED_RPM, rated_current_a=15.0)
    return [
        (
            topics.motor(motor_id(i), "birth"),
            codec.encode_json(
                Birth(
                    motor=motor_id(i),
                    ts_s=time.time(),
                    nameplate=plate,
                    bearing=CATALOGUE["6205"],
                    interval_s=1.0,
                    clock="simulated",
                )
            ),
        )
        for i in range(count)
    ]


class Readings:
    """Encoded readings of healthy motors; each call of ``payload`` costs one encoding and no synthesis."""

    def __init__(self, encoding: str, *, boot: str, seed: int = 1) -> None:
        """Prepare 16 distinct waveforms; ``encoding`` is ``cbor`` or ``json``."""
        rng = np.random.default_rng(seed)
        t = np.arange(SAMPLES) / FS_HZ
        shaft = 2 * np.pi * SPEED_RPM / 60 * t
        self._waves = [
            (rng.normal(0, 1.0, SAMPLES) + 0.5 * np.sin(shaft + rng.uniform(0, 6.28))).round(JSON_DECIMALS).astype("f4")
            for _ in range(16)
        ]
        self._json = ["[" + ",".join(f"{v:.{JSON_DECIMALS}f}" for v in wave) + "]" for wave in self._waves]
        self._encoding = encoding
        self._boot = boot
        self._start_ts_s = float(int(time.time()))

    def payload(self, motor: int, seq: int) -> tuple[str, bytes]:
        """``(topic, payload)`` of one reading; readings of a motor are one second of its clock apart."""
        name = motor_id(motor)
        wave = (motor * 7 + seq) % len(self._waves)
        topic = topics.motor(name, "reading")
        scalars = {
            "speed_rpm": SPEED_RPM,
            "current_a": 12.0,
            "load": 0.8,
            "winding_c": 75.0,
            "housing_c": 50.0,
            "ambient_c": 22.0,
        }
        ts_s = self._start_ts_s + seq
        if self._encoding == "cbor":
            reading = Reading(
                motor=name,
                boot=self._boot,
                seq=seq,
                ts_s=ts_s,
                fs_hz=FS_HZ,
                accel_m_s2={"x": self._waves[wave]},
                **scalars,
            )
            return topic, codec.encode_cbor(reading, scale_m_s2=INT16_SCALE)
        head = f'{{"motor":"{name}","boot":"{self._boot}","seq":{seq},"ts_s":{ts_s},"fs_hz":{FS_HZ},'
        tail = ",".join(f'"{key}":{value}' for key, value in scalars.items())
        return topic, f'{head}{tail},"accel_m_s2":{{"x":{self._json[wave]}}}}}'.encode()


class Publisher:
    """A plain paho client that publishes at QoS 1 and knows when the broker has acknowledged everything."""

    def __init__(self, host: str, port: int) -> None:
        """Connect; raises ``OSError`` when there is no broker."""
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(CLIENT_WINDOW)
        self._client.on_publish = self._acknowledged
        self._room = threading.Semaphore(CLIENT_WINDOW)
        self._open = 0
        self._lock = threading.Condition()
        self._client.connect(host, port)
        self._client.loop_start()

    def _acknowledged(self, *_: object) -> None:
        self._room.release()
        with self._lock:
            self._open -= 1
            self._lock.notify_all()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue one message, waiting while the client's window is full."""
        self._room.acquire()
        with self._lock:
            self._open += 1
        self._client.publish(topic, payload, qos=1, retain=retain)

    def publish_all(self, messages: Sequence[tuple[str, bytes]], *, retain: bool = False) -> None:
        """Publish and wait for every acknowledgement."""
        for topic, payload in messages:
            self.publish(topic, payload, retain=retain)
        self.drain()

    def drain(self) -> None:
        """Wait until the broker holds everything; ``TimeoutError`` after a minute without progress."""
        with self._lock:
            while self._open:
                before = self._open
                if not self._lock.wait_for(lambda: self._open < before, timeout=60):  # noqa: B023 - used at once
                    raise TimeoutError(f"the broker left {self._open} messages unacknowledged for 60 s")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
