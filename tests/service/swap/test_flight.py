"""What the service dies of is remembered, and no more than that is held against a reading."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.flight import FILE, STRIKES, Condemned, Flight, Suspected
from service.supervisor import Supervisor
from service.watchdog import GAVE_UP, Watchdog
from tests.service.core.conftest import make_reading

if TYPE_CHECKING:
    from service.contract.messages import Reading

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "0123456789abcdef" * 4
READINGS = [make_reading("m1", seq=k) for k in range(5)]


def died_over(folder: Path, *readings: Reading, hung: bool = False) -> None:
    """A service that dies while it judges these."""
    flight = Flight(folder, DIGEST)
    flight.enter(readings)
    if hung:
        flight.hung()


def test_after_a_quiet_end_nobody_is_suspect(tmp_path: Path) -> None:
    flight = Flight(tmp_path, DIGEST)
    flight.enter(READINGS)
    flight.leave(READINGS)
    again = Flight(tmp_path, DIGEST)
    again.enter(READINGS)
    again.leave(READINGS)


def test_what_was_judged_when_the_service_died_is_judged_apart_and_then_acquitted(tmp_path: Path) -> None:
    died_over(tmp_path, *READINGS[:3])
    flight = Flight(tmp_path, DIGEST)
    with pytest.raises(Suspected):
        flight.enter(READINGS)
    flight.enter(READINGS[3:])
    flight.leave(READINGS[3:])
    for reading in READINGS[:3]:
        flight.enter([reading])
        flight.leave([reading])
    flight.enter(READINGS)


def test_a_reading_that_hung_alone_is_condemned_at_once(tmp_path: Path) -> None:
    died_over(tmp_path, *READINGS, hung=True)
    died_over(tmp_path, READINGS[2], hung=True)
    flight = Flight(tmp_path, DIGEST)
    with pytest.raises(Condemned, match="died or hung"):
        flight.enter([READINGS[2]])
    flight.enter([READINGS[3]])


def test_a_power_cut_is_not_held_against_a_reading_until_the_third_time(tmp_path: Path) -> None:
    for _ in range(STRIKES - 1):
        died_over(tmp_path, READINGS[0])
    flight = Flight(tmp_path, DIGEST)
    flight.enter([READINGS[0]])
    flight = Flight(tmp_path, DIGEST)
    with pytest.raises(Condemned):
        flight.enter([READINGS[0]])


def test_another_reading_is_never_condemned_for_it(tmp_path: Path) -> None:
    died_over(tmp_path, READINGS[0], hung=True)
    flight = Flight(tmp_path, DIGEST)
    for other in (make_reading("m2", seq=0), make_reading("m1", seq=0, boot="b2"), READINGS[1]):
        flight.enter([other])
        flight.leave([other])


def test_what_one_bundle_died_of_is_not_held_against_it_by_another(tmp_path: Path) -> None:
    died_over(tmp_path, READINGS[0], hung=True)
    Flight(tmp_path, "f" * 64).enter([READINGS[0]])
    died_over(tmp_path, READINGS[1], hung=True)
    flight = Flight(tmp_path, DIGEST)
    flight.take_up("f" * 64)
    flight.enter([READINGS[1]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"MTF1\x00\xff\xff" + b"\x01\x23\x45\x67\x89\xab\xcd\xef"[::-1] + bytes(40_000),
        bytes(100_000),
        os.urandom(300),
    ],
)
def test_a_file_that_is_none_means_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    Flight(tmp_path, DIGEST).enter(READINGS)


def test_where_no_file_can_be_had_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    flight = Flight(tmp_path, DIGEST)
    flight.enter(READINGS)
    flight.leave(READINGS)


def test_a_step_that_hangs_ends_the_process_and_one_that_is_done_does_not(tmp_path: Path) -> None:
    left = threading.Event()
    codes: list[int] = []
    watchdog = Watchdog(Flight(tmp_path, DIGEST), 0.3, leave=lambda code: (codes.append(code), left.set()))
    watchdog.start()
    for _ in range(5):
        with watchdog.over(READINGS):
            time.sleep(0.1)
    assert not left.is_set()
    with watchdog.over(READINGS[:1]):
        assert left.wait(2.0)
        with pytest.raises(Condemned):
            Flight(tmp_path, DIGEST).enter(READINGS[:1])
    assert codes == [GAVE_UP]
    watchdog.stop()


class SlowModels:
    """A run takes a while."""

    manifest = digest = None

    def run(self, *_: object) -> dict[str, object]:
        """Nothing, late."""
        time.sleep(0.2)
        return {}


def test_a_long_batch_of_short_runs_is_no_reason_to_go(tmp_path: Path) -> None:
    codes: list[int] = []
    watchdog = Watchdog(Flight(tmp_path, DIGEST), 0.5, leave=codes.append)
    watchdog.start()
    models = watchdog.watched(SlowModels())
    with watchdog.over(READINGS):
        for _ in range(6):
            models.run("anomaly", {})
    watchdog.stop()
    assert codes == []


CHILD = """
import os, signal, sys, time
from service.flight import Flight
from service.watchdog import Watchdog, heartbeat
from pathlib import Path
folder = Path(sys.argv[1])
lives = folder / "lives"
life = len(lives.read_text()) if lives.exists() else 0
lives.write_text("x" * (life + 1))
watchdog = Watchdog(Flight(folder, "0" * 64), 0.5, heartbeat())
watchdog.start()
what = sys.argv[2].split(",")[life]
if what == "hang":
    with watchdog.over([]):
        time.sleep(60)
if what == "stop":
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGSTOP)
if what == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
sys.exit(int(what))
"""


@pytest.mark.parametrize(
    ("lives", "code", "within_s"),
    [("hang,0", 0, 6.0), ("segfault,0", 0, 4.0), ("stop,0", 0, 8.0), ("1,hang,2", 2, 8.0), ("3", 3, 3.0)],
)
def test_a_supervised_process_is_started_again_until_it_ends_for_good(
    tmp_path: Path, lives: str, code: int, within_s: float
) -> None:
    child = [sys.executable, "-c", CHILD, str(tmp_path), lives]
    program = (
        f"import sys; from service.supervisor import Supervisor; sys.exit(Supervisor({child!r}, silence_s=2.0).run())"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert len((tmp_path / "lives").read_text()) == len(lives.split(","))
    assert time.monotonic() - started < within_s
    if "hang" in lives:
        assert f"ended with {GAVE_UP}" in done.stderr


def test_a_supervisor_passes_the_end_on() -> None:
    child = [sys.executable, "-c", "import time; time.sleep(60)"]
    program = f"import sys; from service.supervisor import Supervisor; sys.exit(Supervisor({child!r}).run())"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    time.sleep(1.0)
    process.terminate()
    assert process.wait(10.0) != 0
    assert Supervisor(child)._child is None
