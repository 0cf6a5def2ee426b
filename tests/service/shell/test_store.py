"""Store, journal, registry, memory: what survives, what is moved aside, what is refused."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service import monitor
from service.contract import codec
from service.contract.codec import Refused
from service.contract.messages import Birth, Nameplate
from service.errors import StoreError
from service.journal import Journal
from service.memory import Memory
from service.metrics import Metrics
from service.store import FILE, Changes, InUse, MotorRow, NewerSchema, Restored, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.bundle import Bundle
    from service.contract.messages import Alert, Reading
    from service.monitor import Profile

PLATE = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)


def row(motor: str, state: bytes = b"s") -> MotorRow:
    return MotorRow(motor, state, b"h", 1.8e9)


def birth(motor: str, **fields: Any) -> bytes:
    return codec.encode_json(Birth(motor=motor, ts_s=1.8e9, nameplate=PLATE, **fields))


def sample(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(name)
    assert value is not None
    return value


def test_a_large_batch_opens_no_temporary_file(tmp_path: Path) -> None:
    """SQLite would keep a statement's undo in one, in whatever folder the machine lets it write."""
    files, over = Path("/proc/self/fd"), threading.Event()
    opened: set[str] = set()

    def watch() -> None:
        while not over.is_set():
            for one in files.iterdir():
                with contextlib.suppress(OSError):
                    opened.add(str(one.readlink()))

    store = Store(tmp_path)
    store.open()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in range(10):
            store.commit(Changes({f"m{k}": row(f"m{k}", bytes([turn]) * 4000) for k in range(500)}))
    finally:
        over.set()
        watcher.join()
        store.close()
    assert any(FILE in name for name in opened)
    assert [name for name in opened if "etilqs" in name] == []


def test_what_is_committed_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "data")
    assert store.open() == Restored()
    changes = Changes({"m2": row("m2"), "m1": row("m1")}, {"m1": b"birth"}, {4: ("t", b"a"), 5: ("t", b"b")})
    store.commit(changes)
    store.commit(Changes({"m2": None, "m1": row("m1", b"newer")}, {}, {4: None}))
    store.close()
    again = Store(tmp_path / "deep" / "data")
    assert again.open() == Restored([row("m1", b"newer")], {"m1": b"birth"}, [(5, "t", b"b")])
    again.commit(Changes({"m9": row("m9")}, instead=True))
    again.close()
    assert again.open() == Restored([row("m9")], {}, [])
    again.close()


def test_commits_are_durable_by_configuration(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    assert store._connection is not None
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


@pytest.mark.parametrize("damage", ["rubbish", "torn"])
def test_a_damaged_file_is_moved_aside_and_never_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE
    found: list[bytes] = []
    for _ in range(2):
        store = Store(tmp_path)
        store.open()
        store.commit(Changes({f"m{n}": row(f"m{n}", b"x" * 4000) for n in range(50)}))
        store.close()
        raw = bytearray(path.read_bytes())
        broken = b"rubbish " * 1000 if damage == "rubbish" else bytes(raw[:4096]) + b"\xff" * 8192 + bytes(raw[12288:])
        path.write_bytes(broken)
        store = Store(tmp_path)
        assert store.open() == Restored()
        assert store.moved_aside == 1
        store.close()
        found.append(broken[4096:])
        aside = {item.name: item.read_bytes() for item in tmp_path.glob("*.corrupt-*")}
        kept = [raw[4096:] for name, raw in aside.items() if not name.endswith(("-wal", "-shm"))]
        assert sorted(kept) == sorted(found)


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerSchema, match="newer release"):
        Store(tmp_path).open()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_a_folder_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from service.store import Store; Store(pathlib.Path(sys.argv[1])).open();"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InUse, match="in use"):
            Store(tmp_path).open()
        other.kill()
        other.wait()
        store = Store(tmp_path)
        store.open()
        store.close()
    finally:
        other.kill()
        other.communicate()


