"""What a bundle must show before it runs here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.bundle import MAX_MANIFEST_BYTES, MAX_UNPACKED_BYTES, Bundle, load, read
from service.errors import BundleError
from service.graph import MAX_GRAPH_BYTES
from tests.service.core.conftest import VIBRATION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.manifest import GraphName
    from service.contract.messages import Reading
    from service.motor import Profile
    from tests.service.core.conftest import Edge


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert ": " in text
    return text


def seal(folder: Path, **parts: bytes) -> None:
    """Replaces files and makes the manifest's digests agree, as an attacker without a key would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, raw in parts.items():
        spec = manifest["golden"] if name == "golden" else manifest["graphs"][name]
        spec["sha256"] = hashlib.sha256(raw).hexdigest()
        (folder / spec["file"]).write_bytes(raw)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_whole_bundle_loads_proves_itself_and_is_named_by_its_manifests_digest(
    bundle: Bundle, bundle_folder: Path
) -> None:
    assert bundle.digest == hashlib.sha256((bundle_folder / "manifest.json").read_bytes()).hexdigest()
    assert bundle.manifest.name == "tiny"


def test_a_merged_graph_runs_in_the_place_of_the_two_it_merges(
    bundle: Bundle,
    bundle_writer: Callable[..., Path],
    new_edge: type[Edge],
    profile: Callable[..., Profile],
    reading: Callable[..., Reading],
    tmp_path: Path,
) -> None:
    merged = load(bundle_writer(tmp_path / "b", texts={"vibration": VIBRATION}))
    ran: list[str] = []

    class Watched:
        manifest, digest = merged.manifest, merged.digest

        def run(self, graph: GraphName, feeds: dict[str, Any]) -> dict[str, Any]:
            ran.append(graph)
            return merged.run(graph, feeds)

    taken = [reading(seq=seq, anomaly=1.5, severity=0.4, faults={"ball": 0.9}) for seq in range(3)]
    one, other = (new_edge(models, {"m1": profile()}) for models in (bundle, Watched()))
    for edge in (one, other):
        edge.take(*taken)
    assert set(ran) == {"vibration", "health"}
    assert [h.model_copy(update={"model": ""}) for h in one.health] == [
        h.model_copy(update={"model": ""}) for h in other.health
    ]
    assert one.told() == other.told() != []


