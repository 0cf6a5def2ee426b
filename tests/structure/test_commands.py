"""What the README tells people to type exists, and what make offers is explained."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def code() -> str:
    return "\n".join(block or inline for block, inline in CODE.findall(README.read_text()))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):.*?## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_target_in_the_readme_exists() -> None:
    mentioned = set(re.findall(r"\bmake ([a-z0-9-]+)", code()))
    assert mentioned >= {"demo", "test"}
    assert mentioned - targets() == set()


def test_every_offered_make_target_is_in_the_readme() -> None:
    assert targets() - set(re.findall(r"\bmake ([a-z0-9-]+)", code())) == set()


def test_every_module_that_the_readme_runs_exists() -> None:
    for module in set(re.findall(r"python -m ([a-z_.]+)", code())):
        assert importlib.util.find_spec(module), module


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|href)=\"([^\":]+)\"", README.read_text())
    assert [link for pair in links for link in pair if link and not (ROOT / link).exists()] == []


def test_make_help_names_every_target() -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "help"], capture_output=True, text=True, check=True
    )
    assert (
        set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
        == targets()
        >= {*("demo", "test", "check", "train", "bench", "lock", "clean", "help", "e2e")}
    )


@pytest.mark.parametrize("target", ["demo", "test", "check", "train", "bench", "lock", "clean", "e2e"])
def test_make_knows_how_to_do(target: str) -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "-n", target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_demo_passes_the_seconds_on_only_when_they_are_given() -> None:
    def recipe(*words: str) -> str:
        return subprocess.run(
            ["make", "-C", str(ROOT), "-n", "demo", *words], capture_output=True, text=True, check=True
        ).stdout

    assert "-m simulator demo --seconds 45" in recipe("SECONDS=45")
    assert "--seconds" not in recipe()


def test_the_tests_that_the_table_of_requirements_names_exist() -> None:
    handbook = (ROOT / "deploy" / "README.md").read_text()
    table = handbook.partition("## Component requirements")[2].partition("\n## ")[0]
    named = set(re.findall(r"[a-z]+(?:/[a-z]+)*/test_[a-z_]+", table))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / "tests" / f"{name}.py").is_file()] == []
