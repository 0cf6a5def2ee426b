"""What is in the images, and what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("images")]

ROOT = Path(__file__).resolve().parents[2]
EDGE_MB_ABOVE_BASE = 140

ABSENT = """
import importlib.util, pathlib, shutil
modules = [name for name in ("pip", "setuptools", "torch", "scipy", "pandas", "onnx", "simulator", "training", "pytest")
           if importlib.util.find_spec(name)]
programs = [name for name in ("pip", "pip3", "gcc", "cc", "ld", "make", "git", "curl", "wget") if shutil.which(name)]
writable = [str(path) for top in ("/app", "/venv") for path in pathlib.Path(top).rglob("*") if path.owner() != "root"]
print(modules + programs + writable)
"""


def _image(run: Callable[..., Any], name: str) -> Any:
    (document,) = json.loads(run("docker", "image", "inspect", name).stdout)
    return document


def test_edge_holds_neither_pip_nor_a_compiler_nor_what_only_training_needs(run: Callable[..., Any]) -> None:
    found = run("docker", "run", "--rm", "--network", "none", "--entrypoint", "python", "motortwin/edge", "-c", ABSENT)
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_edge_is_small_above_its_base(run: Callable[..., Any], kept: Path) -> None:
    report = run(ROOT / "deploy" / "images", "sizes", "edge").stdout
    (kept / "edge-layers.txt").write_text(report)
    *layers, whole = report.splitlines()
    match = re.fullmatch(r"edge: ([0-9.]+) MB above its base of ([0-9.]+) MB, ([0-9.]+) MB in all", whole)
    assert match, whole
    above, base, everything = (float(one) for one in match.groups())
    sizes = [(float(line.split()[0]), "(base)" in line) for line in layers]
    assert sum(size for size, below in sizes if not below) == pytest.approx(above, abs=0.5)
    assert sum(size for size, below in sizes if below) == pytest.approx(base, abs=0.5)
    stored = _image(run, "motortwin/edge")["Size"] / 1e6
    assert everything == pytest.approx(stored, abs=1.0)
    assert above <= EDGE_MB_ABOVE_BASE


def test_the_bill_of_materials_names_every_locked_wheel_by_its_version(run: Callable[..., Any]) -> None:
    done = run(ROOT / "deploy" / "images", "sbom", "edge", timeout_s=300.0)
    assert done.returncode == 0, done.stderr
    folder = ROOT / "build" / "sbom"
    spdx = json.loads((folder / "edge.spdx.json").read_text())
    found = {(canonicalize_name(one["name"]), one.get("versionInfo")) for one in spdx["packages"]}
    pins = re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / "service" / "requirements.lock").read_text(), re.MULTILINE)
    assert len(pins) > 20
    assert {(canonicalize_name(name), version) for name, version in pins} - found == set()
    assert "libc6" in {name for name, _ in found}
    components = json.loads((folder / "edge.cdx.json").read_text())["components"]
    assert "onnxruntime" in {one["name"] for one in components}


@pytest.mark.parametrize("name", ["edge", "simulator"])
def test_images_say_what_they_are_and_who_they_run_as(run: Callable[..., Any], name: str) -> None:
    config = _image(run, f"motortwin/{name}")["Config"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert labels["title"] == f"motortwin {name}"
    assert labels["licenses"] == "MIT"
    assert f'VERSION = "{labels["version"]}"' in (ROOT / "service" / "version.py").read_text()
    assert len(labels["revision"].removesuffix("-dirty")) == 40
    assert config["User"] == "10001:10001"
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"], "ONNX Runtime would report to its maker"


def test_edge_proves_its_models_in_a_read_only_container_without_any_right(run: Callable[..., Any]) -> None:
    limits = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    places = ["--tmpfs", "/data:uid=10001,mode=0750", "--env", "MQTT_URL=mqtt://localhost"]
    done = run("docker", "run", "--rm", *limits, *places, "motortwin/edge", "--self-test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().endswith("self-test: ok")


def test_a_mistake_in_the_environment_is_one_line_and_exit_status_2(run: Callable[..., Any]) -> None:
    done = run("docker", "run", "--rm", "--network", "none", "motortwin/edge")
    assert done.returncode == 2
    assert done.stderr.startswith("motortwin: mqtt.url is missing")
    assert done.stderr.count("\n") == 1


def test_nothing_of_the_build_machine_stays_in_the_history(run: Callable[..., Any]) -> None:
    for name in ("edge", "simulator"):
        history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", f"motortwin/{name}").stdout
        assert "PIP_INDEX_URL" not in history
        assert "wheelhouse" not in history