def test_a_proven_bundle_holds_what_it_runs_and_loads_the_rest_when_asked(
    bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b", texts={"vibration": VIBRATION})
    merged = load(folder)
    assert set(merged._graphs) == {"vibration", "health"}
    with np.load(folder / "golden.npz") as vectors:
        rows = {key.partition(".")[2]: array for key, array in vectors.items() if key.startswith("anomaly.")}
    wanted = {key: rows.pop(key) for key in ("anomaly", "contribution")}
    assert np.array_equal(merged.run("anomaly", rows)["anomaly"], wanted["anomaly"])


def test_a_merged_graph_that_answers_otherwise_than_the_two_is_refused(
    bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    louder = VIBRATION.replace(
        "severity = Gather <axis = 1> (accel_m_s2, i1)", "severity = Gather <axis = 1> (accel_m_s2, i0)"
    )
    assert "vibration.severity deviates" in refusal(bundle_writer(tmp_path / "b", texts={"vibration": louder}))


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith("manifest.json: cannot be read from")


@pytest.mark.parametrize("name", ["manifest.json", "anomaly.onnx", "classifier.onnx", "health.onnx", "golden.npz"])
def test_a_missing_file_is_named(name: str, bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b")
    (folder / name).unlink()
    assert refusal(folder).startswith(f"{name}: cannot be read")


@pytest.mark.parametrize("name", ["anomaly.onnx", "classifier.onnx", "health.onnx", "golden.npz"])
def test_a_file_that_was_altered_is_named(name: str, bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b")
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    assert refusal(folder).startswith(f"{name}: sha256 is")


@pytest.mark.parametrize(("name", "limit"), [("manifest.json", MAX_MANIFEST_BYTES), ("health.onnx", MAX_GRAPH_BYTES)])
def test_a_file_without_end_is_refused_at_its_limit(
    name: str, limit: int, bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b")
    with (folder / name).open("wb") as file:
        file.truncate(2**40)
    assert refusal(folder).startswith(f"{name}: is larger than {limit} bytes")


def test_a_pipe_or_device_in_the_folder_does_not_hold_the_edge_up(
    bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b")
    (folder / "health.onnx").unlink()
    os.mkfifo(folder / "health.onnx")
    assert refusal(folder).startswith("health.onnx: is no regular file")
    (folder / "health.onnx").unlink()
    (folder / "health.onnx").symlink_to("/dev/zero")
    assert refusal(folder).startswith("health.onnx: is no regular file")


@pytest.mark.parametrize("path", ["../anomaly.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\x00b"])
def test_a_file_name_that_leaves_the_folder_is_refused(
    path: str, bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["graphs"]["anomaly"]["file"] = path

    assert refusal(bundle_writer(tmp_path / "b", change=change)).startswith("manifest.json: graphs.anomaly.file:")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b"{" * 5000, b'{"schema_version": 2}'])
def test_a_manifest_that_is_none_is_one_line(
    content: bytes, bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b")
    (folder / "manifest.json").write_bytes(content)
    assert refusal(folder).startswith("manifest.json: ")


def test_an_unknown_manifest_field_is_named(bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b", change=lambda manifest: manifest.update(trust="me"))
    assert refusal(folder).startswith("manifest.json: trust:")


def _set(manifest: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split("/")
    for key in way:
        manifest = manifest[key]
    if value is None:
        del manifest[last]
    else:
        manifest[last] = value


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("graphs/health/inputs/dt_s", None, "graphs.health.inputs.dt_s is absent"),
        ("graphs/anomaly/inputs/gain", {"dtype": "float32", "shape": ["batch"]}, "contract says absent"),
        ("graphs/health/inputs/state/dtype", "float32", "graphs.health.inputs.state is float32"),
        ("window/samples", 128, "graphs.anomaly.inputs.accel_m_s2 is"),
        ("bands", ["one"], "graphs.anomaly.outputs.contribution is"),
        ("health/innovation_names", [], "graphs.health.outputs.innovation is"),
    ],
)
def test_tensors_that_break_the_contract_are_named(
    path: str, value: Any, text: str, bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b", change=lambda manifest: _set(manifest, path, value))
    assert text in refusal(folder)


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(
    bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    folder = bundle_writer(tmp_path / "b")
    seal(folder, anomaly=(folder / "classifier.onnx").read_bytes())
    assert refusal(folder).startswith("anomaly.onnx: outputs are ['probability', 'severity']")


def test_golden_vectors_catch_a_graph_that_answers_differently(
    bundle_writer: Callable[..., Path], graphs: dict[str, str], tmp_path: Path
) -> None:
    told = bundle_writer(tmp_path / "a")
    other = bundle_writer(tmp_path / "b", texts={"health": graphs["health"].replace("half = {0.5}", "half = {0.6}")})
    seal(told, health=(other / "health.onnx").read_bytes())
    assert refusal(told).startswith("golden.npz: health.state_next deviates on this machine by up to ")
    assert load(told, prove=False).digest


def test_a_deviation_within_tolerance_passes(bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    vectors = {"health.nis": np.array([0.0, 0.0, 0.0])}
    folder = bundle_writer(tmp_path / "b", vectors=vectors, change=lambda m: _set(m, "golden/atol", 10.0))
    assert "health.nis" in refusal(
        folder
    )  # severity is missing in one row: NaN against a number is no deviation of size
    folder = bundle_writer(
        tmp_path / "c",
        vectors={"health.nis": np.array([0.0, np.nan, 0.0])},
        change=lambda m: _set(m, "golden/atol", 10.0),
    )
    assert load(folder).digest


@pytest.mark.parametrize(
    ("vectors", "text"),
    [
        ({"anomaly.anomaly": np.zeros(0, np.float32)}, "golden.npz: anomaly.anomaly is absent, empty"),
        ({"anomaly.anomaly": np.float32(1.0)}, "golden.npz: anomaly.anomaly is absent, empty"),
        ({"anomaly.anomaly": np.zeros(2, np.float32)}, "golden.npz: anomaly.anomaly has shape (2,)"),
        ({"anomaly.samples": np.zeros(3)}, "input samples is float64"),
        ({"health.dt_s": np.array(["a", "b", "c"])}, "golden.npz: health.dt_s is absent, empty or not made of floats"),
        (
            {"anomaly.anomaly": np.array(["a", "b", "c"])},
            "golden.npz: anomaly.anomaly is absent, empty or not made of floats",
        ),
    ],
)
def test_golden_vectors_of_the_wrong_shape_or_type_are_named(
    vectors: dict[str, np.ndarray], text: str, bundle_writer: Callable[..., Path], tmp_path: Path
) -> None:
    assert text in refusal(bundle_writer(tmp_path / "b", vectors=vectors))


def test_pickled_golden_vectors_are_never_unpickled(bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b")
    buffer = io.BytesIO()
    np.savez(buffer, **{"anomaly.anomaly": np.array([{"a": 1}], dtype=object)}, allow_pickle=True)
    seal(folder, golden=buffer.getvalue())
    assert refusal(folder).startswith("golden.npz: is no archive of plain arrays")


def test_an_archive_that_unpacks_to_far_more_is_refused(bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("anomaly.anomaly.npy", bytes(MAX_UNPACKED_BYTES + 1))
    seal(folder, golden=buffer.getvalue())
    assert refusal(folder).startswith("golden.npz: unpacks to more than")


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_golden_bytes_raise_only_bundle_errors(
    bundle_writer: Callable[..., Path], tmp_path: Path, raw: bytes
) -> None:
    folder = tmp_path / "b"
    if not folder.exists():
        bundle_writer(folder)
    seal(folder, golden=b"PK\x03\x04" + raw)
    assert refusal(folder).startswith("golden.npz: ")


def test_what_was_checked_is_what_runs(bundle_writer: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_writer(tmp_path / "b")
    files = read(folder)
    for path in folder.iterdir():
        path.write_bytes(b"replaced while loading")
    assert Bundle(files).digest == files.digest
