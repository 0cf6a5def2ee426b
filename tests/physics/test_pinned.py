"""The data that models are trained on, and the demo, stay what they were: pinned for a seed.

A deliberate change of the physics needs new models; then ``python tests/physics/test_pinned.py`` writes the pins anew.
Floating point differs in the last bits between processors, so bytes are compared where they were made (same numpy,
same vector extensions, same kernels of the linear algebra), and everywhere a few random projections, which any change
of physics or of the order of random draws moves by far more than rounding does.
"""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from service.contract.faults import TAUGHT
from simulator.dataset import histories, windows
from simulator.fleet import Fleet
from simulator.scenario import load

PINS = Path(__file__).parent / "pinned.json"
PROJECTIONS = 3
DEMO_TICKS = 40


def _demo() -> dict[str, np.ndarray]:
    fleet = Fleet(load("demo"))
    ticks = [tick for tick, _ in zip(fleet.ticks(), range(DEMO_TICKS), strict=False)]
    readings = [reading for tick in ticks for reading in tick.readings if reading is not None]
    return {
        "severity": fleet.severity[..., : len(TAUGHT)],
        "accel_m_s2": np.stack([reading.accel_m_s2["x"] for reading in readings]),
        "scalars": np.array([[reading.speed_rpm, reading.current_a, reading.winding_c] for reading in readings]),
    }


def _arrays() -> dict[str, np.ndarray]:
    made = {"windows": windows(130, seed=3, samples=4096), "histories": histories(40, seed=3, hours=60, step_h=1.0)}
    arrays = {f"{kind}.{f.name}": getattr(data, f.name) for kind, data in made.items() for f in fields(data)}
    return arrays | {f"demo.{name}": array for name, array in _demo().items()}


def _made_on() -> str:
    config: Any = np.__config__.show(mode="dicts")
    kernels = sorted({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"})
    return f"numpy {np.__version__}, {config['SIMD Extensions']}, {', '.join(kernels)}"


def _pin(array: np.ndarray) -> dict[str, Any]:
    exact = np.ascontiguousarray(array)
    x = np.nan_to_num(exact.astype(np.float64), posinf=1e9).ravel()
    rng = np.random.default_rng(0)
    scale = float(np.abs(x).sum()) or 1.0
    return {
        "sha256": hashlib.sha256(exact.tobytes()).hexdigest(),
        "shape": list(array.shape),
        "mean_abs": scale / x.size,
        "projections": [float((x * rng.choice([-1.0, 1.0], x.size)).sum() / scale) for _ in range(PROJECTIONS)],
    }


@pytest.fixture(scope="module")
def pins() -> dict[str, dict[str, Any]]:
    return {name: _pin(array) for name, array in _arrays().items()}


def test_windows_histories_and_the_demo_are_what_they_were_for_a_seed(pins: dict[str, dict[str, Any]]) -> None:
    before = json.loads(PINS.read_text())["pins"]
    assert set(pins) == set(before)
    for name, pin in pins.items():
        assert pin["shape"] == before[name]["shape"], name
        assert pin["mean_abs"] == pytest.approx(before[name]["mean_abs"], rel=1e-5), name
        assert pin["projections"] == pytest.approx(before[name]["projections"], abs=1e-6), name


def test_on_the_processor_that_made_them_they_are_the_same_bytes(pins: dict[str, dict[str, Any]]) -> None:
    before = json.loads(PINS.read_text())
    if before["made_on"] != _made_on():
        pytest.skip("another numpy or processor: bytes may differ in the last bits")
    assert {name: pin["sha256"] for name, pin in pins.items()} == {
        name: pin["sha256"] for name, pin in before["pins"].items()
    }


if __name__ == "__main__":
    PINS.write_text(
        json.dumps({"made_on": _made_on(), "pins": {k: _pin(v) for k, v in _arrays().items()}}, indent=1) + "\n"
    )
