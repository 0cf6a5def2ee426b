"""What the core drags in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PURE = (
    "service.errors",
    "service.motor",
    "service.window",
    "service.alarm",
    "service.score",
    "service.health",
    "service.rounds",
    "service.monitor",
)
FOREIGN = {
    "torch",
    "onnx",
    "scipy",
    "pandas",
    "paho",
    "sqlite3",
    "fastapi",
    "prometheus_client",
    "simulator",
    "training",
}


def imported(*modules: str) -> set[str]:
    program = f"import sys, json\nimport {', '.join(modules)}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_the_core_imports_no_transport_no_store_and_no_onnxruntime() -> None:
    assert not imported(*PURE) & (FOREIGN | {"onnxruntime"})


@pytest.mark.parametrize("module", ["service.graph", "service.bundle"])
def test_the_loader_imports_onnxruntime_and_nothing_foreign(module: str) -> None:
    found = imported(module)
    assert "onnxruntime" in found
    assert not found & FOREIGN
