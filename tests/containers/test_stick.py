"""The agent's own container in the stack, with the engine's socket, and a release of images in a file on a stick."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.registry import push, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

pytestmark = pytest.mark.containers

ROOT = Path(__file__).resolve().parents[2]
TOPIC = "motortwin/v1/edge/edge/release"
ASKED = "import json, os; print(json.dumps([os.getuid(), os.access('/app', os.W_OK), open('/proc/1/status').read()]))"


def _released(registry: str, key: Ed25519PrivateKey, edge: str) -> None:
    models = push(registry, "models", "7", {"manifest.json": b"{}"})
    document = {
        "schema_version": 1,
        "project": "motortwin",
        "sequence": 7,
        "lane": "images",
        "not_after": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
        "bundle": {"digest": hashlib.sha256(b"{}").hexdigest(), "image": f"{registry}/motortwin/models@{models}"},
        "images": {"edge": edge},
    }
    raw = json.dumps(document).encode()
    name = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    told = {"format": 1, "key": name, "signature": base64.b64encode(key.sign(raw)).decode()}
    push(registry, "release", "rest", {"release.json": raw, "release.json.sig": json.dumps(told).encode()})


@pytest.fixture(scope="module")
def stick(stack, run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a release in a file and the key that vouches for it; its image is the stack's own, relabelled."""
    tmp_path, key = tmp_path_factory.mktemp("stick"), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "release.pub").write_bytes(public)
    (tmp_path / "release.pub").chmod(0o644)
    (tmp_path / "registry").mkdir()
    folder = tmp_path / "stick"
    folder.mkdir()
    with serving(tmp_path / "registry") as registry:
        tag = f"{registry}/motortwin/edge:7"
        build, recipe = ["docker", "build", "--quiet", "--tag", tag, "-"], b"FROM motortwin/edge:latest\n"
        subprocess.run(build, input=recipe + b"LABEL org.motortwin.test=stick\n", check=True, capture_output=True)
        found = re.search(r"sha256:[0-9a-f]{64}", run("docker", "push", tag, timeout_s=120.0).stdout)
        assert found
        run("docker", "image", "rm", tag)
        _released(registry, key, f"{registry}/motortwin/edge@{found[0]}")
        settings = {"AGENT_REGISTRY": registry, "AGENT_KEYS": str(tmp_path / "release.pub")}
        carried = run(
            sys.executable, "-m", "deploy.agent", "--carry", folder / "release.tar",
            timeout_s=120.0, cwd=ROOT, env={**os.environ, **settings},
        )  # fmt: skip
    assert carried.returncode == 0, carried.stderr
    assert "release 7 for wave rest" in carried.stdout
    for path in (tmp_path, folder):
        path.chmod(0o755)
    (folder / "release.tar").chmod(0o644)
    yield folder
    stack.compose("--profile", "agent", "rm", "--force", "--stop", "agent")
    version = run("docker", "image", "ls", "--quiet", "--filter", "reference=motortwin/edge:0.*").stdout.split()[0]
    run("docker", "tag", version, "motortwin/edge:latest")
    run("docker", "image", "rm", "--force", "motortwin/edge:release-7")


def test_a_release_on_a_stick_replaces_the_stacks_edge_and_compose_leaves_it_so(
    stack, listener, stick: Path, run: Callable[..., Any], eventually: Callable[..., Any], kept: Path
) -> None:
    built = run(ROOT / "deploy" / "images", "--auto", "agent", timeout_s=600.0)
    assert built.returncode == 0, built.stderr
    (kept / "agent-layers.txt").write_text(run(ROOT / "deploy" / "images", "sizes", "agent").stdout)
    old, motors = stack.container("edge"), set(stack.motors())
    stack.environment |= {
        "STICK": str(stick),
        "RELEASE_PUB": str(stick.parent / "release.pub"),
        "DOCKER_GID": str(Path("/var/run/docker.sock").stat().st_gid),
        "EDGE_CONTAINER": old["Name"].removeprefix("/"),
        "AGENT_POLL_S": "1",
        "AGENT_SOAK_S": "2",
        "AGENT_MIN_READINGS": "10",
    }
    overlays = ["--file", "deploy/engine.yml", "--file", "deploy/stick.yml", "--profile", "agent"]
    started = stack.compose(*overlays, "up", "--detach", "--wait", "--no-build", "agent", timeout_s=120.0)
    assert started.returncode == 0, started.stderr

    def ended() -> Any:
        told = [body for _, body in listener.hear(TOPIC, for_s=2.0, messages=1, retained=True)]
        return told[-1] if told and told[-1]["state"] in ("installed", "failed", "rolled_back") else None

    told = eventually("the agent's word", ended, within_s=90.0)
    assert (told["state"], told["reason"], told["sequence"]) == ("installed", "", 7)
    assert 0.0 < told["gap_s"] < 30.0
    (kept / "image-swap-compose.txt").write_text(f"{told['gap_s']:.2f} s without a ready edge, in the compose stack\n")

    new = stack.container("edge")
    assert new["Name"] == old["Name"]
    assert new["Image"] != old["Image"]
    assert new["Config"]["Labels"]["org.motortwin.test"] == "stick"
    for key in ("ReadonlyRootfs", "CapDrop", "SecurityOpt", "Memory", "PidsLimit", "RestartPolicy", "PortBindings"):
        assert new["HostConfig"][key] == old["HostConfig"][key], key
    assert set(new["NetworkSettings"]["Networks"]) == set(old["NetworkSettings"]["Networks"])
    assert set(stack.motors()) == motors
    eventually("readings", lambda: stack.metrics().get("motortwin_readings_total", 0.0) > 10.0, within_s=30.0)
    eventually("Prometheus' target", lambda: stack.ask_prometheus('up{job="edge"}==1'), within_s=40.0)
    state = 'motortwin_agent_state{state="installed"}==1'
    eventually("the agent's own figures", lambda: stack.ask_prometheus(quote(state)), within_s=40.0)
    # compose finds nothing to do
    again = stack.compose("up", "--detach", "--wait", "--no-build", timeout_s=120.0)
    assert again.returncode == 0, again.stderr
    assert stack.container("edge")["Id"] == new["Id"]


def test_the_agents_container_may_do_little_but_for_the_socket(stack, stick: Path) -> None:
    overlay = ["--file", "deploy/stick.yml", "--profile", "agent"]
    stack.environment |= {"STICK": str(stick), "RELEASE_PUB": str(stick.parent / "release.pub")}
    started = stack.compose(*overlay, "up", "--detach", "--wait", "--no-build", "agent", timeout_s=120.0)
    assert started.returncode == 0, started.stderr
    done = stack.compose("--profile", "agent", "exec", "-T", "agent", "python", "-c", ASKED)
    user, writable, status = json.loads(done.stdout)
    assert (user, writable) == (10001, False)
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"
    host = stack.container("agent")["HostConfig"]
    assert host["ReadonlyRootfs"]
    # without the overlay that hands it over there is no socket, and a release of images says so
    assert not any("docker.sock" in bind for bind in host["Binds"] or [])
    said = stack.compose("--profile", "agent", "exec", "-T", "agent", "python", "-m", "deploy.agent", "--state")
    assert said.returncode in (0, 4)
