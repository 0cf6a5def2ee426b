"""``make e2e-redeploy``: the training container makes models without a network, and the edge's image takes them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = ["train", "--out", "/data/models", "--windows", "1024", "--epochs", "1", "--workers", "1", "--golden", "6"]
BUILD_S, RUN_S = 900.0, 300.0


def done(*command: str, timeout_s: float = 60.0, **more: str) -> str:
    """What a program says; it must end well."""
    found = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert found.returncode == 0, found.stdout[-1500:] + found.stderr[-1500:]
    return found.stdout


@pytest.fixture
def project() -> Iterator[str]:
    """An engine with the images, and a project's name; gone with its volumes afterwards."""
    if os.environ.get("E2E_REDEPLOY") != "1":
        pytest.skip("building the training image takes minutes; run `make e2e-redeploy`")
    engine = str(ROOT / "deploy" / "engine")
    done(engine, "start", timeout_s=300.0)
    name = f"motortwin-train-{uuid.uuid4().hex[:6]}"
    try:
        done(str(ROOT / "deploy" / "images"), "--auto", "edge", "training", timeout_s=BUILD_S)
        yield name
    finally:
        subprocess.run(["docker", "volume", "rm", "--force", f"{name}_models"], capture_output=True, check=False)
        done(engine, "stop", timeout_s=120.0)


def test_what_the_training_container_makes_is_taken_by_the_edges_image(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    compose = [str(ROOT / "deploy" / "engine"), "compose", "--project-name", project]
    compose += ["--env-file", "deploy/airgap/airgap.env", "--profile", "training"]
    started_s = time.monotonic()
    told = done(*compose, "run", "--rm", "-T", "training", *TINY, timeout_s=RUN_S)
    trained_s = time.monotonic() - started_s
    assert told
    limits = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    given: list[Any] = ["--env", "MQTT_URL=mqtt://localhost", "--env", "MOTORTWIN_BUNDLE=/models/models"]
    places = ["--tmpfs", "/data:uid=10001,mode=0750", "--volume", f"{project}_models:/models:ro"]
    proven = done("docker", "run", "--rm", *limits, *given, *places, "motortwin/edge", "--self-test")
    assert proven.strip().endswith("self-test: ok")
    sizes = done(str(ROOT / "deploy" / "images"), "sizes", "training").splitlines()
    lines = [f"training container, tiny, without a network: {trained_s:.1f} s", *sizes]
    folder = ROOT / "build" / "e2e-redeploy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.txt").write_text("\n".join(lines) + "\n")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
