"""The agent's journal: it survives everything, and where it does not, no old release comes in again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.agent.journal import FLOOR, InUse, Journal, Record, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
WANTED = Wanted(release="sha256:1", sequence=3, bundle="b" * 64, image=f"x@sha256:{'c' * 64}")


def test_the_journal_says_after_a_restart_what_it_said_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    record = Record(state="installing", sequence=3, current="a" * 64, desired=WANTED)
    journal.write(record)
    journal.close()
    (tmp_path / "journal.json.part").write_text("half of")
    again = Journal(tmp_path)
    assert again.record == record
    again.close()


def test_two_agents_on_one_device_are_one_too_many(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(InUse, match="another agent works with this device"):
        Journal(tmp_path)
    journal.close()


def test_a_journal_that_cannot_be_read_still_refuses_what_was_there_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(Record(state="installed", sequence=41))
    journal.close()
    (tmp_path / "journal.json").write_text("{")
    for _ in range(2):  # and at the next start too
        again = Journal(tmp_path)
        assert (again.record.state, again.record.sequence, again.blocked) == ("idle", 41, "")
        assert "releases up to 41 stay refused" in again.record.reason
        again.close()
    assert (tmp_path / "journal.json.corrupt").exists()


def test_a_journal_put_back_from_a_backup_does_not_lower_the_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(Record(sequence=41))
    journal.close()
    (tmp_path / "journal.json").write_text(Record(sequence=7).model_dump_json())
    again = Journal(tmp_path)
    assert again.record.sequence == 41
    again.close()


def test_where_the_number_is_lost_too_nothing_is_taken_until_somebody_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(Record(sequence=41))
    journal.close()
    (tmp_path / "journal.json").write_bytes(b"\xff")
    (tmp_path / FLOOR).write_bytes(b"\x00\xff")
    for _ in range(2):
        again = Journal(tmp_path)
        assert again.record.state == "failed"
        assert "write the number of the last release into it" in again.blocked
        again.close()
    (tmp_path / FLOOR).write_text("41\n")
    again = Journal(tmp_path)
    assert (again.record.sequence, again.blocked) == (41, "")
    again.close()


def test_failed_releases_are_remembered_but_not_for_ever() -> None:
    record = Record()
    for number in range(100):
        record = record.refusing(f"sha256:{number}", "failed", "why")
    assert len(record.refused) == 64
    assert "sha256:99" in record.refused


def asked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"AGENT_REGISTRY": "127.0.0.1:1", "AGENT_KEYS": "none", "AGENT_DATA": str(folder)}
    command: Sequence[str] = [sys.executable, "-m", "deploy.agent", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("state", "status"), [("idle", 0), ("pending", 0), ("installed", 0), ("failed", 4), ("rolled_back", 5)]
)
def test_the_state_can_be_asked_for_while_an_agent_works(tmp_path: Path, state: str, status: int) -> None:
    journal = Journal(tmp_path)
    journal.write(Record.model_validate({"state": state, "reason": "because" if status else ""}))
    done = asked(tmp_path, "--state")
    assert (done.returncode, done.stdout) == (status, f"{state}: because\n" if status else f"{state}\n")
    journal.close()


def test_where_there_is_no_journal_the_state_is_not_known(tmp_path: Path) -> None:
    assert asked(tmp_path, "--state").returncode == 1


def test_an_agent_is_healthy_while_it_works_here(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert asked(tmp_path, "--healthcheck").returncode == 0
    journal.close()
    assert asked(tmp_path, "--healthcheck").returncode == 1
