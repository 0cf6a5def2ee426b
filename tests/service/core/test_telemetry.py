"""A plant's box reports to nobody: the runtime's telemetry is off before the runtime is loaded."""

import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import os, sys
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
seen = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            seen.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import service.graph
print(seen)
"""


def test_telemetry_is_off_before_onnxruntime_is_loaded() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['1']"