def test_a_full_disk_is_said_and_everything_is_saved_when_there_is_room(tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(tmp_path)
    journal = Journal(store, metrics, lambda: Changes({"m1": row("m1"), "m2": row("m2")}, instead=True))
    journal.begin(lambda _: Changes(), 0.0)
    assert journal.fault is None
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count = 8")
    journal.commit(Changes({"m1": row("m1", b"x" * 100_000)}), 1.0)
    assert journal.fault is not None
    assert "full" in journal.fault
    assert sample(metrics, "motortwin_store_up") == 0
    assert sample(metrics, "motortwin_store_failures_total") == 1
    journal.commit(Changes({"m2": row("m2")}), 2.0)
    assert journal.fault is not None
    journal.commit(Changes(), 7.0)
    assert journal.fault is None
    assert sample(metrics, "motortwin_store_up") == 1
    journal.close()
    assert Store(tmp_path).open().motors == [row("m1"), row("m2")]


def test_a_file_damaged_while_open_is_moved_aside_and_written_anew(tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(tmp_path)
    journal = Journal(store, metrics, lambda: Changes({"m1": row("m1")}, instead=True))
    journal.begin(lambda _: Changes(), 0.0)
    journal.commit(Changes({f"m{n}": row(f"m{n}", b"x" * 4000) for n in range(200)}), 1.0)
    assert store._connection is not None
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store._connection.execute("PRAGMA shrink_memory").fetchall()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    journal.commit(Changes({"m5": row("m5")}), 2.0)
    assert journal.fault is not None
    assert "malformed" in journal.fault
    assert sample(metrics, "motortwin_store_moved_aside_total") == 1
    journal.retry(10.0)
    assert journal.fault is None
    journal.close()
    assert Store(tmp_path).open().motors == [row("m1")]


def test_a_store_that_opens_late_gives_what_it_held(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = Store(folder)
    store.open()
    store.commit(Changes({"old": row("old")}))
    store.close()
    folder.rename(tmp_path / "away")
    folder.write_text("in the way")
    adopted: list[Restored] = []

    def adopt(restored: Restored) -> Changes:
        adopted.append(restored)
        return Changes()

    journal = Journal(Store(folder), Metrics(), lambda: Changes({"old": row("old")}, instead=True))
    journal.begin(adopt, 0.0)
    assert journal.fault is not None
    folder.unlink()
    (tmp_path / "away").rename(folder)
    journal.retry(10.0)
    assert journal.fault is None
    assert [item.motors for item in adopted] == [[row("old")]]
    journal.close()


def test_a_commit_without_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not open"):
        Store(tmp_path).commit(Changes({"m1": row("m1")}))


def test_memory_gives_back_what_it_was_given(bundle: Bundle, reading: Callable[..., Reading]) -> None:
    memory = Memory({})
    memory.registry.announce("m1", birth("m1", clock="simulated"))
    changes = Changes(births={"m1": birth("m1", clock="simulated")})
    failing = [reading(seq=seq, anomaly=2.0, severity=0.5, faults={"ball": 0.9}) for seq in range(3)]
    result = monitor.step(
        memory.state, failing, memory.registry.profiles, bundle, now_ts_s=time.time(), policy=monitor.Policy()
    )
    memory.healths["m1"] = b"{}"
    memory.heard_ts_s["m1"] = 1.8e9
    memory.take(result, changes)
    everything = memory.everything()
    assert (changes.motors, changes.births, changes.outbox) == (everything.motors, everything.births, everything.outbox)
    twin = Memory({})
    stored = [item for item in everything.motors.values() if item is not None]
    outbox = [(number, *entry) for number, entry in everything.outbox.items() if entry is not None]
    assert twin.adopt(Restored(stored, dict(memory.registry.births), outbox)) == 0
    assert twin.state == memory.state
    assert twin.healths == memory.healths
    assert [entry.payload for entry in twin.outbox.entries()] == [entry.payload for entry in memory.outbox.entries()]
    assert twin.everything().outbox == everything.outbox


def test_a_state_that_cannot_be_read_is_counted_and_the_others_stay(
    bundle: Bundle, reading: Callable[..., Reading], profile: Callable[..., Profile]
) -> None:
    profiles = {"m1": profile("m1")}
    result = monitor.step({}, [reading()], profiles, bundle, now_ts_s=time.time(), policy=monitor.Policy())
    memory = Memory({})
    good = MotorRow("m1", result.state["m1"].to_bytes(), None, 1.8e9)
    assert memory.adopt(Restored([good, row("m2", b"rubbish")])) == 1
    assert list(memory.state) == ["m1"]


def test_a_retired_motor_is_removed_and_its_alerts_are_cleared(
    bundle: Bundle, reading: Callable[..., Reading], profile: Callable[..., Profile]
) -> None:
    memory = Memory({})
    failing = [reading(seq=seq, anomaly=2.0, severity=0.5, faults={"ball": 0.9}) for seq in range(3)]
    result = monitor.step({}, failing, {"m1": profile("m1")}, bundle, now_ts_s=time.time(), policy=monitor.Policy())
    memory.take(result, Changes())
    changes = Changes()
    cleared = memory.retire("m1", time.time(), "gone", changes)
    assert [alert.state for alert in cleared] == ["clear"]
    assert changes.motors == {"m1": None}
    assert len(changes.outbox) == 1
    assert "m1" not in memory.state


def test_a_birth_updates_the_profile_and_the_operators_file_outranks_it() -> None:
    configured = Birth(motor="m1", ts_s=1.8e9, nameplate=PLATE, name="ours")
    memory = Memory({"m1": configured})
    assert memory.registry.announce("m1", birth("m1", name="theirs")) is None
    assert memory.registry.profiles["m1"].name == "ours"
    assert memory.registry.announce("m1", b"") is None
    announced = memory.registry.announce("m2", birth("m2", interval_s=5.0))
    assert announced is not None
    assert announced.profile is not None
    assert announced.profile.interval_s == 5.0
    assert memory.registry.announce("m2", birth("m2", interval_s=5.0)) is None
    gone = memory.registry.announce("m2", b"")
    assert gone is not None
    assert gone.profile is None
    assert "m2" not in memory.registry.profiles
    assert memory.registry.announce("m2", b"") is None


def test_a_birth_for_another_motor_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        Memory({}).registry.announce("m1", birth("m2"))
    assert (refused.value.reason, refused.value.field) == ("topic", "motor")


def test_an_alert_is_held_where_it_is_open_or_on_its_way(alert: Callable[..., Alert]) -> None:
    memory = Memory({})
    assert not memory.held(alert())
    memory.queue([alert(state="clear")], Changes())
    assert memory.held(alert())
    assert not memory.held(alert("m2"))
