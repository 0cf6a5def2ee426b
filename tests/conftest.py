"""What every test may ask for: a real broker, the recordings, a free port.

Recordings are looked for in ``MOTOR_DATA`` (by default ``data/``). A test that needs one says so with
``@pytest.mark.data("cwru/cwru.tar.xz")`` and is reported as skipped, by the file's name, where it is absent.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
START_TIMEOUT_S = 10.0


def motor_data() -> Path:
    """The folder of recordings."""
    return Path(os.environ.get("MOTOR_DATA") or ROOT / "data").resolve()


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A real mosquitto on a port of its own, with persistence in a folder of its own.

    ``stop`` and ``start`` keep port, sessions and retained messages; ``kill`` loses what was not yet saved.
    """

    def __init__(self, folder: Path, extra_config: str = "") -> None:
        program = shutil.which("mosquitto", path=SEARCH_PATH)
        if program is None:
            pytest.fail("mosquitto is missing: apt-get install mosquitto (`make test` does it as root)")
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._extra_config = extra_config
        self.folder = folder
        self.log = folder / "mosquitto.log"
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """What ``MQTT_URL`` takes."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it and returns once it accepts connections; another process may have taken a fresh port meanwhile."""
        assert not self.running, "the broker runs already"
        fresh = self._process is None
        for attempt in range(5):
            if fresh and attempt:
                self.port = free_port()
            if self._came_up():
                return
        pytest.fail(f"mosquitto did not start on port {self.port}:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Ends it in good order: sessions and retained messages are saved."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it like a power cut."""
        self._end(signal.SIGKILL)

    def _came_up(self) -> bool:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "persistence true\n"
            f"persistence_location {self.folder}/\n"
            "autosave_interval 1\n"
            "max_queued_messages 0\n"
            f"log_dest file {self.log}\n"
            # as root mosquitto would change to a user who may not enter the test's folder
            f"{'user root' if os.geteuid() == 0 else ''}\n"
            f"{self._extra_config}\n"
        )
        self._process = subprocess.Popen(
            [self._program, "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except OSError:
                time.sleep(0.02)
            else:
                # a stranger on the same port would answer too, while ours has given up
                time.sleep(0.02)
                if self._process.poll() is None:
                    return True
        self._end(signal.SIGKILL)
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=START_TIMEOUT_S)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that runs for one test: ``url``, ``port``, ``log``, ``stop()``, ``start()``, ``kill()``."""
    mosquitto = Broker(tmp_path / "mosquitto")
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def recordings() -> Path:
    """The folder of recordings; mark the test with ``data`` and the files that it reads."""
    return motor_data()


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker that this file handles."""
    config.addinivalue_line("markers", "data(*files): recordings below MOTOR_DATA that the test reads")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, by name, what is not to run here: absent recordings, absent torch, long versions."""
    for mark in item.iter_markers("data"):
        for name in mark.args:
            if not (motor_data() / name).exists():
                pytest.skip(f"recording {name} is absent; set MOTOR_DATA to a folder that has it")
    if item.get_closest_marker("soak") and not os.environ.get("SOAK"):
        pytest.skip("the long version; `make soak` runs it")
    if item.get_closest_marker("training") and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is absent; run `make test`, which installs it")
