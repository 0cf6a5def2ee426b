"""A test whose recording is absent is skipped by the recording's name; where the file is, the test runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
PROGRAM = """
import pytest

@pytest.mark.data("rig/one.csv")
def test_reads_it(recordings):
    assert (recordings / "rig" / "one.csv").read_text() == "1"
"""


@pytest.fixture
def outcome(tmp_path: Path) -> Callable[[], str]:
    (tmp_path / "tests").mkdir()
    shutil.copy(CONFTEST, tmp_path / "tests" / "conftest.py")
    (tmp_path / "tests" / "test_one.py").write_text(PROGRAM)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -ra\n")

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"],
            cwd=tmp_path,
            env=os.environ | {"MOTOR_DATA": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return run


def test_an_absent_recording_skips_its_test_by_name(outcome) -> None:
    text = outcome()
    assert "1 skipped" in text
    assert "recording rig/one.csv is absent; set MOTOR_DATA" in text


def test_a_present_recording_lets_its_test_run(outcome, tmp_path: Path) -> None:
    (tmp_path / "data" / "rig").mkdir(parents=True)
    (tmp_path / "data" / "rig" / "one.csv").write_text("1")
    assert "1 passed" in outcome()
