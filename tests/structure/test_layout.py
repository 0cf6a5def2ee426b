"""The shape of the tree: what stands where, how large it may be, what it may not say."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    *("service", "simulator", "training", "deploy", "tests", ".github", ".ci"),
    *("pyproject.toml", "Dockerfile", "docker-compose.yml", "README.md", "Makefile", "LICENSE"),
    *(".gitignore", ".dockerignore", ".hadolint.yaml", ".gitattributes"),
}
MAX_BYTES = 2_000_000
MAX_LINES = 400
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
# A path that only one machine has, or the address of a package registry; written so as not to match itself.
PRIVATE = re.compile(
    rb"(?<![\w.}/-])/(?:work|home/\w+|root|opt/(?:wheels|pypi))(?:/|\b)"
    rb"|(?:py[p]i|test\.py[p]i)\.org|pythonhoste[d]\.org|download\.pytorc[h]\.org|registry\.npmj[s]\."
)


@cache
def tracked() -> tuple[Path, ...]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: no list of tracked files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_top_level_is_the_planned_one() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} - TOP == set()


def test_no_tracked_file_is_larger_than_two_megabytes() -> None:
    assert {named(path): path.stat().st_size for path in tracked() if path.stat().st_size > MAX_BYTES} == {}


def test_no_module_is_longer_than_400_lines() -> None:
    lines = {named(path): len(path.read_text().splitlines()) for path in tracked() if path.suffix == ".py"}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    modules = [path for path in tracked() if path.suffix == ".py"]
    assert [named(path) for path in modules if NAMELESS & {*path.relative_to(ROOT).parts[:-1], path.stem}] == []


def test_no_file_names_a_path_of_one_machine_or_a_package_registry() -> None:
    found = {
        named(path): sorted({match.group().decode() for match in PRIVATE.finditer(path.read_bytes())})
        for path in tracked()
        if path != Path(__file__) and b"\0" not in path.read_bytes()[:8000]
    }
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    "text", [b"cd /work/main", b'"/root/.cache"', b"/home/ann/x", b"https://pypi" + b".org/simple"]
)
def test_such_a_path_or_address_would_be_noticed(text: bytes) -> None:
    assert PRIVATE.search(text)


@pytest.mark.parametrize("text", [b"tests/work/x", b"/networks", b"$HOME/work", b"the pypi package", b"/roots"])
def test_ordinary_text_is_left_alone(text: bytes) -> None:
    assert not PRIVATE.search(text)


def test_test_folders_are_not_packages() -> None:
    assert [named(path) for path in tracked() if path.name == "__init__.py" and "tests" in path.parts] == []
