"""A release of images under traffic: the agent replaces the edge's container by digest, and takes a bad one back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from paho.mqtt.enums import CallbackAPIVersion

from service.contract.codec import decode_reading
from tests.conftest import Broker, free_port
from tests.registry import push, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.containers

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "/var/run/docker.sock"
READINGS_PER_S = 4.0
BAD = {
    "ends at once": ('ENTRYPOINT ["python", "-c", "raise SystemExit(7)"]', "its container ended with status 7"),
    "does not start": ('ENTRYPOINT ["/no/such/program"]', "no such file"),
    "is never ready": ('ENTRYPOINT ["sleep", "600"]', "not ready within 6 s"),
}


def docker(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, input=given, timeout=300.0
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0):  # noqa: S310 - our own address
            return True
    except OSError:
        return False


class Relay:
    """Hears every reading at one broker, says the same at another, and keeps account of the answers."""

    def __init__(self, port: int, other: int) -> None:
        self.sent: set[tuple[str, str, int]] = set()
        self.back: set[tuple[str, str, int]] = set()
        self.states: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._out, self._in = (mqtt.Client(CallbackAPIVersion.VERSION2) for _ in range(2))
        self._out.max_queued_messages_set(0)
        self._in.on_connect = lambda client, *_: client.subscribe("motortwin/v1/#", qos=1)
        self._in.on_message = self._heard
        for client, number in ((self._out, other), (self._in, port)):
            client.connect("127.0.0.1", number)
            client.loop_start()

    def close(self) -> None:
        """No more."""
        for client in (self._in, self._out):
            client.disconnect()
            client.loop_stop()

    def missing(self) -> set[tuple[str, str, int]]:
        """Readings without an answer."""
        with self._lock:
            return self.sent - self.back

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind, payload = message.topic.split("/")[4], message.payload
        with self._lock:
            if kind in ("reading", "birth"):
                self._out.publish(message.topic, payload, qos=1, retain=message.retain or kind == "birth")
            if kind == "reading":
                reading = decode_reading(payload)
                self.sent.add((reading.motor, reading.boot, reading.seq))
            elif kind == "health" and payload:
                told = json.loads(payload)
                self.back.add((told["motor"], told["boot"], told["seq"]))
            elif kind == "release":
                self.states.append(json.loads(payload))


class Site:
    """Two edges in containers hear the same readings; one of them has an agent."""

    def __init__(self, folder: Path, registry: str, broker: Broker, other: Broker) -> None:
        self._folder, self.registry = folder, registry
        self.broker, self.other = broker, other
        self.made: list[str] = []
        self.cold_s: list[float] = []
        self.name = f"motortwin-swap-{uuid.uuid4().hex[:6]}"
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "key.pem").write_bytes(public)
        self.urls = [self._edge(name, one) for name, one in ((self.name, broker), (f"{self.name}-reference", other))]
        self.metrics_url = f"http://127.0.0.1:{free_port()}/metrics"
        self.programs: list[subprocess.Popen[bytes]] = []
        self.settings = {
            "AGENT_REGISTRY": registry,
            "AGENT_KEYS": str(folder / "key.pem"),
            "AGENT_EDGE_URL": self.urls[0],
            "AGENT_EDGE_DATA": str(folder / self.name),
            "AGENT_DATA": str(folder / "agent"),
            "AGENT_POLL_S": "0.5",
            "AGENT_MQTT_URL": broker.url,
            "AGENT_METRICS_PORT": self.metrics_url.split(":")[2].split("/", maxsplit=1)[0],
            "AGENT_ENGINE": ENGINE,
            "AGENT_CONTAINER": self.name,
            "AGENT_SOAK_S": "2",
            "AGENT_MIN_READINGS": "8",
            "AGENT_READY_S": "6",
        }

    def _edge(self, name: str, broker: Broker) -> str:
        data, port = self._folder / name, free_port()
        data.mkdir()
        os.chown(data, 10001, 10001)
        settings = {
            "MQTT_URL": broker.url,
            "MOTORTWIN_HTTP_PORT": str(port),
            "MOTORTWIN_HTTP_HOST": "127.0.0.1",
            "MOTORTWIN_MQTT_RETRY_MAX_S": "1",
        }
        given = [part for pair in settings.items() for part in ("--env", "=".join(pair))]
        options = ["--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp", "--restart", "unless-stopped"]  # noqa: S108
        mount = ["--volume", f"{data}:/data", "--network", "host"]
        begun_s = time.monotonic()
        docker("run", "--detach", "--name", name, *options, *mount, *given, "motortwin/edge:latest")
        url = f"http://127.0.0.1:{port}"
        while not _answers(f"{url}/v2/health/ready"):
            assert time.monotonic() < begun_s + 30.0, "the edge does not become ready"
            time.sleep(0.05)
        self.cold_s.append(time.monotonic() - begun_s)
        return url

    def start(self, *command: str, name: str, **more: str) -> subprocess.Popen[bytes]:
        """A program that ends with the site."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self.programs.append(
                subprocess.Popen(command, cwd=ROOT, env={**os.environ, **more}, stdout=log, stderr=log)
            )
        return self.programs[-1]

    def agent(self) -> subprocess.Popen[bytes]:
        """The agent."""
        return self.start(sys.executable, "-m", "deploy.agent", name="agent", **self.settings)

    def image(self, line: str) -> str:
        """An edge image with one more line in its recipe, in the registry; its address by digest."""
        tag = f"{self.registry}/motortwin/edge:{uuid.uuid4().hex[:8]}"
        docker("build", "--quiet", "--tag", tag, "-", given=f"FROM motortwin/edge:latest\n{line}\n")
        told = docker("push", tag)
        docker("image", "rm", tag)
        found = re.search(r"sha256:[0-9a-f]{64}", told)
        assert found
        self.made.append(f"{self.registry}/motortwin/edge@{found[0]}")
        return self.made[-1]

    def publish(self, sequence: int, edge: str) -> str:
        """A release of this image; its digest."""
        document = {
            "schema_version": 1,
            "project": "motortwin",
            "sequence": sequence,
            "lane": "images",
            "not_after": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
            "bundle": {"digest": "0" * 64, "image": f"{self.registry}/motortwin/models@sha256:{'0' * 64}"},
            "images": {"edge": edge},
        }
        raw = json.dumps(document).encode()
        told = {
            "format": 1,
            "key": hashlib.sha256(self.key.public_key().public_bytes_raw()).hexdigest()[:16],
            "signature": base64.b64encode(self.key.sign(raw)).decode(),
        }
        signed = {"release.json": raw, "release.json.sig": json.dumps(told).encode()}
        return push(self.registry, "release", "rest", signed)

    def journal(self) -> dict[str, Any]:
        """What the agent has written down."""
        path = self._folder / "agent" / "journal.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "idle", "seen": ""}

    def state(self) -> int:
        """Exit status of ``--state``."""
        command = [sys.executable, "-m", "deploy.agent", "--state"]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.settings}, capture_output=True, check=False
        ).returncode

    def running(self) -> str:
        """Id of the image that runs under the edge's name."""
        state, image = docker("inspect", "--format", "{{.State.Running}} {{.Image}}", self.name).split()
        assert state == "true"
        return image

    def filters(self, motors: set[str]) -> list[dict[str, Any]]:
        """What each edge's health filter holds, by motor."""
        found = []
        for url in self.urls:
            documents = {}
            for motor in sorted(motors):
                with urllib.request.urlopen(f"{url}/v1/motors/{motor}", timeout=5.0) as answer:  # noqa: S310
                    documents[motor] = json.loads(answer.read())["filter"]
            found.append(documents)
        return found

    def close(self) -> None:
        """Everything ends."""
        for program in reversed(self.programs):
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(timeout=20.0)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        names = [f"{self.name}{end}" for end in ("", "-reference", "-next", "-before")]
        subprocess.run(["docker", "rm", "--force", *names], capture_output=True, check=False)
        subprocess.run(["docker", "image", "rm", "motortwin/edge:release-10"], capture_output=True, check=False)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    request.getfixturevalue("images")
    (tmp_path / "registry").mkdir()
    brokers = [Broker(tmp_path / name) for name in ("here", "there")]
    for broker in brokers:
        broker.start()
    with serving(tmp_path / "registry") as registry:
        made = Site(tmp_path, registry, *brokers)
        yield made
        made.close()
    for broker in brokers:
        broker.kill()


