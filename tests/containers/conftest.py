"""The real thing: images, compose, an engine. Skipped by name unless ``make e2e`` asks for it.

One stack for all tests of a session, under a project name and on ports of its own. When a test fails, what the
containers said is kept in ``build/e2e``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "e2e"
FIGURES = KEPT / "figures"
UP_TIMEOUT_S, ENGINE_TIMEOUT_S = 180.0, 300.0
BUILD_TIMEOUT_S = 1200.0
"""The base images from Debian packages are in it where no registry answers; later builds take seconds."""


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker that this file handles."""
    config.addinivalue_line("markers", "containers: needs a container engine; run by `make e2e`")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, by name, what only ``make e2e`` runs."""
    if item.get_closest_marker("containers") and os.environ.get("E2E") != "1":
        pytest.skip(f"{item.path.name} needs a container engine; run `make e2e`")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remembers that a test failed, so that the stack keeps its logs."""
    report = yield
    if report.failed and item.get_closest_marker("containers"):
        item.session.stash[_FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that the tests have left: times, gaps, sizes by layer."""
    if os.environ.get("E2E") == "1" and FIGURES.exists():
        terminalreporter.section("figures, build/e2e/figures")
        for path in sorted(FIGURES.glob("*.txt")):
            terminalreporter.write(path.read_text())


_FAILED: pytest.StashKey[bool] = pytest.StashKey()


def _run(*command: str | Path, timeout_s: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program's output as text; its exit status is the caller's business."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def _eventually(what: str, probe: Callable[[], Any], *, within_s: float) -> Any:
    """The first true answer of ``probe``; fails with ``what`` and the last answer when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within_s:g} s; last answer {answer!r:.500}")
        time.sleep(0.5)


