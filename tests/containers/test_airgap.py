"""A release on a stick: what arrives whole is loaded, what does not is refused before anything is touched."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RELEASE = Path(__file__).resolve().parents[2] / "deploy" / "airgap" / "release"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _pack(file: Path, parts: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def _parts(*, form: str = "motortwin release 1", architecture: str = HERE) -> dict[str, bytes]:
    parts = {
        "release": f"{form}\nversion 9\narchitecture {architecture}\n".encode(),
        "files.tar": b"files",
        "images.tar.gz": b"images",
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in parts.items())
    return {"sums": sums.encode(), **parts}


def _refusal(run: Callable[..., Any], file: Path, folder: Path) -> str:
    # an engine that is not there: a refusal must come before anybody asks for one
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere"}
    done = run(RELEASE, "import", file, folder, env=environment)
    assert done.returncode == 1
    assert not folder.exists()
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


def test_a_whole_release_gets_as_far_as_the_engine(run: Callable[..., Any], tmp_path: Path) -> None:
    file = _pack(tmp_path / "whole.tar", _parts())
    assert "no container engine answers" in _refusal(run, file, tmp_path / "to")


@pytest.mark.parametrize("part", ["release", "files.tar", "images.tar.gz"])
def test_an_altered_part_is_noticed(run: Callable[..., Any], tmp_path: Path, part: str) -> None:
    file = _pack(tmp_path / "altered.tar", {**_parts(), part: b"something else"})
    assert "is damaged: copy it again; nothing was loaded" in _refusal(run, file, tmp_path / "to")


@pytest.mark.parametrize("part", ["sums", "release", "files.tar", "images.tar.gz"])
def test_a_missing_part_is_noticed(run: Callable[..., Any], tmp_path: Path, part: str) -> None:
    parts = _parts()
    del parts[part]
    assert "is no release, or the copy is incomplete" in _refusal(
        run, _pack(tmp_path / "x.tar", parts), tmp_path / "to"
    )


def test_a_part_without_a_checksum_is_noticed(run: Callable[..., Any], tmp_path: Path) -> None:
    parts = _parts()
    parts["sums"] = b"".join(parts["sums"].splitlines(keepends=True)[:2])
    assert "does not vouch for all of its parts" in _refusal(run, _pack(tmp_path / "x.tar", parts), tmp_path / "to")


def test_a_copy_that_was_cut_off_is_noticed(run: Callable[..., Any], tmp_path: Path) -> None:
    file = _pack(tmp_path / "cut.tar", _parts())
    file.write_bytes(file.read_bytes()[:1500])
    assert "copy it again" in _refusal(run, file, tmp_path / "to")


def test_a_release_of_another_format_or_processor_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    future = _pack(tmp_path / "future.tar", _parts(form="motortwin release 2"))
    assert "this program reads 'motortwin release 1'" in _refusal(run, future, tmp_path / "to")
    other = _pack(tmp_path / "other.tar", _parts(architecture="riscv64"))
    assert f"is for riscv64, this machine is {platform.machine()}" in _refusal(run, other, tmp_path / "to")


@pytest.mark.containers
@pytest.mark.usefixtures("images")
def test_an_exported_release_comes_back_with_its_image_and_keeps_local_settings(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    file, folder = tmp_path / "release.tar", tmp_path / "plant"
    (folder / "deploy").mkdir(parents=True)
    (folder / "deploy" / "edge.toml").write_text("# ours\n")
    run("docker", "tag", "motortwin/edge:latest", "motortwin/edge:stick")

    exported = run(RELEASE, "export", file, "motortwin/edge:stick", timeout_s=180.0)
    assert exported.returncode == 0, exported.stderr
    run("docker", "rmi", "motortwin/edge:stick")
    imported = run(RELEASE, "import", file, folder, timeout_s=180.0)

    assert imported.returncode == 0, imported.stderr
    assert exported.stdout.splitlines()[-1] in imported.stdout
    assert run("docker", "rmi", "motortwin/edge:stick").returncode == 0
    assert (folder / "docker-compose.yml").exists()
    assert (folder / "deploy" / "edge.toml").read_text() == "# ours\n"
