"""A new bundle comes into use under traffic: real broker, real service, a signed folder in the watched place."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from paho.mqtt.enums import CallbackAPIVersion

from service.chronicle import EARLIER_KEPT
from service.contract import codec, topics
from service.motor import MotorState
from tests.conftest import ROOT
from tests.service.core.conftest import make_reading
from tests.service.swap.conftest import Press
from tests.system.conftest import Edge, Watcher, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Broker

HEALTHS = topics.every_motor("health")


@dataclass
class Traffic:
    """Readings at a steady rate, and when each health came back."""

    port: int
    motors: int
    per_s: float
    sent_s: dict[tuple[str, int], float] = field(default_factory=dict)
    back_s: dict[tuple[str, int], float] = field(default_factory=dict)
    models: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._raw: list[tuple[float, bytes]] = []
        self._out, self._in = (mqtt.Client(CallbackAPIVersion.VERSION2) for _ in range(2))
        self._in.on_connect = lambda client, *_: client.subscribe(HEALTHS, qos=0)
        self._in.on_message = lambda _c, _d, message: self._raw.append((time.monotonic(), message.payload))
        self._out.max_inflight_messages_set(1000)
        for client in (self._out, self._in):
            client.connect("127.0.0.1", self.port)
            client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)  # a test that fails ends all the same

    def start(self) -> Traffic:
        """Begin to send."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send no more and wait until everything has come back or nothing comes any more."""
        self._stop.set()
        self._thread.join()
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and len(self._raw) < len(self.sent_s):
            time.sleep(0.05)
        for client in (self._out, self._in):
            client.disconnect()
            client.loop_stop()
        for at_s, payload in self._raw:
            told = json.loads(payload)
            self.back_s.setdefault((told["motor"], told["seq"]), at_s)
            self.models[told["motor"], told["seq"]] = told["model"]

    def _run(self) -> None:
        started_s, count = time.monotonic(), 0
        while not self._stop.is_set():
            while count < (time.monotonic() - started_s) * self.per_s:
                motor, seq = f"m{count % self.motors}", count // self.motors
                payload = codec.encode_cbor(make_reading(motor, seq=seq))
                self.sent_s[motor, seq] = time.monotonic()
                self._out.publish(topics.motor(motor, "reading"), payload, qos=1)
                count += 1
            time.sleep(0.002)

    def latencies_ms(self, since_s: float = 0.0, until_s: float = 1e18) -> np.ndarray:
        """Of the readings sent in a span of time."""
        return np.array(
            [1e3 * (self.back_s[key] - at_s) for key, at_s in self.sent_s.items() if since_s <= at_s < until_s]
        )


@pytest.fixture
def press(tmp_path: Path) -> Press:
    return Press(tmp_path)


@pytest.fixture
def trusting(edge: Edge, press: Press, tmp_path: Path) -> Iterator[Edge]:
    """An edge that trusts the press and decides quickly."""
    raw = press.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    (tmp_path / "key.pub").write_bytes(b64encode(raw))
    edge.set(
        MOTORTWIN_BUNDLE=str(press(1, signed=False)),
        MOTORTWIN_TRUST_KEYS=str(tmp_path / "key.pub"),
        MOTORTWIN_SWAP_MIN_READINGS="200",
        MOTORTWIN_SWAP_SOAK_S="3",
        MOTORTWIN_SWAP_MAX_SLOWDOWN="20",  # other programs share this machine
        MOTORTWIN_SWAP_SHADOW_SHARE="1",
    )
    yield edge
    edge.kill()


def offer(edge: Edge, press: Press, version: int, **parts: Any) -> Path:
    """Put a bundle into the watched folder, whole."""
    return press(version, to=edge.data / "bundles" / "incoming" / f"v{version}", **parts)


