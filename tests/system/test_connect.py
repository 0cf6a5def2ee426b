"""The sensors of deploy/CONNECT.md, taken from the page and judged by a running edge with the shipped models."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import topics
from tests.conftest import ROOT, free_port
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Broker
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

PAGE = (ROOT / "deploy" / "CONNECT.md").read_text()

# Enough of two Arduino libraries to let the sketch run once; what is published goes to standard output.
ARDUINO = r"""
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
const int WL_CONNECTED = 3;
static long slept_ms = 0;
inline void delay(int ms) { slept_ms += ms; }
inline std::time_t board_time(std::time_t *) { return std::time(nullptr) - 120 + slept_ms / 1000; }
#define time board_time
inline uint32_t micros() { static uint32_t now = 0; return now += 7; }
inline int analogRead(int) { return 2048 + std::rand() % 64 - 32; }
inline void configTime(long, int, const char *) {}
struct WiFiClass { void begin(const char *, const char *) {} int status() { return WL_CONNECTED; } } WiFi;
struct WiFiClient {};
struct PubSubClient {
  bool up = false; size_t announced = 0, written = 0;
  PubSubClient(WiFiClient &) {}
  void setServer(const char *, int) {}
  bool setBufferSize(int) { return true; }
  bool connected() { return up; }
  bool connect(const char *, const char *, const char *) { return up = true; }
  bool loop() { return true; }
  bool beginPublish(const char *topic, unsigned int length, bool retained) {
    std::printf("%s %u %d\n", topic, length, retained); announced = length; written = 0; return true;
  }
  size_t write(const uint8_t *bytes, size_t size) { written += size; return std::fwrite(bytes, 1, size, stdout); }
  int endPublish() { if (written != announced) std::exit(9); return 1; }
  bool publish(const char *topic, const char *text, bool retained) {
    beginPublish(topic, std::strlen(text), retained);
    write((const uint8_t *)text, std::strlen(text));
    return endPublish();
  }
};
"""


def snippet(language: str) -> str:
    """The page's one example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture
def judged(edge: Edge, watcher: Watcher) -> Callable[[str], dict[str, Any]]:
    """What a running edge with the shipped models says of a motor's reading; a refusal fails the test."""
    del edge.environment["MOTORTWIN_BUNDLE"]
    edge.start()

    def wait(motor: str) -> dict[str, Any]:
        refused = topics.node("edge", "rejected")

        def told() -> Any:
            bodies = [heard.body for heard in watcher.on(topics.motor(motor, "health"))]
            return bodies or [heard.body for heard in watcher.on(refused)]

        (first, *_) = wait_until(told, f"an answer to {motor}")
        assert "remedy" not in first, first
        assert first["anomaly"] > 0.0, "the vibration was judged"
        return first

    return wait


@pytest.fixture
def running(tmp_path: Path) -> Any:
    """Starts programs that would run for ever."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(call: Sequence[str]) -> None:
        with (tmp_path / "out").open("wb") as out:
            processes.append(
                subprocess.Popen(call, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True, env=os.environ)
            )

    yield start
    for process in processes:
        os.killpg(process.pid, 9)
        process.wait(10)


def test_the_python_example(judged: Any, running: Any, broker: Broker, watcher: Watcher) -> None:
    running([sys.executable, "-c", snippet("python").replace("port=1883", f"port={broker.port}")])
    assert judged("rig-1")["missing"]
    assert watcher.on(topics.motor("rig-1", "birth"))
    lines = [line for line in snippet("python").splitlines() if line and not line.startswith(("import", "def"))]
    assert len(lines) <= 10


def test_the_shell_example(judged: Any, running: Any, broker: Broker) -> None:
    running(["bash", "-c", snippet("bash").replace("-p 1883", f"-p {broker.port}")])
    judged("rig-2")
    assert len(snippet("bash").splitlines()) <= 10


def test_the_node_red_flow_in_node_red(judged: Any, running: Any, broker: Broker, tmp_path: Path) -> None:
    program = os.environ.get("NODE_RED") or shutil.which("node-red")
    if program is None:
        pytest.skip("node-red is absent; npm install -g node-red, or NODE_RED=FILE")
    flow = snippet("json").replace('"port": "1883"', f'"port": "{broker.port}"')
    (tmp_path / "flows.json").write_text(flow)
    (tmp_path / "settings.js").write_text(f'module.exports = {{uiHost: "127.0.0.1", uiPort: {free_port()}}};')
    running([program, "--settings", "settings.js", "--userDir", str(tmp_path), "flows.json"])
    judged("rig-4")


def test_the_node_red_function_in_node(judged: Any, watcher: Watcher) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is absent; apt-get install nodejs")
    nodes = {one["id"]: one for one in json.loads(snippet("json"))}
    assert all(target in nodes for one in nodes.values() for wire in one.get("wires", []) for target in wire)
    assert nodes[nodes["out"]["broker"]]["type"] == "mqtt-broker"
    program = (
        "const kept = {}, context = {get: k => kept[k], set: (k, v) => { kept[k] = v; }};"
        f"const made = (function () {{ {nodes['reading']['func']} }})();"
        "console.log(JSON.stringify(made));"
    )
    done = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True, timeout=30)
    (messages,) = json.loads(done.stdout)
    for message in messages:
        watcher.publish(message["topic"], json.dumps(message["payload"]).encode(), retain=message["retain"])
    judged("rig-4")


def test_the_arduino_sketch(judged: Any, watcher: Watcher, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler; apt-get install g++")
    (tmp_path / "WiFi.h").write_text(f"#pragma once\n{ARDUINO}")
    (tmp_path / "PubSubClient.h").write_text('#include "WiFi.h"\n')
    (tmp_path / "sketch.cpp").write_text(snippet("cpp") + "\nint main() { setup(); loop(); loop(); }\n")
    call = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", "sketch.cpp", "-o", "sketch"]
    subprocess.run(call, cwd=tmp_path, check=True, timeout=60)
    sent = subprocess.run([tmp_path / "sketch"], capture_output=True, check=True, timeout=30).stdout
    kinds = []
    while sent:
        line, _, sent = sent.partition(b"\n")
        topic, size, retained = line.decode().split()
        watcher.publish(topic, sent[: int(size)], retain=retained == "1")
        kinds.append(topic.rpartition("/")[2])
        sent = sent[int(size) :]
    assert kinds == ["birth", "reading", "reading"]
    assert judged("rig-3")["seq"] == 0
    watcher.wait_for(topics.motor("rig-3", "health"), lambda body: body["seq"] == 1)
