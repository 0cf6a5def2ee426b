"""From a push to new models in the edge: act, gate, signature, registry, agent, hot swap; nothing lost, and a timeline.

``make e2e-redeploy`` runs it. The commit changes a line of the training; the champion is what the line before made.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from paho.mqtt.enums import CallbackAPIVersion

from service.contract.codec import decode_reading
from tests.conftest import ROOT
from tests.registry import serving
from tests.system.conftest import Edge, wait_until
from tests.workflows.conftest import PYTHON, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Broker

TRAIN = "--windows 8192 --epochs 8 --workers 2"
VARIABLES = {
    "DATA_ARGS": "none",
    "TRAIN_ARGS": TRAIN,
    "EVALUATE_ARGS": "--only ekf --tiny --seeds 1 --workers 1",
    "GATE_ARGS": "--tiny",
    "ALLOW_TINY": "1",
}
BEFORE, AFTER = "golden: int = field(default=12,", "golden: int = field(default=11,"
READINGS_PER_S = 4.0
LIVES = """
trap 'kill $!; wait; exit' TERM
while :; do "$1" -m simulator run outer_race --speedup "$2" & wait $!; done
"""


class Ledger:
    """What went to the edge, what came back, and with which models."""

    def __init__(self, port: int) -> None:
        self.sent: set[tuple[str, str, int]] = set()
        self.back: dict[tuple[str, str, int], str] = {}
        self.alerts: list[tuple[float, str, str]] = []
        self.states: list[tuple[float, str, str]] = []
        self.first: dict[str, float] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("motortwin/v1/#", qos=1)
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind, payload = message.topic.split("/")[4], message.payload
        if not payload:
            return
        if kind == "reading":
            reading = decode_reading(payload)
            self.sent.add((reading.motor, reading.boot, reading.seq))
            return
        told = json.loads(payload)
        now = time.monotonic()
        if kind == "health":
            self.back[told["motor"], told["boot"], told["seq"]] = told["model"]
            self.first.setdefault(told["model"], now)
        elif kind == "alert" and told["state"] in ("open", "update"):
            self.alerts.append((now, told["condition"], told["model"]))
        elif kind == "release":
            self.states.append((now, told["state"], told["reason"]))


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that end with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for program in started:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(timeout=20.0)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def started(folder: Path, edge: Edge, port: int, registry: str, public: Path) -> list[subprocess.Popen[bytes]]:
    """The twin, and the agent that follows the canary's tag."""
    found: list[subprocess.Popen[bytes]] = []
    twin = ["bash", "-c", LIVES, "lives", sys.executable, str(READINGS_PER_S * 7200)]
    url = {"MQTT_URL": f"mqtt://127.0.0.1:{port}"}
    agent = {
        "AGENT_REGISTRY": registry,
        "AGENT_KEYS": str(public),
        "AGENT_WAVE": "canary",
        "AGENT_EDGE_URL": edge.address,
        "AGENT_EDGE_DATA": str(edge.data),
        "AGENT_DATA": str(folder / "agent"),
        "AGENT_POLL_S": "1",
        "AGENT_MQTT_URL": url["MQTT_URL"],
    }
    for name, command, more in (("twin", twin, url), ("agent", [sys.executable, "-m", "deploy.agent"], agent)):
        with (folder / f"{name}.log").open("wb") as log:
            environment = {**os.environ, **more}
            found.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
    return found


def test_a_push_redeploys_the_models_and_no_reading_is_lost(
    tmp_path: Path,
    broker: Broker,
    running: list[subprocess.Popen[bytes]],
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if os.environ.get("E2E_REDEPLOY") != "1":
        pytest.skip("a push to redeploy takes minutes; run `make e2e-redeploy`")
    request.getfixturevalue("engine")
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "release.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    champion = tmp_path / "champion"
    train = [PYTHON, "-m", "training", "train", "--out", champion, *TRAIN.split()]
    subprocess.run(train, cwd=ROOT, check=True, capture_output=True, timeout=600)
    (tmp_path / "runner").mkdir()
    (tmp_path / "registry").mkdir()
    runner = Runner(tmp_path / "runner")
    edge = Edge(tmp_path, champion, f"mqtt://127.0.0.1:{broker.port}").set(
        MOTORTWIN_TRUST_KEYS=str(public),
        MOTORTWIN_SWAP_MIN_READINGS="60",
        MOTORTWIN_SWAP_SOAK_S="5",
        MOTORTWIN_SWAP_MAX_SLOWDOWN="20",  # other programs share this machine
        MOTORTWIN_SWAP_SHADOW_SHARE="1",
    )
    ledger = Ledger(broker.port)
    with serving(tmp_path / "registry") as registry:
        edge.start()
        old = edge.json("/v1/model")["digest"][:12]
        # life after life: each ends after half a minute
        running += started(tmp_path, edge, broker.port, registry, public)
        wait_until(lambda: [one for one in ledger.alerts if one[2] == old], "an alert of the old models", 120.0)

        source = runner.clone / "training" / "train.py"
        source.write_text(source.read_text().replace(BEFORE, AFTER))
        assert AFTER in source.read_text()
        runner.commit("One golden vector fewer")
        pushed_s = time.monotonic()
        done = runner.run(
            "train",
            "push",
            variables={**VARIABLES, "CHAMPION": str(champion), "REGISTRY": registry},
            secrets={"RELEASE_KEY": private},
        )
        built_s = time.monotonic()
        assert done.returncode == 0, done.stdout[-3000:]
        release = json.loads((runner.artifacts / "release" / "release" / "release.json").read_text())
        new = release["bundle"]["digest"][:12]
        assert new != old
        wait_until(lambda: ledger.states and ledger.states[-1][1] == "installed", "the agent's word", 120.0)
        wait_until(lambda: [one for one in ledger.alerts if one[2] == new], "an alert of the new models", 120.0)
        # no more readings, and time for the last answers
        twin_process = running.pop(0)
        twin_process.send_signal(signal.SIGTERM)
        twin_process.wait(timeout=20.0)
        wait_until(lambda: ledger.sent <= set(ledger.back), "every answer", 30.0)
    assert edge.json("/v1/model")["digest"] == release["bundle"]["digest"]
    assert release["commit"] == runner.head()
    assert set(ledger.back.values()) == {old, new}
    edge.kill()
    ledger.close()
    lines = timeline(ledger, pushed_s, built_s, release, old, new)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def timeline(ledger: Ledger, pushed_s: float, built_s: float, release: dict[str, Any], old: str, new: str) -> list[str]:
    """What happened when, kept and told."""
    firsts = {state: at_s for at_s, state, _ in reversed(ledger.states)}
    events = [
        (pushed_s, f"pushed {release['commit'][:12]}"),
        (built_s, f"workflow ended: trained, gated, signed, release {release['sequence']} in every wave"),
        *((at_s, f"agent: {state}") for state, at_s in reversed(firsts.items()) if state != "idle"),
        (ledger.first[new], f"first reading answered by {new}"),
        (min(at_s for at_s, _, model in ledger.alerts if model == new), f"first alert that names {new}"),
    ]
    lines = [f"{at_s - pushed_s:7.1f} s  {what}" for at_s, what in sorted(events)]
    lines.append(f"readings {len(ledger.sent)}, lost {len(ledger.sent - set(ledger.back))}, models {old} to {new}")
    folder = ROOT / "build" / "e2e-redeploy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "timeline.txt").write_text("\n".join(lines) + "\n")
    return lines