def _get(url: str) -> str:
    """The body of a page; an empty text where nobody answers (yet)."""
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:  # noqa: S310 - our own address
            body: bytes = answer.read()
            return body.decode()
    except OSError:
        return ""


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Stack:
    """The compose project under test; its twin lives through one failing and one healthy motor again and again."""

    services = ("mosquitto", "edge", "simulator", "prometheus")
    failing, healthy, fault = "outer_race-1", "healthy-1", "outer_race"
    readings_per_s = 4.0
    life_s = 121 / readings_per_s

    def __init__(self, *overlays: str, **more: str) -> None:
        self.project = f"motortwin-e2e-{uuid.uuid4().hex[:6]}"
        self.mqtt_port, self.edge_port, self.prometheus_port = _free_ports(3)
        self.edge_url = f"http://127.0.0.1:{self.edge_port}"
        self.prometheus_url = f"http://127.0.0.1:{self.prometheus_port}"
        self.started_s = 0.0
        settings = {
            "SCENARIO": self.fault,
            # a reading stands for two simulated hours
            "SPEEDUP": str(self.readings_per_s * 7200),
            "MQTT_PORT": str(self.mqtt_port),
            "EDGE_PORT": str(self.edge_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
        }
        self.environment = {**os.environ, **settings, **more}
        self._files = [part for name in ("docker-compose.yml", *overlays) for part in ("--file", name)]
        if _run("docker", "image", "inspect", _default_of("MOSQUITTO_IMAGE")).returncode:
            self._files += ["--env-file", "deploy/airgap/airgap.env"]

    def compose(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """``docker compose`` on this project."""
        return _run(*self.command(*arguments), timeout_s=timeout_s, cwd=ROOT, env=self.environment)

    def command(self, *arguments: str) -> list[str]:
        """What ``compose`` runs, in the project's folder."""
        return [str(ROOT / "deploy" / "engine"), "compose", *self._files, "--project-name", self.project, *arguments]

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the running container of a service, as the service's own user."""
        return self.compose("exec", "-T", service, *command)

    def container(self, service: str) -> Any:
        """What the engine knows of a service's container."""
        name = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        (document,) = json.loads(_run("docker", "inspect", name).stdout)
        return document

    def prepare(self, *arguments: str) -> str:
        """The last line that deploy/prepare prints."""
        done = self.compose("run", "--rm", "-T", "prepare", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    def reload_users(self) -> None:
        """Lets the broker read its users again. A signal by ``docker kill`` would switch the restart policy off."""
        assert self.inside("mosquitto", "sh", "-c", "kill -HUP 1").returncode == 0

    def metrics(self) -> dict[str, float]:
        """The edge's samples by name and labels; empty while it does not answer."""
        lines = [line for line in _get(f"{self.edge_url}/metrics").splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def motors(self) -> dict[str, Any]:
        """What the edge's API says of every motor."""
        document = json.loads(_get(f"{self.edge_url}/v1/motors") or "{}")
        return {motor["motor"]: motor for motor in document.get("motors", [])}

    def ask_prometheus(self, query: str) -> list[Any]:
        """The vector that Prometheus answers a query with."""
        document = json.loads(_get(f"{self.prometheus_url}/api/v1/query?query={query}") or "{}")
        result: list[Any] = document.get("data", {}).get("result", [])
        return result

    def keep_logs(self) -> None:
        """What the containers said and how they stand, for whoever looks at a failure."""
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / "compose.log").write_text(self.compose("logs", "--no-color", "--timestamps").stdout)
        (KEPT / "compose-ps.txt").write_text(self.compose("ps", "--all").stdout)
        (KEPT / "metrics.txt").write_text(_get(f"{self.edge_url}/metrics"))


def _default_of(variable: str) -> str:
    """The default that docker-compose.yml gives a variable."""
    text = (ROOT / "docker-compose.yml").read_text()
    return text.split(f"${{{variable}:-", 1)[1].split("}", 1)[0]


@pytest.fixture(scope="session")
def images() -> Iterator[None]:
    """An engine, started where none runs, and this tree's images in it."""
    started = _run(ROOT / "deploy" / "engine", "start", timeout_s=ENGINE_TIMEOUT_S)
    assert started.returncode == 0, started.stderr
    try:
        built = _run(ROOT / "deploy" / "images", "--auto", "edge", "simulator", timeout_s=BUILD_TIMEOUT_S)
        assert built.returncode == 0, built.stdout + built.stderr
        FIGURES.mkdir(parents=True, exist_ok=True)
        (FIGURES / "images.txt").write_text(built.stdout)
        yield
    finally:
        _run(ROOT / "deploy" / "engine", "stop", timeout_s=ENGINE_TIMEOUT_S)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stack, started from nothing by the one documented command; gone with its volumes afterwards."""
    request.getfixturevalue("images")
    with _running(Stack()) as project:
        (FIGURES / "stack.txt").write_text(f"docker compose up --wait, from nothing: {project.started_s:.1f} s\n")
        yield project
        if request.session.stash.get(_FAILED, False):
            project.keep_logs()


@contextlib.contextmanager
def _running(project: Stack, *services: str) -> Iterator[Stack]:
    started = time.monotonic()
    try:
        done = project.compose("up", "--detach", "--wait", "--no-build", *services, timeout_s=UP_TIMEOUT_S)
        project.started_s = time.monotonic() - started
        if done.returncode:
            project.keep_logs()
            pytest.fail(f"docker compose up --wait: {done.stderr[-2000:]}")
        yield project
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", timeout_s=120.0)


@pytest.fixture(params=["tls", "mutual-tls"])
def tls_stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Broker and edge that speak TLS, with certificates in the test's folder, made by the handbook's script."""
    request.getfixturevalue("images")
    mutual = request.param == "mutual-tls"
    for more in ([], ["--client", "edge", "viewer"] if mutual else []):
        made = _run(ROOT / "deploy" / "certificates", tmp_path, *more)
        assert made.returncode == 0, made.stderr
    (port,) = _free_ports(1)
    overlays = ("deploy/tls.yml", "deploy/mutual-tls.yml") if mutual else ("deploy/tls.yml",)
    project = Stack(*overlays, TLS_DIR=str(tmp_path), MQTTS_PORT=str(port))
    project.mqtt_port = port
    with _running(project, "edge"):
        yield project


class Listener:
    """``mosquitto_sub`` outside the containers, with a control room's password."""

    def __init__(self, port: int, password: str) -> None:
        program = shutil.which("mosquitto_sub")
        if program is None:
            pytest.fail("mosquitto_sub is missing: apt-get install mosquitto-clients")
        self._options = [program, "-V", "5", "-h", "127.0.0.1", "-p", str(port), "-u", "viewer", "-P", password]

    def hear(
        self, topic: str, *, for_s: float, messages: int | None = None, retained: bool = False
    ) -> list[tuple[str, Any]]:
        """Topics and payloads that arrive, or only what was stored; ends early after so many messages."""
        count = [] if messages is None else ["-C", str(messages)]
        count += ["--retained-only"] if retained else []
        done = _run(*self._options, "-t", topic, "-F", "%t %p", "-W", str(round(for_s)), *count, timeout_s=for_s + 20.0)
        pairs = (line.split(" ", 1) for line in done.stdout.splitlines())
        return [(pair[0], json.loads(pair[1]) if len(pair) > 1 and pair[1] else None) for pair in pairs]


@pytest.fixture(scope="session")
def listener(stack: Stack) -> Listener:
    """Somebody outside who listens."""
    return Listener(stack.mqtt_port, stack.prepare("show", "viewer"))


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program: ``run(*command, timeout_s=60)``."""
    return _run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Waits for something: ``eventually(what, probe, within_s=...)``."""
    return _eventually


@pytest.fixture(scope="session")
def get() -> Callable[[str], str]:
    """The body of a page; empty where nobody answers."""
    return _get


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    program = shutil.which("chromedriver")
    if program is None:
        pytest.fail("chromedriver is missing: apt-get install chromium-driver")
    (port,) = _free_ports(1)
    driver = subprocess.Popen([program, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _eventually("chromedriver", lambda: _get(f"http://127.0.0.1:{port}/status"), within_s=30.0)
        opened = Browser(port, 1280, 900)
        yield opened
        opened.close()
    finally:
        driver.terminate()
        driver.wait(timeout=10.0)


@pytest.fixture(scope="session")
def kept() -> Path:
    """The folder of figures, which outlive the run and are told at its end."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    return FIGURES
