"""Who may import whom, and what the edge and the twin's publisher never need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EDGE_PYTHON = ROOT / ".venv-edge" / "bin" / "python"
HEAVY = ("torch", "scipy", "pandas", "onnx", "onnxscript", "sklearn", "matplotlib")
PUBLISHING = ("simulator.publish", "simulator.demo", "simulator.__main__")

IMPORT_ALL = f"""
import importlib, pkgutil, sys

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"{{name}} is not here", name=name)

if BLOCK:
    sys.meta_path.insert(0, Refuser())
import service
names = ["service", *(found.name for found in pkgutil.walk_packages(service.__path__, "service."))]
for name in [*names, *{PUBLISHING!r}]:
    importlib.import_module(name)
print(len(names), sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})))
"""


def run(python: str, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_edge_and_publisher_import_where_torch_and_scipy_are_refused() -> None:
    done = run(sys.executable, IMPORT_ALL.replace("BLOCK", "True"))
    assert done.returncode == 0, done.stderr
    count, found = done.stdout.split(maxsplit=1)
    assert int(count) > 20
    assert found.strip() == "[]"


def test_the_refusal_would_be_noticed() -> None:
    done = run(sys.executable, IMPORT_ALL.replace("BLOCK", "True") + "\nimport scipy")
    assert done.returncode != 0
    assert "scipy is not here" in done.stderr


def test_edge_and_publisher_import_in_an_environment_without_torch_and_scipy() -> None:
    if not EDGE_PYTHON.exists():
        pytest.skip("environment .venv-edge is absent; make .venv-edge/.stamp makes it")
    missing = run(str(EDGE_PYTHON), f"import importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)])")
    assert missing.stdout.strip() == "[]"
    done = run(str(EDGE_PYTHON), IMPORT_ALL.replace("BLOCK", "False"))
    assert done.returncode == 0, done.stderr


def test_the_import_rules_hold_indirect_imports_included() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def importers(module: str) -> set[str]:
    lines = (f"import {module}", f"from {module}")
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "service").rglob("*.py")
        if any(line.strip().startswith(lines) for line in path.read_text().splitlines())
    }


@pytest.mark.parametrize(
    ("module", "home"),
    [("paho", {"service/mqtt/client.py", "service/mqtt/link.py"}), ("onnxruntime", {"service/graph.py"})],
)
def test_one_place_of_the_edge_imports(module: str, home: set[str]) -> None:
    assert importers(module) == home
