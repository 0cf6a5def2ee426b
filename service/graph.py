"""One ONNX graph on this machine's CPU. The only importer of onnxruntime.

A graph is loaded from bytes, so that the bytes that were checked are the bytes that run. Before ONNX Runtime sees
them, the file's protobuf is walked: a node of any operator domain but ONNX's own is refused (ONNX Runtime would load
its contrib operators without even an opset import), and so is a tensor whose data lies in another file.

ONNX Runtime's Linux wheels report to their publisher by default since 1.29; a plant's box reports to nobody, so that is
switched off before the library is loaded.

Threads: one inside an operator and none between operators; spinning is off, as the edge shares its cores.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from service.errors import BundleError, InferenceError

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort  # reads the environment while it is loaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract.manifest import GraphSpec, TensorSpec

MAX_GRAPH_BYTES = 16 * 2**20
"""A larger graph is refused unread."""

_ONNX_DOMAINS = frozenset({b"", b"ai.onnx"})
_ORT_TYPES = {"float32": "tensor(float)", "float64": "tensor(double)"}
_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}

_Described = dict[str, tuple[str, tuple[int | str, ...]]]

# onnx.proto3: the fields of each message that lead to nodes and tensors, by field number.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NODE_DOMAIN, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 7, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 32


class _Expected(NamedTuple):
    dtype: np.dtype[Any]
    size: tuple[int | str, ...]  # without the batch


class Graph:
    """An ONNX graph whose names, types and shapes are those that the manifest promises.

    Args:
        model: the file's bytes, or its path.
        spec: what the manifest says of it.
        name: what error texts call it.
        planned: memory is laid out once for every batch size that comes, and kept. A graph of many small nodes runs a
            tenth faster for it; of large tensors such plans would hold 25 MiB.

    Raises:
        BundleError: the file is not such a graph, or may not run here.
    """

    def __init__(self, model: bytes | Path, spec: GraphSpec, *, name: str = "graph", planned: bool = False) -> None:
        self.name = name
        raw = model if isinstance(model, bytes) else _read(model)
        _refuse_foreign(raw, name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        options.enable_mem_pattern = planned
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # The fallback would print, and try the same provider again.
            self._session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            inputs, outputs = _described(self._session.get_inputs()), _described(self._session.get_outputs())
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise BundleError(f"{name}: ONNX Runtime {ort.__version__} cannot load it: {_brief(error)}") from error
        _compare(name, "input", inputs, spec.inputs)
        _compare(name, "output", outputs, spec.outputs)
        self._inputs = {key: _expected(tensor) for key, tensor in spec.inputs.items()}
        self._outputs = {key: _expected(tensor) for key, tensor in spec.outputs.items()}
        self._output_names = list(spec.outputs)

    def run(self, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs by name for inputs by name; every tensor as in the manifest, ``batch`` alike in all.

        Raises:
            InferenceError: an input is missing, unknown or misshapen, or the graph failed.
        """
        batch = self._checked_batch(feeds)
        try:
            outputs = self._session.run(self._output_names, feeds)
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise InferenceError(f"{self.name}: failed at batch {batch}: {_brief(error)}") from error
        answers = dict(zip(self._output_names, outputs, strict=True))
        for key, (dtype, size) in self._outputs.items():
            array = answers[key]
            if array.dtype != dtype or array.shape != (batch, *size):
                raise InferenceError(f"{self.name}: output {key} came as {array.dtype}{array.shape} at batch {batch}")
        return answers

    def _checked_batch(self, feeds: Mapping[str, NDArray[np.floating]]) -> int:
        if feeds.keys() != self._inputs.keys():
            raise InferenceError(
                f"{self.name}: inputs are {sorted(self._inputs)}, given {sorted(feeds)}; feed exactly these"
            )
        batch = len(next(iter(feeds.values())))
        for key, (dtype, size) in self._inputs.items():
            array = feeds[key]
            if array.dtype != dtype or array.shape != (batch, *size):
                raise InferenceError(
                    f"{self.name}: input {key} is {array.dtype}{array.shape}; it takes {dtype}{('batch', *size)}"
                )
        return batch


def give_memory_back() -> None:
    """Dropped graphs and worked-off readings leave holes that glibc keeps; a few milliseconds bring them back."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_GRAPH_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path.name}: cannot be read: {error.strerror}") from error


def _expected(spec: TensorSpec) -> _Expected:
    return _Expected(_DTYPES[spec.dtype], spec.shape[1:])


def _described(nodes: list[ort.NodeArg]) -> _Described:
    return {
        node.name: (node.type, tuple(size if isinstance(size, int) else "batch" for size in node.shape))
        for node in nodes
    }


def _compare(name: str, kind: str, found: _Described, wanted: Mapping[str, TensorSpec]) -> None:
    if found.keys() != wanted.keys():
        raise BundleError(
            f"{name}: {kind}s are {sorted(found)}, the manifest says {sorted(wanted)}; "
            "export graph and manifest together"
        )
    for key, (dtype, shape) in found.items():
        spec = wanted[key]
        if dtype != _ORT_TYPES[spec.dtype] or shape != spec.shape:
            raise BundleError(
                f"{name}: {kind} {key} is {dtype}{shape}, the manifest says {spec.dtype}{spec.shape}; "
                "export graph and manifest together"
            )


def _refuse_foreign(raw: bytes, name: str) -> None:
    if len(raw) > MAX_GRAPH_BYTES:
        raise BundleError(f"{name}: more than {MAX_GRAPH_BYTES} bytes; ship a smaller graph")
    try:
        for kind, field, value in _fields(memoryview(raw), "model", 0):
            if kind == "node" and field == _NODE_DOMAIN and value not in _ONNX_DOMAINS:
                raise BundleError(f"{name}: uses operator domain {_text(value)}; export with ONNX's own operators only")
            if kind == "tensor" and (field == _TENSOR_EXTERNAL or (field == _TENSOR_LOCATION and value != 0)):
                raise BundleError(f"{name}: keeps tensor data in another file; export with all data inside")
    except (IndexError, ValueError) as error:
        raise BundleError(f"{name}: is not an ONNX file; export it again") from error


def _fields(message: memoryview, kind: str, depth: int) -> Iterator[tuple[str, int, bytes | int]]:
    """Every scalar field of the messages that ``_CHILDREN`` reaches: ``(message kind, field number, value)``.

    Wire format: protobuf encoding guide; a tag is ``field << 3 | wire type``, lengths and integers are varints.
    Raises ``ValueError`` or ``IndexError`` for bytes that are no such message.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    children = _CHILDREN[kind]
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            number, at = _varint(message, at)
            yield kind, field, number
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("unknown wire type")
        if at + size > len(message):
            raise ValueError("cut short")
        if wire == _BYTES:
            piece = message[at : at + size]
            if field in children:
                yield from _fields(piece, children[field], depth + 1)
            elif not (kind == "tensor" and field != _TENSOR_EXTERNAL):
                yield kind, field, bytes(piece)
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _text(value: bytes | int) -> str:
    return repr(value.decode("ascii", "replace")[:64]) if isinstance(value, bytes) else repr(value)


def _brief(error: Exception) -> str:
    return "".join(char if char.isprintable() else " " for char in str(error))[:300]
