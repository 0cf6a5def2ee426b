"""The bench's load: motors, their readings, and a publisher that fills a broker."""

from __future__ import annotations

import functools
import json
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import paho.mqtt.client as mqtt

from service.contract import codec, topics
from service.contract.bearing import CATALOGUE
from service.contract.signals import OPERATING
from simulator.fleet import Fleet
from simulator.scenario import LoadPlan, MotorPlan, Sampling, Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.contract.messages import Birth, Reading

FS_HZ = 12_000.0
SAMPLES = 4096
INT16_SCALE = 0.01
JSON_DECIMALS = 3
CLIENT_WINDOW = 500
_MACHINES, _MOMENTS = 16, 4


class Machines(NamedTuple):
    """The twin's machines: how each introduces itself, and its readings, ``_MOMENTS`` of each."""

    births: tuple[Birth, ...]
    readings: tuple[tuple[Reading, ...], ...]


@functools.cache
def machines() -> Machines:
    """Sixteen healthy 7.5 kW motors of the twin under four fifths of their load, each with tolerances of its own."""
    motors = tuple(
        MotorPlan(id=f"machine-{number}", rating="7.5kW-4p-50Hz", bearing=CATALOGUE["6205"], load=LoadPlan(level=0.8))
        for number in range(_MACHINES)
    )
    fleet = Fleet(
        Scenario(
            title="the bench's machines",
            seed=1,
            duration_h=_MOMENTS / 60.0,
            step_h=1.0 / 60.0,
            sampling=Sampling(fs_hz=FS_HZ, samples=SAMPLES),
            motor=motors,
        )
    )
    ticks = [[_rounded(reading) for reading in tick.readings if reading] for tick in fleet.ticks()][:_MOMENTS]
    return Machines(fleet.births(interval_s=1.0, clock="simulated"), tuple(zip(*ticks, strict=True)))


def _rounded(reading: Reading) -> Reading:
    """As a sensor's converter tells it, so that JSON is not longer than it need be."""
    waves = {axis: wave.round(JSON_DECIMALS).astype(np.float32) for axis, wave in reading.accel_m_s2.items()}
    scalars = {name: round(value, 4) for name in OPERATING if (value := getattr(reading, name)) is not None}
    return reading.model_copy(update={"accel_m_s2": waves, **scalars})


def motor_id(index: int) -> str:
    """Name of the bench's motor number ``index``."""
    return f"bench-{index:05d}"


def births(count: int) -> list[tuple[str, bytes]]:
    """``(topic, payload)`` of ``count`` motors introducing themselves on a simulated clock."""
    known, now_s = machines().births, time.time()
    return [
        (
            topics.motor(motor_id(i), "birth"),
            codec.encode_json(
                known[i % _MACHINES].model_copy(update={"motor": motor_id(i), "name": motor_id(i), "ts_s": now_s})
            ),
        )
        for i in range(count)
    ]


class Readings:
    """Encoded readings of the twin's healthy machines; ``payload`` costs one encoding and no synthesis."""

    def __init__(self, encoding: str, *, boot: str) -> None:
        """Prepare; ``encoding`` is ``cbor`` or ``json``."""
        self._encoding = encoding
        self._boot = boot
        self._start_ts_s = float(int(time.time()))
        self._readings = machines().readings
        self._json: dict[int, str] = {}

    def payload(self, motor: int, seq: int) -> tuple[str, bytes]:
        """``(topic, payload)`` of one reading; readings of a motor are one second of its clock apart."""
        name = motor_id(motor)
        machine, moment = motor % _MACHINES, seq % _MOMENTS
        said = {"motor": name, "boot": self._boot, "seq": seq, "ts_s": self._start_ts_s + seq}
        reading, topic = self._readings[machine][moment], topics.motor(name, "reading")
        if self._encoding == "cbor":
            return topic, codec.encode_cbor(reading.model_copy(update=said), scale_m_s2=INT16_SCALE)
        number = machine * _MOMENTS + moment
        if number not in self._json:
            self._json[number] = self._rest(reading)
        return topic, f"{json.dumps(said, separators=(',', ':'))[:-1]},{self._json[number]}".encode()

    @staticmethod
    def _rest(reading: Reading) -> str:
        """All of a reading but what it is called, as JSON without the opening brace."""
        scalars = ",".join(f'"{name}":{getattr(reading, name)}' for name in ("fs_hz", *OPERATING))
        wave = ",".join(f"{value:.{JSON_DECIMALS}f}" for value in reading.accel_m_s2["x"])
        return f'{scalars},"accel_m_s2":{{"x":[{wave}]}}}}'


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
