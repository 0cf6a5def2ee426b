"""What is in the images, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    form = "{{.Size}} {{.CreatedBy}}"
    lines = run("docker", "history", "--no-trunc", "--human=false", "--format", form, "motortwin/edge").stdout
    layers = [(int(size), made) for size, _, made in (line.partition(" ") for line in lines.splitlines())]
    report = [f"{size / 1e6:8.1f} MB  {made:.100}\n" for size, made in layers if size]
    (kept / "edge-layers.txt").write_text("".join(report))
    # from the top down to the first line of the stage "runtime" is ours
    first = next(at for at, (_, made) in enumerate(layers) if "motortwin:x:10001" in made)
    assert sum(size for size, _ in layers[: first + 1]) / 1e6 <= EDGE_MB_ABOVE_BASE


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
