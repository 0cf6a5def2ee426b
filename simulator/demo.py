"""Everything in one terminal: broker, service and twin; motors age in fast motion and the edge says what it hears.

With ``MQTT_URL`` set the demo uses that broker, otherwise it starts one inside. The service runs as its own process,
exactly as a plant runs it; all that the demo knows of it comes over MQTT and ``/metrics``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from iotcore import Broker as EmbeddedBroker

from service.contract.messages import Alert, Health, Rejection
from simulator import scenario
from simulator.console.options import Parser
from simulator.fleet import Fleet
from simulator.listen import Ear
from simulator.publish import URL_VARIABLE, Broker, BrokerError, Link, publish
from simulator.table import Terminal, alert_line, table
from simulator.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.contract.messages import Truth
    from simulator.fleet import Tick
    from simulator.scenario import Scenario

HOST = "127.0.0.1"
NODE = "demo"
HTTP_PORT = 8080
CYCLE_S = 60.0
"""Wall time of one run of the scenario when no end is asked for."""
READY_S = 60.0
CLOSING_S = 4.0
"""Kept back from SECONDS for the last answers and a clean stop."""
DRAW_S = 0.5
STALL_S = 10.0
MAX_PAYLOAD = 2 * 1024 * 1024


class DemoError(Exception):
    """The demo cannot go on; one line that says why."""


class Service:
    """The edge service as a child process."""

    def __init__(self, broker_url: str, folder: Path) -> None:
        self._log = folder / "service.log"
        port = _port(HTTP_PORT)
        self.page = f"http://{HOST}:{port}/"
        environment = {
            **os.environ,
            URL_VARIABLE: broker_url,
            "MOTORTWIN_NODE": NODE,
            "MOTORTWIN_DATA_DIR": str(folder),
            "MOTORTWIN_HTTP_HOST": HOST,
            "MOTORTWIN_HTTP_PORT": str(port),
        }
        with self._log.open("wb") as sink:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the service in order.
            self._child = subprocess.Popen(
                [sys.executable, "-m", "service"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def await_ready(self, stop: threading.Event) -> None:
        """Returns when the service is ready or ``stop`` is set; ``DemoError`` if it ends or takes too long."""
        deadline = time.monotonic() + READY_S
        while not stop.wait(0.05):
            self.check()
            try:
                self._get("health/ready")
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise DemoError(f"the service is not ready after {READY_S:g} s; it says: {self._said()}") from None
            else:
                return

    def check(self) -> None:
        """``DemoError`` if the service has ended."""
        if self._child.poll() is not None:
            raise DemoError(f"the service ended with status {self._child.returncode}; it says: {self._said()}")

    def readings(self) -> int:
        """How many readings it has answered."""
        found = re.search(r"^motortwin_readings_total (\S+)$", self._get("metrics"), re.MULTILINE)
        return int(float(found[1])) if found else 0

    def stop(self) -> None:
        """Ends the service in order; a clean stop exits with 0."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STALL_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.page + path, timeout=5.0) as answer:  # noqa: S310 - our own child on loopback
            return str(answer.read().decode())

    def _said(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:]) or "nothing"


class Demo:
    """One run: plays the twin into the broker, listens to the edge, keeps the score."""

    def __init__(self, plan: Scenario, service: Service, link: Link, ear: Ear, terminal: Terminal) -> None:
        self._plan = plan
        self._service = service
        self._link = link
        self._ear = ear
        self._terminal = terminal
        self._health: dict[str, Health] = {}
        self._truths: dict[str, Truth] = {}
        self._drawn = 0.0
        self._start_ts_s = time.time() - plan.duration_h * 3600.0
        self._run = uuid.uuid4().hex[:6]
        self.verdict = Verdict()
        self.rejections = 0

    def play(self, stop: threading.Event, *, seconds: float, cycle: int) -> None:
        """Plays the scenario once in ``seconds``; each cycle follows the last in the twin's time, all repaired."""
        start_ts_s = self._start_ts_s + cycle * (self._plan.duration_h + self._plan.step_h) * 3600.0
        plan = self._plan.model_copy(update={"seed": self._plan.seed + cycle})
        fleet = Fleet(plan, boot=f"{self._run}-{cycle}", start_ts_s=start_ts_s)
        publish(fleet, self._link, speedup=len(fleet) * fleet.step_s / seconds, stop=stop, on_tick=self._on_tick)

    def settle(self) -> int:
        """Waits for the answers to what was published; returns how many readings never got one."""
        published = self._link.close().readings
        answered, moved = self._service.readings(), time.monotonic()
        while answered < published and time.monotonic() - moved < STALL_S:
            time.sleep(0.1)
            self._service.check()
            before, answered = answered, self._service.readings()
            if answered > before:
                moved = time.monotonic()
        time.sleep(0.2)  # the last alerts are on their way to us
        self._listen()
        self._draw()
        return published - answered

    def _on_tick(self, tick: Tick) -> None:
        self._service.check()
        for truth in tick.truths:
            self._truths[truth.motor] = truth
            self.verdict.truth(truth)
        self._listen()
        if self._terminal.live and time.monotonic() - self._drawn > DRAW_S:
            self._draw()

    def _listen(self) -> None:
        for message in self._ear.heard():
            if isinstance(message, Health):
                self._health[message.motor] = message
            elif isinstance(message, Alert):
                first = self.verdict.alert(message)
                if first or message.state == "clear":
                    self._terminal.say(alert_line(self._terminal, message, self._truths.get(message.motor)))
            elif isinstance(message, Rejection):
                self.rejections += 1
                self._terminal.say(f"rejected: {message.reason}: {message.field}: {message.detail}; {message.remedy}")

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._terminal.draw(table(self._terminal, self._health, self._truths))


