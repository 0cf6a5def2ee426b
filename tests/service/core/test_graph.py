"""The graph loader: what it runs, and what it never lets ONNX Runtime see."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from service.contract.manifest import GraphSpec
from service.errors import BundleError, InferenceError
from service.graph import MAX_GRAPH_BYTES, Graph

if TYPE_CHECKING:
    from pathlib import Path

    from service.bundle import Bundle

FLOATS = {"dtype": "float32", "shape": ("batch", 2)}


def spec(inputs: dict[str, Any] | None = None, outputs: dict[str, Any] | None = None) -> GraphSpec:
    return GraphSpec(
        file="g.onnx", sha256="0" * 64, opset=17, inputs=inputs or {"x": FLOATS}, outputs=outputs or {"y": FLOATS}
    )


def model(
    nodes: list[onnx.NodeProto],
    *,
    initializers: list[TensorProto] | None = None,
    opsets: tuple[tuple[str, int], ...] = (("", 17),),
    functions: list[onnx.FunctionProto] | None = None,
    batch: str | int = "batch",
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2])],
        initializers or [],
    )
    imports = [helper.make_opsetid(*opset) for opset in opsets]
    return helper.make_model(graph, opset_imports=imports, ir_version=9, functions=functions or []).SerializeToString()


def relu() -> bytes:
    return model([helper.make_node("Relu", ["x"], ["y"])])


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def test_a_graph_runs_by_names() -> None:
    graph = Graph(relu(), spec())
    out = graph.run({"x": np.array([[-1.0, 2.0]], np.float32)})
    np.testing.assert_array_equal(out["y"], [[0.0, 2.0]])


def test_a_graph_may_be_given_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(relu())
    assert Graph(tmp_path / "g.onnx", spec()).run({"x": np.ones((3, 2), np.float32)})["y"].shape == (3, 2)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^g\.onnx: cannot be read: No such file or directory$"):
        Graph(tmp_path / "g.onnx", spec())


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "feed exactly these"),
        ({"x": np.ones((1, 2), np.float32), "z": np.ones(1, np.float32)}, "feed exactly these"),
        ({"x": np.ones((1, 2))}, "input x is float64"),
        ({"x": np.ones((1, 3), np.float32)}, r"it takes float32\('batch', 2\)"),
        ({"x": np.ones(2, np.float32)}, "input x is float32"),
    ],
)
def test_a_wrong_feed_is_named(feeds: dict[str, Any], text: str) -> None:
    with pytest.raises(InferenceError, match=text):
        Graph(relu(), spec()).run(feeds)


def test_inputs_of_different_batch_are_refused(bundle: Bundle) -> None:
    feeds = {
        "accel_m_s2": np.zeros((2, 64), np.float32),
        "samples": np.zeros(1, np.float32),
        "fs_hz": np.zeros(2, np.float32),
        "operating": np.zeros((2, 6), np.float32),
        "nameplate": np.zeros((2, 9), np.float32),
    }
    with pytest.raises(InferenceError, match="input samples"):
        bundle.run("anomaly", feeds)


def test_an_output_that_lost_the_batch_is_an_error() -> None:
    # A graph may declare a batch and still answer with another number of rows.
    halves = model(
        [helper.make_node("Slice", ["x", "a", "b"], ["y"])],
        initializers=[
            helper.make_tensor("a", TensorProto.INT64, [1], [0]),
            helper.make_tensor("b", TensorProto.INT64, [1], [1]),
        ],
    )
    with pytest.raises(InferenceError, match=r"output y came as float32\(1, 2\) at batch 3"):
        Graph(halves, spec()).run({"x": np.ones((3, 2), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        ({"other": FLOATS}, None, "inputs are"),
        (None, {"y": FLOATS, "z": FLOATS}, "outputs are"),
        ({"x": {"dtype": "float64", "shape": ("batch", 2)}}, None, "input x is"),
        (None, {"y": {"dtype": "float32", "shape": ("batch", 3)}}, "output y is"),
        (None, {"y": {"dtype": "float32", "shape": ("batch",)}}, "output y is"),
    ],
)
def test_a_graph_that_breaks_the_manifests_promise_is_refused(inputs: Any, outputs: Any, text: str) -> None:
    with pytest.raises(BundleError, match=text):
        Graph(relu(), spec(inputs, outputs))


def test_a_fixed_batch_is_refused() -> None:
    with pytest.raises(BundleError, match="input x is"):
        Graph(model([helper.make_node("Relu", ["x"], ["y"])], batch=4), spec())


@pytest.mark.parametrize("opsets", [(("", 17), ("com.microsoft", 1)), (("", 17),)])
def test_contrib_operators_are_refused_even_without_an_opset_import(opsets: tuple[tuple[str, int], ...]) -> None:
    raw = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], opsets=opsets)
    with pytest.raises(BundleError, match=r"operator domain 'com\.microsoft'"):
        Graph(raw, spec())


def test_custom_operators_are_refused() -> None:
    raw = model([helper.make_node("Anything", ["x"], ["y"], domain="evil")], opsets=(("", 17), ("evil", 1)))
    with pytest.raises(BundleError, match="operator domain 'evil'"):
        Graph(raw, spec())


def test_a_custom_operator_inside_a_branch_is_found() -> None:
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Anything", ["x"], ["o"], domain="evil")], "b", [], [output])
    plain = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "p", [], [output])
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["c"], ["y"], then_branch=plain, else_branch=branch)
    with pytest.raises(BundleError, match="operator domain 'evil'"):
        Graph(model([node], initializers=[condition], opsets=(("", 17), ("evil", 1))), spec())


def test_a_function_of_its_own_domain_is_refused() -> None:
    function = helper.make_function(
        "loc", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    raw = model(
        [helper.make_node("F", ["x"], ["y"], domain="loc")], opsets=(("", 17), ("loc", 1)), functions=[function]
    )
    with pytest.raises(BundleError, match="operator domain 'loc'"):
        Graph(raw, spec())


@pytest.mark.parametrize("where", ["w.bin", "/etc/hostname", "../w.bin"])
def test_tensor_data_in_another_file_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.ones(2, np.float32).tofile(tmp_path / "w.bin")
    raw = model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[external(where)])
    with pytest.raises(BundleError, match="tensor data in another file"):
        Graph(raw, spec())


def test_a_tensor_that_only_says_its_data_is_elsewhere_is_refused() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    with pytest.raises(BundleError, match="tensor data in another file"):
        Graph(model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor]), spec())


def test_external_data_in_a_constant_node_is_refused() -> None:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=external("w.bin")),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    with pytest.raises(BundleError, match="tensor data in another file"):
        Graph(model(nodes), spec())


@pytest.mark.parametrize(
    "raw", [b"\x00", b"not a graph at all", b"\xff" * 64, relu()[:-7], b"\x3a\xff\xff\xff\xff\x0f"]
)
def test_bytes_that_are_no_graph_are_one_line(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"export it again|cannot load it") as caught:
        Graph(raw, spec(), name="g.onnx")
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(BundleError):
        Graph(b"", spec())


def test_a_graph_nested_without_end_is_refused() -> None:
    raw = b""
    for _ in range(200):  # an If within an If within an If ...
        attribute = b"\x32" + _size(raw) + raw
        node = b"\x2a" + _size(attribute) + attribute
        raw = b"\x0a" + _size(node) + node
    with pytest.raises(BundleError, match="is not an ONNX file"):
        Graph(b"\x3a" + _size(raw) + raw, spec())


def test_an_enormous_file_is_refused_unread() -> None:
    with pytest.raises(BundleError, match=f"more than {MAX_GRAPH_BYTES} bytes"):
        Graph(bytes(MAX_GRAPH_BYTES + 1), spec())


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_raise_only_bundle_errors(raw: bytes) -> None:
    with pytest.raises(BundleError):
        Graph(raw, spec())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_graph_with_a_flipped_byte_loads_or_is_a_bundle_error(data: st.DataObject) -> None:
    raw = bytearray(relu())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(BundleError):
        Graph(bytes(raw), spec())


def test_a_graph_takes_one_thread_and_never_spins(bundle_folder: Path) -> None:
    """Threads of a process with all three graphs loaded and run, and the CPU time that idling costs it."""
    program = (
        "import json, os, sys, time; from pathlib import Path; from service.bundle import load\n"
        "before = len(os.listdir('/proc/self/task')); bundle = load(Path(sys.argv[1]))\n"
        "after = len(os.listdir('/proc/self/task')); busy = time.process_time(); time.sleep(0.3)\n"
        "print(json.dumps([before, after, time.process_time() - busy]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle_folder)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    before, after, idle_s = json.loads(done.stdout)
    assert after == before
    assert idle_s < 0.05


def _size(raw: bytes) -> bytes:
    count, out = len(raw), bytearray()
    while count > 0x7F:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    return bytes((*out, count))
