"""Steps of the agent beside a registry and an edge that answer over the wire as the test says."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.agent.agent import Agent
from deploy.agent.edge import Edge
from deploy.agent.journal import Journal
from deploy.agent.models import Models
from deploy.agent.patience import TRIES, Patience
from deploy.agent.registry import Registry
from deploy.agent.report import Report
from deploy.agent.settings import Settings
from tests.registry import digest_of, layer, manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUNNING = b"what runs"


def name_of(key: Ed25519PrivateKey) -> str:
    """As pinned keys are named."""
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]


class Wire:
    """A registry and an edge behind one port; counts what was asked for."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.model: dict[str, Any] = {"digest": hashlib.sha256(RUNNING).hexdigest(), "candidate": None}
        self.live: Callable[[str], bytes | None] = lambda _: None
        self.before: Callable[[str], None] = lambda _: None
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wire.asked.append(self.path)
                wire.before(self.path)
                body = json.dumps(wire.model).encode() if self.path == "/v1/model" else wire.answers.get(self.path)
                body = body if body is not None else wire.live(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """No more answers."""
        self.server.shutdown()
        self.server.server_close()

    def put(self, name: str, tag: str, files: dict[str, bytes]) -> str:
        """An image; its digest."""
        blob = layer(files)
        manifest = manifest_of(blob)
        root = f"/v2/motortwin/{name}"
        for content in (blob, b"{}"):
            self.answers[f"{root}/blobs/{digest_of(content)}"] = content
        for reference in (tag, digest_of(manifest)):
            self.answers[f"{root}/manifests/{reference}"] = manifest
        return digest_of(manifest)

    def publish(self, sequence: int, *, key: Ed25519PrivateKey | None = None, **change: Any) -> str:
        """A release of models with a bundle of its own in the wave "rest"; its digest."""
        manifest = b"bundle %d" % sequence
        image = self.put("models", str(sequence), {"manifest.json": manifest, "bundle.sig": b"{}"})
        document = {
            "schema_version": 1,
            "project": "motortwin",
            "sequence": sequence,
            "lane": "models",
            "not_after": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "bundle": {"digest": hashlib.sha256(manifest).hexdigest(), "image": f"{self.address}/models@{image}"},
        }
        raw, signer = json.dumps(document | change).encode(), key or self.key
        told = {"format": 1, "key": name_of(signer), "signature": base64.b64encode(signer.sign(raw)).decode()}
        return self.put("release", "rest", {"release.json": raw, "release.json.sig": json.dumps(told).encode()})

    def spoil(self, name: str) -> None:
        """All content of an image's repository is cut short from now on."""
        for path in list(self.answers):
            if f"/{name}/blobs/" in path:
                self.answers[path] = self.answers[path][:-9]

    def fetched(self, part: str) -> int:
        """How often something was asked for."""
        return sum(part in path for path in self.asked)


class Device:
    """An agent and its report, made anew by ``restart``."""

    def __init__(self, folder: Path, wire: Wire) -> None:
        self._folder, self._wire = folder, wire
        self.keys = {name_of(wire.key): wire.key.public_key()}
        self.journal = Journal(folder / "agent")
        self.restart()

    def restart(self) -> None:
        """From the journal."""
        self.journal.close()
        self.journal = Journal(self._folder / "agent")
        self.report = Report(Settings(registry="", keys=""))
        registry = Registry(self._wire.address)
        lanes = {"models": Models(registry, Edge(f"http://{self._wire.address}", self._folder), self.journal, 60.0)}
        self.agent = Agent(registry, self.journal, self.keys, "rest", lanes, 1e-4)
        self.report.say(self.journal.record)
        self.journal.told = self.report.say

    def ended(self, state: str) -> float:
        """How many releases ended so, as /metrics says it."""
        return self.report._ended.labels(state)._value.get()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@pytest.fixture
def device(tmp_path: Path, wire: Wire) -> Iterator[Device]:
    made = Device(tmp_path, wire)
    yield made
    made.journal.close()


def test_a_release_refused_by_a_wrong_clock_is_taken_once_the_clock_is_right(
    device: Device, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2049, 1, 1, tzinfo=tz)

    wire.publish(7)
    with monkeypatch.context() as patched:
        patched.setattr("deploy.agent.agent.datetime", Clock)
        for _ in range(3):
            device.agent.step()
    record = device.journal.record
    assert (record.state, record.desired, record.refused) == ("failed", None, {})
    assert "by this device's clock" in record.reason
    assert device.ended("failed") == 1
    device.restart()
    device.agent.step()
    assert (device.journal.record.state, device.journal.record.sequence) == ("installing", 7)


def test_a_release_of_a_key_pinned_late_is_taken_then_and_is_fetched_once_until_then(
    device: Device, wire: Wire
) -> None:
    key = Ed25519PrivateKey.generate()
    wire.publish(7, key=key)
    for _ in range(5):
        device.agent.step()
    assert "not pinned here" in device.journal.record.reason
    assert wire.fetched("/release/blobs/") == 1
    device.keys[name_of(key)] = key.public_key()
    device.agent.step()
    assert device.journal.record.state == "installing"


@pytest.mark.parametrize("flaw", ["signature", "replayed"])
def test_what_is_bad_for_ever_is_not_fetched_again(device: Device, wire: Wire, flaw: str) -> None:
    device.journal.change(sequence=9)
    if flaw == "replayed":
        digest = wire.publish(8)
    else:
        wire.publish(10)
        forged = {"release.json": b"{}", "release.json.sig": b""}
        told = {"format": 1, "key": name_of(wire.key), "signature": base64.b64encode(bytes(64)).decode()}
        digest = wire.put("release", "rest", forged | {"release.json.sig": json.dumps(told).encode()})
    for _ in range(5):
        device.agent.step()
    assert digest in device.journal.record.refused
    assert wire.fetched("/release/blobs/") == 1
    assert device.ended("failed") == 1


@pytest.mark.parametrize("name", ["release", "models"])
def test_damaged_content_is_asked_for_a_few_times_and_then_remembered(device: Device, wire: Wire, name: str) -> None:
    digest = wire.publish(7)
    wire.spoil(name)
    while not device.journal.record.refused:
        device.agent.step()
    assert wire.fetched(f"/{name}/blobs/") == TRIES
    assert digest in device.journal.record.refused
    assert "are not what its digest says" in device.journal.record.reason
    assert device.ended("failed") == 1
    for _ in range(5):
        device.agent.step()
    assert wire.fetched(f"/{name}/blobs/") == TRIES
    wire.publish(8)
    device.agent.step()
    assert device.journal.record.state == "installing"


def test_damaged_content_is_left_alone_for_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("deploy.agent.patience.time.monotonic", lambda: now_s)
    patience, waits = Patience(60.0), []
    for _ in range(9):
        patience.failed()
        begun_s = now_s
        while patience.waiting:
            now_s += 30.0
        waits.append(now_s - begun_s)
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]
    patience.failed()
    patience.over()
    assert not patience.waiting