def test_a_new_image_comes_under_traffic_and_a_bad_one_goes_by_itself(
    site: Site,
    eventually: Callable[..., Any],
    get: Callable[[str], str],
    kept: Path,
) -> None:
    relay = Relay(site.broker.port, site.other.port)
    twin = site.start(
        sys.executable,
        "-m",
        "simulator",
        "run",
        "outer_race",
        "--speedup",
        str(READINGS_PER_S * 7200),
        name="twin",
        MQTT_URL=site.broker.url,
    )
    eventually("readings", lambda: len(relay.back) >= 12, within_s=30.0)
    site.agent()
    old = site.running()
    good = site.publish(10, site.image('LABEL org.motortwin.test="good"'))

    def ended(release: str) -> Any:
        found = site.journal()
        return found if found["seen"] == release and found["state"] not in ("pending", "installing") else None

    found = eventually("the good image", lambda: ended(good), within_s=60.0)
    assert (found["state"], found["reason"], site.state()) == ("installed", "", 0)
    new = site.running()
    assert new != old
    gap_s = found["gap_s"]
    assert 0.0 < gap_s < 6.0
    lines = [f"edge container, from docker run to ready: {min(site.cold_s):.2f} s"]
    lines.append(f"image swap under traffic: {gap_s:.2f} s without a ready edge")
    for sequence, (what, (line, reason)) in enumerate(BAD.items(), start=20):
        bad = site.publish(sequence, site.image(line))
        found = eventually(what, lambda bad=bad: ended(bad), within_s=60.0)
        assert (found["state"], site.state()) == ("rolled_back", 5)
        assert reason in found["reason"]
        assert site.running() == new
        assert f'motortwin_agent_releases_total{{state="rolled_back"}} {sequence - 19}.0' in get(site.metrics_url)
        lines.append(f"an image that {what}: back after {found['back_s']:.2f} s ({found['reason']})")
    # the same image under a higher number is known to be bad
    again = site.publish(30, site.made[-1])
    found = eventually("the same image again", lambda: ended(again), within_s=30.0)
    assert found["state"] == "failed"
    assert "failed here before" in found["reason"]

    twin.send_signal(signal.SIGTERM)
    twin.wait(timeout=20.0)
    eventually("every answer", lambda: not relay.missing(), within_s=30.0)
    time.sleep(1.0)
    here, there = site.filters({motor for motor, _, _ in relay.sent})
    relay.close()
    worst = max(
        abs(value - there[motor][name]) / max(1.0, abs(there[motor][name]))
        for motor, state in here.items()
        for name, value in state.items()
    )
    # the readings that waited came in larger batches, which float32 rounds differently
    assert worst <= 1e-6
    lost = len(relay.missing())
    lines.append(f"readings {len(relay.sent)}, lost {lost}; filter state beside an edge without a swap: {worst:.1e}")
    (kept / "image-swap.txt").write_text("\n".join(lines) + "\n")
    told = [state["state"] for state in relay.states]
    assert told.count("rolled_back") >= 3