def ended(edge: Edge, version: int, timeout_s: float = 60.0, pause_s: float = 0.02) -> dict[str, Any]:
    """How the candidate of this version ended."""

    def told() -> Any:
        candidate = edge.json("/v1/model")["candidate"]
        over = candidate and candidate["version"] == version and candidate["phase"] not in ("trial", "shadow", "soak")
        return candidate if over else None

    return wait_until(told, f"the end of version {version}", timeout_s, pause_s)


def filter_seconds(edge: Edge) -> dict[str, float]:
    """What each motor's filter has counted, as a stopped edge stored it."""
    with contextlib.closing(sqlite3.connect(edge.data / "motortwin.db")) as connection:
        rows = connection.execute("SELECT id, state FROM motor").fetchall()
    return {name: float(np.frombuffer(MotorState.from_bytes(raw).x)[1]) for name, raw in rows}


def swap_under_traffic(
    edge: Edge, press: Press, watcher: Watcher, port: int, *, per_s: float, for_s: float
) -> dict[str, float]:
    """The story of both versions of the test; its figures."""
    motors = 20
    for k in range(motors):
        watcher.introduce(f"m{k}")
    edge.start()
    old = edge.json("/v1/model")["digest"][:12]
    traffic = Traffic(port, motors, per_s).start()
    try:
        time.sleep(for_s / 3)
        offered_s = time.monotonic()
        offer(edge, press, 2)
        # asked rarely: every answer costs the edge a millisecond, which belongs to no swap
        told = ended(edge, 2, timeout_s=max(60.0, for_s), pause_s=0.5)
        ended_s = time.monotonic()
        time.sleep(max(0.0, 2 * for_s / 3 - (ended_s - offered_s)))
    finally:
        traffic.stop()
    assert told["phase"] == "committed", told
    assert traffic.sent_s.keys() == traffic.back_s.keys()
    new = edge.json("/v1/model")["digest"][:12]
    assert {old, new} == set(traffic.models.values())
    for k in range(motors):
        mine = [traffic.models[f"m{k}", seq] for seq in range(sum(name == f"m{k}" for name, _ in traffic.sent_s))]
        assert mine == sorted(mine, key=[old, new].index)
    assert edge.metric("motortwin_filter_resets_total") == 0.0
    assert edge.metric('motortwin_swaps_total{result="committed"}') == 1.0
    assert sum(edge.metric(f'motortwin_shed_total{{reason="{why}"}}') for why in ("queue_full", "queue_bytes")) == 0.0
    assert edge.stop() == 0
    # the tiny filter counts seconds; a reset would begin them anew
    assert filter_seconds(edge) == pytest.approx(
        {f"m{k}": 60.0 * (sum(name == f"m{k}" for name, _ in traffic.sent_s) - 1) for k in range(motors)}
    )
    steady = traffic.latencies_ms(until_s=offered_s)
    across = traffic.latencies_ms(since_s=offered_s, until_s=ended_s)
    # what this machine is late with when nothing is swapped
    calm = traffic.latencies_ms(since_s=ended_s + 1.0, until_s=ended_s + 1.0 + (ended_s - offered_s))
    bound_ms = 3 * np.percentile(steady, 99)
    return {
        "readings": len(traffic.sent_s),
        "lost": len(traffic.sent_s.keys() - traffic.back_s.keys()),
        "per_s": per_s,
        "steady_p50_ms": float(np.median(steady)),
        "steady_p99_ms": float(np.percentile(steady, 99)),
        "across_p50_ms": float(np.median(across)),
        "across_p99_ms": float(np.percentile(across, 99)),
        "across_max_ms": float(across.max()),
        "late": int((across > bound_ms).sum()),
        "calm_max_ms": float(calm.max(initial=0.0)),
        "late_without_a_swap": int((calm > bound_ms).sum()),
        "late_before": int((steady > bound_ms).sum()),
        "across_s": ended_s - offered_s,
    }


def keep(name: str, figures: dict[str, float]) -> None:
    """Put figures where people find them after a long run."""
    folder = ROOT / "build" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


