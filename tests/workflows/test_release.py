"""``release``: from a tag to images, their bill of materials, provenance and a signed release in every wave."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflows.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.workflows.conftest import Key, Runner

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(scope="module")
def released(runner: Runner, registry: str, key: Key) -> tuple[str, Path]:
    """What the workflow printed, and what it left: one processor of the two, as this machine has."""
    done = runner.run(
        "release",
        "push",
        "--matrix",
        "architecture:amd64",
        variables={"REGISTRY": registry},
        secrets={"RELEASE_KEY": key.private_pem},
        payload={"ref": "refs/tags/v0.1.0"},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout, runner.artifacts / "release"


def test_every_image_lies_in_the_registry_under_the_digest_that_was_signed(
    released: tuple[str, Path], registry: str, key: Key, runner: Runner
) -> None:
    _, folder = released
    file = folder / "release" / "release.json"
    subprocess.run([ROOT / "deploy" / "release", "verify", file, key.public], check=True, cwd=ROOT)
    release = json.loads(file.read_text())
    assert (release["lane"], release["gate"], release["commit"]) == ("images", None, runner.head())
    assert set(release["images"]) == {"edge", "simulator", "agent"}
    for name, address in release["images"].items():
        assert address.startswith(f"{registry}/motortwin/{name}@sha256:")
        subprocess.run(["docker", "pull", "--quiet", address], check=True, capture_output=True, timeout=120.0)
    labels = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", release["images"]["edge"]]
    found = json.loads(subprocess.run(labels, check=True, capture_output=True, text=True).stdout)
    assert found["org.opencontainers.image.revision"] == runner.head()


def test_the_bundle_in_the_registry_is_the_one_that_was_signed(released: tuple[str, Path], tmp_path: Path) -> None:
    release = json.loads((released[1] / "release" / "release.json").read_text())
    pulled = release["bundle"]["image"]
    subprocess.run(["docker", "pull", "--quiet", pulled], check=True, capture_output=True, timeout=60.0)
    made = subprocess.run(["docker", "create", pulled], check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["docker", "cp", "--quiet", f"{made}:/", tmp_path / "bundle"], check=True, timeout=60.0)
    finally:
        subprocess.run(["docker", "rm", made], check=True, capture_output=True)
    manifest = (tmp_path / "bundle" / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == release["bundle"]["digest"]
    assert json.loads((tmp_path / "bundle" / "bundle.sig").read_text())["release"] == release["sequence"]


def test_provenance_covers_release_images_and_bill_of_materials(released: tuple[str, Path], runner: Runner) -> None:
    attested = json.loads((runner.artifacts / "attested.json").read_text())
    wanted = {"release/release.json", "release/release.json.sig", "images.json", "sbom/edge.spdx.json"}
    assert {f"build/{name}" for name in wanted} <= set(attested)
    release = released[1] / "release" / "release.json"
    assert attested["build/release/release.json"] == hashlib.sha256(release.read_bytes()).hexdigest()


def test_the_release_goes_through_every_wave(
    released: tuple[str, Path], registry: str, get: Callable[[str], Any]
) -> None:
    said, folder = released
    sequence = json.loads((folder / "release" / "release.json").read_text())["sequence"]
    order = [said.index(f"motortwin/release:{wave} is release {sequence}") for wave in ("canary", "share", "rest")]
    assert order == sorted(order)
    tags = get(f"http://{registry}/v2/motortwin/release/tags/list")["tags"]
    assert {str(sequence), "canary", "share", "rest"} <= set(tags)


def test_the_log_holds_no_key(released: tuple[str, Path], key: Key) -> None:
    secret = key.private_pem.splitlines()[1]
    assert secret not in released[0]


def test_without_a_key_nothing_is_published(runner: Runner, registry: str, get: Callable[[str], Any]) -> None:
    before = get(f"http://{registry}/v2/motortwin/release/tags/list")["tags"]
    done = runner.run(
        "release",
        "push",
        "--matrix",
        "architecture:amd64",
        variables={"REGISTRY": registry},
        payload={"ref": "refs/tags/v0.1.1"},
    )
    assert done.returncode != 0
    assert "RELEASE_KEY is not set" in done.stdout
    assert get(f"http://{registry}/v2/motortwin/release/tags/list")["tags"] == before


def test_a_deployment_of_a_release_that_is_not_there_stops_at_the_canary(runner: Runner, registry: str) -> None:
    done = runner.run(
        "deploy", "workflow_dispatch", variables={"REGISTRY": registry}, payload={"inputs": {"sequence": "1"}}
    )
    assert done.returncode != 0
    assert "motortwin/release:1 is not there" in done.stdout
    assert "deploy/share" not in done.stdout
