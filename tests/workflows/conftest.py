"""A runner for GitHub's workflows on this machine: act, a clone of this tree, a registry on the loopback, no internet.

What stands in for GitHub: artifacts are folders, an attestation is a list of files and their digests, the comments of a
pull request lie in a server of the test. The runner has the Python environment at hand, as ``make`` would set it up; a
fresh clone's own set-up is CI's first step everywhere. Each run's log is kept in ``build/e2e-workflows``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.registry import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "e2e-workflows"
PYTHON = ROOT / ".venv" / "bin" / "python"
RUN_TIMEOUT_S = 900.0
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/json"
STUBS = {
    "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02": ("upload", "name", "path"),
    "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093": ("download", "name", "path", "pattern"),
    "actions/attest-build-provenance@e8998f949152b193b063cb0ec769d69d929409be": ("attest", "subject-path"),
}
"""Actions that need GitHub, with what they are told."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, by name, what only ``make e2e-workflows`` runs."""
    if item.path.parent == Path(__file__).parent and os.environ.get("E2E_WORKFLOWS") != "1":
        pytest.skip(f"{item.path.name} runs whole workflows; run `make e2e-workflows`")


class Runner:
    """Runs one workflow of the clone after another; artifacts live as long as the runner."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.artifacts, self._bin = folder / "clone", folder / "artifacts", folder / "bin"
        self._stubs = folder / "stubs"
        self.artifacts.mkdir()
        self._cloned()
        self._make()
        for name, *inputs in STUBS.values():
            self._stub(name, inputs)

    def run(
        self,
        workflow: str,
        event: str = "push",
        *options: str,
        variables: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        payload: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Executes a workflow as ``event`` would; its exit status and what it printed."""
        given = {"ARTIFACTS": str(self.artifacts), "MOTOR_DATA": str(self.clone.parent / "none"), **(environment or {})}
        command = [str(ROOT / "deploy" / "tool"), "act", event, "--workflows", f".github/workflows/{workflow}.yml"]
        command += ["--platform", "ubuntu-24.04=-self-hosted", "--pull=false", "--no-cache-server", *options]
        command += ["--defaultbranch", "main"]
        for reference, (name, *_) in STUBS.items():
            command += ["--local-repository", f"{reference}={self._stubs / name}"]
        for flag, pairs in (("--var", variables), ("--env", given)):
            for key, value in (pairs or {}).items():
                command += [flag, f"{key}={value}"]
        # by name only: a process list is no place for them
        for key in secrets or {}:
            command += ["--secret", key]
        surrounding = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}", **(secrets or {})}
        if payload is not None:
            file = self.clone.parent / "event.json"
            file.write_text(json.dumps(payload))
            command += ["--eventpath", str(file)]
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.clone,
            env={**surrounding, "XDG_CACHE_HOME": str(self.clone.parent)},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        KEPT.mkdir(parents=True, exist_ok=True)
        log = KEPT / f"{workflow}-{event}-{len(list(KEPT.iterdir()))}.log"
        log.write_text(f"{done.stdout}{done.stderr}\n{time.monotonic() - started:.1f} s, status {done.returncode}\n")
        return done

    def commit(self, message: str) -> None:
        """What the clone's working tree holds becomes a commit."""
        git = ["git", "-C", str(self.clone), "-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", message], check=True)

    def head(self) -> str:
        """The clone's commit."""
        command = ["git", "-C", str(self.clone), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _cloned(self) -> None:
        """This tree as it stands, on a branch main of its own."""
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        subprocess.run(["git", "-C", str(self.clone), "checkout", "--quiet", "-B", "main"], check=True)
        listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
        for path in map(Path, filter(None, names)):
            if (ROOT / path).is_file():
                (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, self.clone / path)
            else:
                (self.clone / path).unlink(missing_ok=True)
        self.commit("as it stands")

    def _make(self) -> None:
        """A ``make`` that takes the environment of this tree for the workspace's own."""
        real = shutil.which("make")
        assert real is not None
        self._bin.mkdir()
        wrapper = self._bin / "make"
        wrapper.write_text(
            f'#!/bin/bash\nexport PATH="{PYTHON.parent}:$PATH"\n'
            f'exec {real} --old-file=.venv/.stamp --old-file=.venv-edge/.stamp FULL={PYTHON} "$@"\n'
        )
        wrapper.chmod(0o755)

    def _stub(self, name: str, inputs: list[str]) -> None:
        """A composite action that hands its inputs to ``stand_in.py``."""
        folder = self._stubs / name
        folder.mkdir(parents=True)
        step = {
            "shell": "bash",
            "run": f"{sys.executable} {Path(__file__).with_name('stand_in.py')} {name}",
            "env": {_variable(one): f"${{{{ inputs.{one} }}}}" for one in inputs},
        }
        # every input is optional here: act refuses none that it does not know
        document = {"name": name, "description": name, "inputs": {one: {"required": False} for one in inputs}}
        document["runs"] = {"using": "composite", "steps": [step]}
        (folder / "action.yml").write_text(json.dumps(document))


def _variable(name: str) -> str:
    """The environment's name of an input; PATH is taken."""
    return "PATH_GIVEN" if name == "path" else name.upper().replace("-", "_")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One for the whole session."""
    shutil.rmtree(KEPT, ignore_errors=True)
    return Runner(tmp_path_factory.mktemp("runner"))


class Key(NamedTuple):
    """An Ed25519 key made for this session."""

    private_pem: str
    public: Path


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The key that signs releases."""
    made = Ed25519PrivateKey.generate()
    public = tmp_path_factory.mktemp("key") / "release.pub"
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Key(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public)


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A container engine, started where none runs."""
    subprocess.run([ROOT / "deploy" / "engine", "start"], check=True, capture_output=True, timeout=300.0)
    yield
    subprocess.run([ROOT / "deploy" / "engine", "stop"], check=True, capture_output=True, timeout=300.0)


def _forget(address: str) -> None:
    """The engine's names of what went through a registry that is gone."""
    listed = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{address}/*/*"]
    done = subprocess.run(listed, capture_output=True, text=True, check=False)
    names = [name for name in done.stdout.split() if not name.endswith(":<none>")]
    if names:
        subprocess.run(["docker", "image", "rm", "--no-prune", *names], capture_output=True, check=False)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an image registry on the loopback."""
    with serving(tmp_path_factory.mktemp("registry")) as address:
        yield address
        _forget(address)


@pytest.fixture(scope="session")
def get() -> Callable[[str], Any]:
    """What a page says, as JSON."""

    def fetch(url: str) -> Any:
        # a registry turns manifests into what it thinks an old client wants, unless told
        request = urllib.request.Request(url, headers={"Accept": MANIFESTS})  # noqa: S310 - our own address
        with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310
            return json.load(answer)

    return fetch