@pytest.mark.system
def test_a_swap_under_traffic_loses_nothing_and_carries_the_filters_state_over(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    figures = swap_under_traffic(trusting, press, watcher, broker.port, per_s=150.0, for_s=9.0)
    assert figures["lost"] == 0


@pytest.mark.system
@pytest.mark.soak
@pytest.mark.parametrize("per_s", [200.0, 1000.0])
def test_a_swap_under_a_minute_of_traffic_is_late_for_nobody(
    per_s: float, trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    figures = swap_under_traffic(trusting, press, watcher, broker.port, per_s=per_s, for_s=60.0)
    keep(f"swap-{per_s:g}", figures)
    assert figures["lost"] == 0
    assert figures["steady_p99_ms"] < 1000.0, f"this machine cannot carry {per_s:g} readings/s at present: {figures}"
    assert figures["late"] == 0, figures


TOKEN = secrets.token_hex(16)


def call(edge: Edge, path: str, token: str | None = TOKEN) -> tuple[int, Any]:
    """Status and body of one POST."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(edge.address + path, method="POST", headers=headers)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310 - our own address
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def feed(port: int) -> Traffic:
    """A little traffic, enough for a swap."""
    return Traffic(port, 4, 100.0).start()


@pytest.mark.system
def test_a_bundle_is_loaded_by_the_open_inference_protocol_and_only_with_the_token(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_SWAP_SOAK_S="60").start()
    press(2, to=trusting.data / "bundles" / "offered" / "mine")
    load = "/v2/repository/models/mine/load"
    assert call(trusting, load, token=None)[0] == 401
    assert call(trusting, load, token=TOKEN[1:])[0] == 401
    assert set(call(trusting, load, token=TOKEN[1:])[1]) == {"error"}
    assert trusting.json("/v1/model")["candidate"] is None
    status, body = call(trusting, "/v2/repository/models/nobody/load")
    assert (status, list(body)) == (404, ["error"])
    assert "no bundle is offered as 'nobody'" in body["error"]
    traffic = feed(broker.port)
    assert call(trusting, load) == (200, None)
    wait_until(lambda: trusting.json("/v1/model")["version"] == 2, "the swap", timeout_s=30.0)
    states = {one["version"]: one["state"] for one in call(trusting, "/v2/repository/index")[1]}
    assert states == {"2": "LOADING"} or states["2"] == "READY"
    assert call(trusting, "/v2/repository/models/tiny/unload") == (200, None)
    assert ended(trusting, 2)["phase"] == "cancelled"
    assert trusting.json("/v1/model")["version"] == 1
    assert call(trusting, "/v2/repository/models/tiny/unload")[0] == 409
    traffic.stop()
    assert traffic.sent_s.keys() == traffic.back_s.keys()


def motor(edge: Edge, *words: str) -> tuple[int, str]:
    """Exit code and output of one ``motor`` command."""
    own = {**os.environ, "MOTOR_URL": edge.address, "MOTOR_TOKEN": TOKEN}
    call = [sys.executable, "-m", "service.console", *words]
    done = subprocess.run(call, cwd=ROOT, env=own, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.system
def test_a_bundle_is_swapped_and_rolled_back_at_the_terminal(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_SWAP_SOAK_S="60", MOTORTWIN_SWAP_MIN_READINGS="20").start()
    press(2, to=trusting.data / "bundles" / "offered" / "mine")
    traffic = feed(broker.port)
    code, said = motor(trusting, "models", "swap", "mine")
    assert code == 0, said
    wait_until(lambda: trusting.json("/v1/model")["version"] == 2, "the swap", timeout_s=30.0)
    code, said = motor(trusting, "models", "rollback")
    assert code == 0, said
    assert "in use     tiny version 1" in said
    assert "cancelled" in said
    press(3, to=trusting.data / "bundles" / "offered" / "third", signed=False)
    code, said = motor(trusting, "models", "swap", "third", "--wait")
    assert code != 0
    assert said.count("\n") == 1
    assert "signature" in said
    traffic.stop()
    assert trusting.json("/v1/model")["version"] == 1


@pytest.mark.system
def test_a_power_cut_in_the_soak_brings_the_old_bundle_back_and_a_committed_one_survives_it(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_SWAP_SOAK_S="60").start()
    offer(trusting, press, 2)
    traffic = feed(broker.port)
    wait_until(lambda: trusting.json("/v1/model")["version"] == 2, "the swap", timeout_s=30.0)
    trusting.kill()
    trusting.set(MOTORTWIN_SWAP_SOAK_S="1").start()
    assert trusting.json("/v1/model")["version"] == 1
    offer(trusting, press, 3)
    assert ended(trusting, 3)["phase"] == "committed"
    trusting.kill()
    trusting.start()
    assert trusting.json("/v1/model")["version"] == 3
    traffic.stop()
    refused = trusting.data / "bundles" / "refused" / "v2" / "reason.txt"
    assert "the service died while it was on probation" in refused.read_text()


@pytest.mark.system
def test_filters_of_another_schema_start_afresh_and_come_back_with_the_old_bundle(
    trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_SWAP_SOAK_S="60", MOTORTWIN_SWAP_MIN_READINGS="20").start()
    traffic = Traffic(broker.port, 4, 20.0).start()  # slow, or the soak is a longer gap than the filter predicts over
    offer(trusting, press, 2, change=lambda manifest: manifest["health"].update(schema_id="another-1"))
    wait_until(lambda: trusting.metric("motortwin_filter_resets_total") == 4.0, "the filters to start afresh")
    assert call(trusting, "/v2/repository/models/tiny/unload") == (200, None)
    assert ended(trusting, 2)["phase"] == "cancelled"
    time.sleep(0.5)
    traffic.stop()
    assert traffic.sent_s.keys() == traffic.back_s.keys()
    assert trusting.metric("motortwin_filter_resets_total") == 4.0
    assert trusting.stop() == 0
    assert filter_seconds(trusting) == pytest.approx(
        {f"m{k}": 60.0 * (sum(name == f"m{k}" for name, _ in traffic.sent_s) - 1) for k in range(4)}
    )


@pytest.mark.system
@pytest.mark.parametrize("swaps", [20, pytest.param(300, marks=pytest.mark.soak)])
def test_swap_after_swap_takes_no_more_memory(
    swaps: int, trusting: Edge, press: Press, watcher: Watcher, broker: Broker
) -> None:
    for k in range(4):
        watcher.introduce(f"m{k}")
    trusting.set(
        MOTORTWIN_HTTP_TOKEN=TOKEN,
        MOTORTWIN_SWAP_SOAK_S="0.1",
        MOTORTWIN_SWAP_MIN_READINGS="4",
        MOTORTWIN_SWAP_MAX_SLOWDOWN="1000",
    ).start()
    traffic = feed(broker.port)
    sizes_mib: list[float] = []
    for version in range(2, swaps + 2):
        press(version, to=trusting.data / "bundles" / "offered" / f"v{version}")
        assert call(trusting, f"/v2/repository/models/v{version}/load") == (200, None)
        assert ended(trusting, version)["phase"] == "committed"
        sizes_mib.append(trusting.metric("process_resident_memory_bytes") / 2**20)
    traffic.stop()
    assert traffic.sent_s.keys() == traffic.back_s.keys()
    settled = sizes_mib[4]
    figures = {"swaps": swaps, "settled_mib": settled, "last_mib": sizes_mib[-1], "growth": sizes_mib[-1] / settled - 1}
    keep("swaps", figures | {"fds": trusting.metric("process_open_fds")})
    assert figures["growth"] < 0.05, sizes_mib
    kept = trusting.data / "bundles" / "kept"
    wait_until(lambda: len(list(kept.iterdir())) == 1 + EARLIER_KEPT, "the bundle in use and the last ones are kept")
