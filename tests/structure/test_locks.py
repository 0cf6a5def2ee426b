"""The lock files belong to ``pyproject.toml``, agree with each other, and hold names, versions and hashes only."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKED: dict[str, tuple[str, ...]] = {
    # lock: what it serves, beside the project's own dependencies
    "service": ("edge",),
    "simulator": ("simulator",),
    "training": ("training", "recordings"),
    "tests": ("dev",),
}
ENTRY = re.compile(
    r"^(?P<pin>[^\s#\\][^\\]*?)\s*\\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def lock(component: str) -> str:
    return (ROOT / component / "requirements.lock").read_text()


def pins(component: str) -> dict[str, Requirement]:
    found = [Requirement(entry["pin"]) for entry in ENTRY.finditer(lock(component))]
    return {canonicalize_name(pin.name): pin for pin in found}


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


def wanted(component: str) -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"] | project["dependency-groups"]
    texts = [*project["project"]["dependencies"], *(text for name in LOCKED[component] for text in extras[name])]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("component", LOCKED)
def test_every_direct_dependency_is_pinned_within_its_bounds_for(component: str) -> None:
    pinned = pins(component)
    for requirement in wanted(component):
        if requirement.name != "torch":
            assert canonicalize_name(requirement.name) in pinned, f"{requirement}: run make lock"
            pin = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version(pin)), f"{requirement}, but {pin}: run make lock"


@pytest.mark.parametrize("component", LOCKED)
def test_nothing_but_pins_and_hashes_stands_in_the_lock_of(component: str) -> None:
    rest = [line for line in ENTRY.sub("", lock(component)).splitlines() if line.strip() and not line.startswith("#")]
    assert rest == []
    assert len(pins(component)) >= 5


def test_the_locks_agree_on_every_version() -> None:
    seen: dict[str, set[str]] = {}
    for component in LOCKED:
        for name, pin in pins(component).items():
            seen.setdefault(name, set()).add(version(pin))
    assert {name: versions for name, versions in seen.items() if len(versions) > 1} == {}


def test_no_lock_brings_torch_or_cuda() -> None:
    heavy = re.compile(r"torch|^triton$|cuda|nvidia")
    assert [name for component in LOCKED for name in pins(component) if heavy.search(name)] == []


@pytest.mark.training
def test_what_torch_needs_beside_cuda_is_in_the_training_lock() -> None:
    needed = [Requirement(text) for text in importlib.metadata.requires("torch") or []]
    plain = [
        canonicalize_name(requirement.name)
        for requirement in needed
        if requirement.marker is None or requirement.marker.evaluate({"extra": "", "sys_platform": "none"})
    ]
    assert plain
    assert set(plain) <= set(pins("training"))


def test_the_makefile_and_the_project_name_the_same_torch() -> None:
    (torch,) = [requirement for requirement in wanted("training") if requirement.name == "torch"]
    assert f"TORCH ?= {torch}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("component", LOCKED)
def test_this_environment_is_the_locked_one_for(component: str) -> None:
    installed = {
        name: importlib.metadata.version(name)
        for name, pin in pins(component).items()
        if pin.marker is None or pin.marker.evaluate()
    }
    assert installed == {name: version(pins(component)[name]) for name in installed}, "run make .venv/.stamp"
