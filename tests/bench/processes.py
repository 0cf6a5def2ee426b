"""The programs the bench drives: a real mosquitto, the edge service, and what the kernel says of them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

HOST = "127.0.0.1"
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


class Process:
    """A child process with its accounts."""

    def __init__(self, command: list[str], *, env: dict[str, str] | None = None, log: Path) -> None:
        """Start ``command``; its output goes to ``log``."""
        self._log = log
        with log.open("ab") as sink:
            self.child = subprocess.Popen(
                command, env={**os.environ, **(env or {})}, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )

    def cpu_s(self) -> float:
        """User and system CPU seconds so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def rss_mib(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> None:
        """Terminate, and kill after ten seconds."""
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def alive(self) -> None:
        """Raise with the log's tail if the program has ended."""
        if self.child.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.child.args} ended with {self.child.returncode}:\n{tail}")


class Mosquitto(Process):
    """A mosquitto that queues without limit, so that a backlog can be laid up for a consumer."""

    def __init__(self, folder: Path) -> None:
        """Start and wait until it listens."""
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} {HOST}\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
            "persistence false\nset_tcp_nodelay true\n",
            encoding="ascii",
        )
        super().__init__(["mosquitto", "-c", str(config)], log=folder / "mosquitto.log")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.alive()
            try:
                socket.create_connection((HOST, self.port), 0.2).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("mosquitto does not listen after 10 s")


class Edge(Process):
    """The service as a plant runs it: its own process, durability on."""

    def __init__(self, broker: Mosquitto, folder: Path, **settings: str) -> None:
        """Start and wait until ready; ``start_s`` is how long that took. ``settings`` as in the environment."""
        self.http_port = free_port()
        data = Path(tempfile.mkdtemp(prefix="edge-", dir=folder))
        started = time.perf_counter()
        super().__init__(
            [sys.executable, "-m", "service"],
            env={
                "MQTT_URL": f"mqtt://{HOST}:{broker.port}",
                "MOTORTWIN_HTTP_PORT": str(self.http_port),
                "MOTORTWIN_DATA_DIR": str(data),
                "MOTORTWIN_NODE": f"bench-{self.http_port}",
                **settings,
            },
            log=folder / "edge.log",
        )
        while True:
            self.alive()
            try:
                self._get("/health/ready")
                break
            except (URLError, OSError):
                if time.perf_counter() - started > 60:
                    raise TimeoutError("the service is not ready after 60 s") from None
                time.sleep(0.02)
        self.start_s = time.perf_counter() - started

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.http_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self._get("/metrics"), re.MULTILINE)
        return sum(map(float, lines))