def main(argv: Sequence[str]) -> int:
    """Runs the demo; 0 when it ended in order with nothing missed, false or lost, 1 otherwise, 2 if it cannot run."""
    parser = Parser(prog="python -m simulator demo", description=__doc__)
    parser.add_argument("--seconds", type=_seconds, help="end by itself after this long; default: until Ctrl-C")
    parser.add_argument("--scenario", default=scenario.EXAMPLE, help="name or file (default: %(default)s)")
    parser.add_argument("--mqtt", metavar="URL", help=f"your broker; default {URL_VARIABLE}, or one inside")
    options = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return _run(options, stop)
    except (DemoError, BrokerError, scenario.ScenarioError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    ends = None if options.seconds is None else time.monotonic() + options.seconds
    terminal = Terminal(sys.stdout)
    plan = scenario.load(options.scenario)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="motortwin-demo-")))
        url = stack.enter_context(_broker(options.mqtt or os.environ.get(URL_VARIABLE)))
        broker = Broker.of(url)
        service = Service(url, folder)
        stack.callback(service.stop)
        ear = stack.enter_context(Ear(broker, NODE))
        service.await_ready(stop)
        link = stack.enter_context(Link(broker))
        terminal.say(f"{plan.title}\npage {service.page}   broker {broker}   Ctrl-C stops")
        demo = Demo(plan, service, link, ear, terminal)
        cycle = 0
        while not stop.is_set():
            left = CYCLE_S if ends is None else max(ends - time.monotonic() - CLOSING_S, 1.0)
            demo.play(stop, seconds=left, cycle=cycle)
            cycle += 1
            if ends is not None:
                break
        lost = demo.settle()
    return _summary(demo, terminal, readings=link.counts.readings, lost=lost, broken=ear.broken)


def _summary(demo: Demo, terminal: Terminal, *, readings: int, lost: int, broken: int) -> int:
    verdict = demo.verdict
    missed, false = verdict.missed(), verdict.false()
    named = ", ".join(f"{fault} {lead_h:.0f} h" for fault, lead_h in sorted(verdict.warned().items()))
    terminal.say(f"named before the failure, with the longest lead: {named or 'none'}")
    for motor, _ in missed:
        terminal.say(f"missed: {motor} failed without an alert that names its fault")
    for alert in false:
        terminal.say(f"false: {alert.motor} {alert.condition}: {alert.reason}")
    if broken:
        terminal.say(f"{broken} messages of the edge did not fit the contract")
    terminal.say(
        f"demo: readings={readings} alerts={verdict.alerts} missed={len(missed)} false={len(false)} lost={lost}"
    )
    return 1 if missed or false or lost or broken else 0


@contextmanager
def _broker(url: str | None) -> Iterator[str]:
    """The caller's broker, or one inside on a free port of the loopback interface."""
    if url:
        yield url
        return
    port = _port(0)
    embedded = EmbeddedBroker(port=port, listen=HOST, max_payload_size=MAX_PAYLOAD, max_inflight_count=1000)
    # The child inherits an ignored SIGINT: Ctrl-C must not take the broker away from under a service that is stopping.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        embedded.start()
    except (OSError, RuntimeError) as error:
        raise DemoError(f"the broker inside did not start: {error}; set {URL_VARIABLE} to use yours") from error
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield f"mqtt://{HOST}:{port}"
    finally:
        embedded.stop()


def _port(wanted: int) -> int:
    """The wanted port if it is free, else any free one."""
    with socket.socket() as listener:
        try:
            listener.bind((HOST, wanted))
        except OSError:
            listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 10.0 <= value <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text} must lie within 10..86400")
    return value