def test_an_end_is_counted_once_and_not_again_at_the_next_start(device: Device, wire: Wire) -> None:
    wire.publish(7)
    device.agent.step()
    assert device.ended("installed") == 0
    wire.model["digest"] = hashlib.sha256(b"bundle 7").hexdigest()
    for _ in range(3):
        device.agent.step()
    assert device.journal.record.state == "installed"
    assert device.ended("installed") == 1
    device.restart()
    device.agent.step()
    assert device.ended("installed") == 0


def test_a_wave_that_is_taken_back_leaves_a_device_that_has_the_old_release_alone(device: Device, wire: Wire) -> None:
    wire.publish(7)
    good = {path: body for path, body in wire.answers.items() if path.endswith("/release/manifests/rest")}
    device.agent.step()
    wire.model["digest"] = hashlib.sha256(b"bundle 7").hexdigest()
    device.agent.step()
    bad = wire.publish(8)
    device.agent.step()
    wire.model["candidate"] = {
        "digest": hashlib.sha256(b"bundle 8").hexdigest(),
        "release": 8,
        "phase": "rolled_back",
        "reason": "worse",
    }
    device.agent.step()
    assert (device.journal.record.state, device.journal.record.refused) == ("rolled_back", {bad: "worse"})
    wire.answers |= good
    device.agent.step()
    record = device.journal.record
    assert (record.state, record.reason, record.desired, record.sequence) == ("installed", "", None, 8)


@pytest.mark.parametrize("back", [False, True])
def test_a_release_whose_models_are_gone_keeps_nobody_from_the_next_or_the_last(
    device: Device, wire: Wire, back: bool
) -> None:
    first = wire.publish(7)
    tag = "/v2/motortwin/release/manifests/rest"
    last = wire.answers[tag]
    device.agent.step()
    wire.model["digest"] = hashlib.sha256(b"bundle 7").hexdigest()
    device.agent.step()
    wire.publish(8)
    for path in [path for path in wire.answers if "/models/manifests/" in path]:
        del wire.answers[path]
    for _ in range(3):
        device.agent.step()
    assert "404" in device.agent.trouble
    assert device.journal.record.state == "pending"
    if back:
        wire.answers[tag] = last
        device.agent.step()
        assert (device.journal.record.state, device.journal.record.seen) == ("installed", first)
    else:
        wire.publish(9)
        device.agent.step()
        assert (device.journal.record.state, device.journal.record.sequence) == ("installing", 9)


def test_nothing_is_taken_while_nobody_knows_which_number_was_the_last(device: Device, wire: Wire) -> None:
    wire.publish(7)
    device.journal.blocked = "the journal is gone"
    device.agent.step()
    assert device.agent.trouble == "the journal is gone"
    assert wire.asked == []
