"""``train``: from a push to models that are signed and out, and from a pull request to a refusal that it can read."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.hub import serving
from tests.workflows.conftest import PYTHON, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.workflows.conftest import Key, Runner

TRAIN = "--windows 1024 --epochs 1 --golden 4 --workers 1"
VARIABLES = {
    "DATA_ARGS": "none",
    "TRAIN_ARGS": TRAIN,
    "EVALUATE_ARGS": "--only ekf --tiny --seeds 1 --workers 1",
    "GATE_ARGS": "--tiny",
    "ALLOW_TINY": "1",
}
"""A minute instead of half an hour; everything runs, and the figures mean nothing."""


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training of the same arguments made earlier, outside of any workflow."""
    folder = tmp_path_factory.mktemp("champion") / "models"
    command = [PYTHON, "-m", "training", "train", "--out", folder, *TRAIN.split()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    return folder


@pytest.mark.usefixtures("engine")
def test_a_push_ends_with_gated_models_in_every_wave(
    runner: Runner, champion: Path, registry: str, key: Key, get: Callable[[str], Any]
) -> None:
    done = runner.run(
        "train",
        "push",
        variables={**VARIABLES, "CHAMPION": str(champion), "REGISTRY": registry},
        secrets={"RELEASE_KEY": key.private_pem},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Summary - ## Gate: passed" in done.stdout
    candidate = runner.artifacts / "candidate"
    assert {one.name for one in candidate.iterdir()} == {"models", "gate", "evaluation"}
    # another checkout, the same bytes
    assert (candidate / "models" / "manifest.json").read_bytes() == (champion / "manifest.json").read_bytes()
    gate = json.loads((candidate / "gate" / "gate.json").read_text())
    assert gate["verdict"] == "passed"
    assert {one["name"]: one["passed"] for one in gate["checks"]}["retrain_reproduces"] is True
    assert json.loads((candidate / "evaluation" / "evaluation.json").read_text())

    made = runner.artifacts / "release" / "release" / "release.json"
    subprocess.run([ROOT / "deploy" / "release", "verify", made, key.public], check=True, cwd=ROOT)
    release = json.loads(made.read_text())
    assert (release["lane"], release["images"]) == ("models", {})
    assert release["bundle"]["digest"] == gate["candidate"]
    assert release["gate"]["sha256"] == hashlib.sha256((candidate / "gate" / "gate.json").read_bytes()).hexdigest()
    assert release["commit"] == runner.head()
    manifests = f"http://{registry}/v2/motortwin/release/manifests"
    signed = get(f"{manifests}/{release['sequence']}")
    assert [get(f"{manifests}/{wave}") for wave in ("canary", "share", "rest")] == [signed] * 3
    assert "PRIVATE KEY" not in done.stdout


def test_a_pull_request_that_makes_the_models_worse_reads_why(runner: Runner) -> None:
    """Against the shipped models, what a minute trains has no chance."""
    payload = {
        "pull_request": {"number": 7, "head": {"repo": {"full_name": "o/r"}}},
        "repository": {"full_name": "o/r"},
    }
    with serving() as (hub, url):
        done = runner.run(
            "train",
            "pull_request",
            variables=VARIABLES,
            secrets={"GITHUB_TOKEN": "t0ken"},
            payload=payload,
            environment={"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "o/r"},
        )
        comments = list(hub.comments)
    assert done.returncode != 0
    assert "Summary - ## Gate: refused" in done.stdout
    assert len(comments) == 1, done.stdout[-3000:]
    assert "## Gate: refused" in comments[0]["body"]
    assert "**missed**" in comments[0]["body"]
    assert "t0ken" not in done.stdout
