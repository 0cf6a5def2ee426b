"""A backup brings a lost machine back: the same passwords, and an edge that knows what it knew."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.containers

ROOT = Path(__file__).resolve().parents[2]


def test_a_lost_machine_comes_back_from_its_backup(
    stack, tmp_path: Path, run: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    both = {stack.failing, stack.healthy}
    eventually("motors", lambda: set(stack.motors()) == both, within_s=30.0)
    password = stack.prepare("show", "viewer")
    backup = tmp_path / "backup.tar"

    stack.compose("stop", "simulator", "edge", "mosquitto")
    with backup.open("wb") as file:
        saved = subprocess.run(
            stack.command("run", "--rm", "-T", "prepare", "backup"),
            stdout=file, stderr=subprocess.PIPE, cwd=ROOT, env=stack.environment, check=False, timeout=60,
        )  # fmt: skip
    assert saved.returncode == 0, saved.stderr
    stack.compose("rm", "--force", "--stop", "simulator", "edge", "mosquitto", "prepare")
    gone = [f"{stack.project}_{name}" for name in ("edge-data", "mosquitto-data", "secrets-edge", "secrets-viewer")]
    assert run("docker", "volume", "rm", *gone).returncode == 0

    with backup.open("rb") as file:
        restored = subprocess.run(
            stack.command("run", "--rm", "-T", "prepare", "restore"),
            stdin=file, capture_output=True, cwd=ROOT, env=stack.environment, check=False, timeout=60,
        )  # fmt: skip
    assert restored.returncode == 0, restored.stderr
    started = stack.compose("up", "--detach", "--wait", "--no-build", "edge", timeout_s=120.0)
    assert started.returncode == 0, started.stderr

    # the twin is still off: what the edge says of the motors it can only remember
    assert stack.prepare("show", "viewer") == password
    assert set(stack.motors()) == both
    assert all(motor["health"] for motor in stack.motors().values())
    assert stack.metrics()["motortwin_states_lost_total"] == 0.0
    assert stack.compose("up", "--detach", "--wait", "--no-build", timeout_s=120.0).returncode == 0
