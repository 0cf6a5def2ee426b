"""A bundle's manifest is complete and consistent, or it is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from service.contract.faults import CONDITIONS, Fault
from service.contract.manifest import GRAPHS, Manifest
from service.contract.signals import NAMEPLATE, OPERATING, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable

ALARM = {"open_at": 1.0, "clear_at": 0.8, "open_hits": 3, "span": 5, "clear_after": 10}


def body() -> dict[str, Any]:
    graph = {"sha256": "0" * 64, "opset": 17, "inputs": {}, "outputs": {}}
    row = {"dtype": "float32", "shape": ["batch", 4096]}
    return {
        "schema_version": 1,
        "name": "motortwin",
        "version": 1,
        "graphs": {name: graph | {"file": f"{name}.onnx", "inputs": {"accel_m_s2": row}} for name in GRAPHS},
        "window": {"samples": 4096, "min_samples": 2048, "fs_hz": [10_000.0, 26_000.0]},
        "classes": list(Fault),
        "bands": ["low", "high"],
        "alarms": dict.fromkeys(CONDITIONS, ALARM),
        "health": {
            "schema_id": "wear-1",
            "state_names": ["wear", "rate"],
            "initial_state": [0.0, 0.0],
            "initial_cov": [[1.0, 0.0], [0.0, 1.0]],
            "innovation_names": ["severity"],
            "max_dt_s": 86_400.0,
        },
        "golden": {"file": "golden.npz", "sha256": "f" * 64, "rtol": 1e-4, "atol": 1e-4},
        "seed": 1,
    }


def changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            manifest = manifest[name]
        manifest[last] = value

    return change


def test_a_complete_manifest_is_accepted_and_survives_json() -> None:
    manifest = Manifest.model_validate(body())
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.graphs["anomaly"].inputs["accel_m_s2"].shape == ("batch", 4096)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("schema_version", 2, "schema_version"),
        ("name", "../escape", "name"),
        ("version", 0, "version"),
        ("graphs.anomaly.file", "../anomaly.onnx", "file"),
        ("graphs.anomaly.file", "/anomaly.onnx", "file"),
        ("graphs.anomaly.sha256", "0" * 63, "sha256"),
        ("graphs.anomaly.inputs", {"x": {"dtype": "int8", "shape": ["batch"]}}, "dtype"),
        ("graphs.anomaly.inputs", {"x": {"dtype": "float32", "shape": ["rows"]}}, "shape"),
        ("graphs", {}, "graphs must be"),
        ("window.min_samples", 4097, "min_samples exceeds"),
        ("window.samples", 8, "samples"),
        ("window.fs_hz", [0.0, 1.0], "fs_hz"),
        ("classes", ["rust"], "classes"),
        ("classes", [Fault.CAGE], "alarms must name exactly"),
        ("alarms", {}, "alarms must name exactly"),
        ("alarms.anomaly", ALARM | {"clear_at": 1.1}, "clear_at must not exceed"),
        ("alarms.anomaly", ALARM | {"open_hits": 6}, "open_hits"),
        ("alarms.anomaly", ALARM | {"open_at": float("nan")}, "open_at"),
        ("health.initial_state", [0.0], "must match state_names"),
        ("health.initial_cov", [[1.0, 0.0]], "must match state_names"),
        ("health.initial_cov", [[1.0], [0.0, 1.0]], "must match state_names"),
        ("health.initial_state", [0.0, float("inf")], "initial_state"),
        ("golden.rtol", 0.0, "rtol"),
        ("comment", "hello", "comment"),
    ],
)
def test_a_manifest_is_refused_for(path: str, value: Any, complaint: str) -> None:
    manifest = copy.deepcopy(body())
    changed(path, value)(manifest)
    with pytest.raises(ValidationError, match=complaint):
        Manifest.model_validate(manifest)


def test_an_alarm_that_no_condition_knows_is_refused() -> None:
    manifest = body()
    manifest["alarms"] = manifest["alarms"] | {"rust": ALARM}
    with pytest.raises(ValidationError, match="alarms must name exactly"):
        Manifest.model_validate(manifest)


def test_the_columns_are_as_wide_as_the_graphs_expect() -> None:
    assert len(OPERATING) == 6
    assert len(NAMEPLATE) == 9
    assert all(signal.low < signal.high for signal in SIGNALS)
    assert len(set(CONDITIONS)) == len(CONDITIONS) == 1 + len(Fault)
