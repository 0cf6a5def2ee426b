"""The edge as a process of its own beside a real broker, and someone who watches every topic."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from service.contract import codec, topics
from service.contract.messages import Birth, Nameplate
from tests.conftest import ROOT, Broker, free_port
from tests.service.core.conftest import make_reading, write_bundle
from tests.system.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.contract.messages import Reading

PATIENCE_S = 15.0


def wait_until(true: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S, pause_s: float = 0.02) -> Any:
    """What ``true`` returns as soon as that is true; fails the test with ``what`` otherwise."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = true()
        if value:
            return value
        time.sleep(pause_s)
    return pytest.fail(f"waited {timeout_s:.0f} s in vain: {what}")


class Edge:
    """``python -m service`` with a folder of its own; its port is its own choice and is read from its log."""

    def __init__(self, folder: Path, bundle: Path, url: str) -> None:
        self.data = folder / "data"
        self.log = folder / "edge.log"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MQTT_", "MOTORTWIN_"))},
            "OMP_NUM_THREADS": "1",
            "MQTT_URL": url,
            "MOTORTWIN_BUNDLE": str(bundle),
            "MOTORTWIN_DATA_DIR": str(self.data),
            "MOTORTWIN_HTTP_PORT": "0",
            "MOTORTWIN_MQTT_RETRY_MAX_S": "1",
        }
        self.arguments: tuple[str, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def set(self, **environment: str) -> Edge:
        """Change settings for the next start."""
        self.environment |= environment
        return self

    def start(self, *, ready: bool = True, patience_s: float = PATIENCE_S) -> Edge:
        """Start it; wait for its page, and until it is ready, ``patience_s`` each: a starved machine starts slowly."""
        self.log.write_bytes(b"")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.address = wait_until(self._page, f"the edge's page; log:\n{self.log.read_text()}", patience_s)
        if ready:
            wait_until(lambda: self.answer("/health/ready")[0] == 200, "readiness", patience_s)
        return self

    def stop(self) -> int:
        """End it in good order; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        """End it like a power cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of one GET; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5.0) as answer:  # noqa: S310 - our own address
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def json(self, path: str) -> Any:
        """The JSON that a GET brings."""
        return json.loads(self.answer(path)[1])

    def metric(self, name: str) -> float:
        """One sample of ``/metrics`` by its name with labels; 0 where it is absent."""
        lines = self.answer("/metrics")[1].decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)

    def _page(self) -> str | None:
        found = re.search(r"page (http://[0-9.:]+)/", self.log.read_text())
        if found is None and self.process is not None and self.process.poll() is not None:
            pytest.fail(f"the edge ended at once:\n{self.log.read_text()}")
        return found[1] if found else None


@dataclass(frozen=True)
class Heard:
    """One message that the watcher got."""

    topic: str
    payload: bytes
    retain: bool

    @property
    def body(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


class Watcher:
    """A plain client that hears every topic and can publish."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        self.heard: list[Heard] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(500)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.username_pw_set(user, password)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "the watcher could not subscribe"

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the broker."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def send(self, *readings: Reading) -> None:
        """Publish readings as CBOR."""
        for reading in readings:
            self.publish(topics.motor(reading.motor, "reading"), codec.encode_cbor(reading))

    def introduce(self, motor: str, *, interval_s: float = 60.0, clock: str = "simulated") -> None:
        """Publish a motor's retained birth."""
        plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)
        birth = Birth(motor=motor, ts_s=time.time(), nameplate=plate, interval_s=interval_s, clock=clock)
        self.publish(topics.motor(motor, "birth"), codec.encode_json(birth), retain=True)

    def on(self, topic: str) -> list[Heard]:
        """What came on one topic, in order."""
        return [heard for heard in list(self.heard) if heard.topic == topic]

    def wait_for(self, topic: str, wanted: Callable[[Any], bool] = bool, timeout_s: float = PATIENCE_S) -> Any:
        """The body of the newest message on a topic, once it is as wanted."""

        def newest() -> Any:
            return next((h.body for h in reversed(self.on(topic)) if h.payload and wanted(h.body)), None)

        return wait_until(newest, f"message on {topic}", timeout_s)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answers the samples dictate."""
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def edge(tmp_path: Path, tiny_bundle: Path, broker: Broker) -> Iterator[Edge]:
    """An edge that is not started yet."""
    service = Edge(tmp_path, tiny_bundle, broker.url)
    yield service
    service.kill()


@pytest.fixture
def watch(broker: Broker) -> Iterator[Callable[[], Watcher]]:
    """Makes watchers."""
    with contextlib.ExitStack() as stack:

        def make() -> Watcher:
            watcher = Watcher(broker.port)
            stack.callback(watcher.close)
            return watcher

        yield make


@pytest.fixture
def watcher(watch: Callable[[], Watcher]) -> Watcher:
    """Someone who hears everything from before the edge starts."""
    return watch()


@pytest.fixture
def reading() -> Callable[..., Reading]:
    """Makes readings on which the tiny bundle says what is demanded."""
    return make_reading


@pytest.fixture
def browse() -> Iterator[Callable[[int, int], Browser]]:
    """Makes browsers of a given width and height."""
    program = shutil.which("chromedriver")
    if program is None:
        pytest.skip("chromedriver is absent; apt-get install chromium-driver")
    port = free_port()
    driver = subprocess.Popen([program, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1):
                return True
        except OSError:
            return False

    wait_until(answers, "chromedriver")
    with contextlib.ExitStack() as stack:
        stack.callback(driver.wait, PATIENCE_S)
        stack.callback(driver.terminate)

        def make(width: int, height: int) -> Browser:
            browser = Browser(port, width, height)
            stack.callback(browser.close)
            return browser

        yield make
