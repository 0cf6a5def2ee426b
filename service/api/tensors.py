"""Tensors of the Open Inference Protocol: a request's bytes to arrays, a model's arrays to an answer's bytes. Pure.

JSON has no NaN and no infinity: ``null`` stands for NaN on the way in, and for every value that is not finite on the
way out. The binary form keeps them: a JSON head, raw little-endian tensors behind it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.bundle import FULL_BATCH as MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.contract.manifest import GraphSpec

DATATYPES: dict[str, Literal["FP32", "FP64"]] = {"float32": "FP32", "float64": "FP64"}
_WIRE: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}
_MAX_NESTING = 4

Scalar = str | bool | int | float
Name = Annotated[str, Field(max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Tensor(_Part):
    """An input or output; -1 is the number of rows."""

    name: str
    datatype: Literal["FP32", "FP64"]
    shape: tuple[int, ...]


class Given(_Part):
    """One input: its values as ``data``, flat or nested, or behind the head where ``binary_data_size`` says so."""

    name: Name
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=65_536, strict=True)], ...], Field(max_length=4)]
    datatype: Literal["FP32", "FP64"]
    parameters: dict[str, Scalar] = {}
    data: list[Any] | None = None


class Wanted(_Part):
    """One output that is asked for."""

    name: Name
    parameters: dict[str, Scalar] = {}


class Question(_Part):
    """An inference request."""

    id: Annotated[str | None, Field(max_length=128)] = None
    parameters: dict[str, Scalar] = {}
    inputs: Annotated[tuple[Given, ...], Field(min_length=1, max_length=16)]
    outputs: Annotated[tuple[Wanted, ...] | None, Field(max_length=16)] = None


class Told(Tensor):
    """One output."""

    parameters: dict[str, Scalar] | None = None
    data: list[float | None] | None = None


class Verdict(_Part):
    """An inference response."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: tuple[Told, ...]


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault of ours
    """The request cannot be answered; the text says which field and why."""


def parsed(body: bytes, head_length: int | None) -> tuple[Question, memoryview]:
    """The request and the raw bytes behind it; raises ``Refused``."""
    if head_length is None:
        return _question(body), memoryview(b"")
    if head_length > len(body):
        raise Refused(f"the head's length, {head_length}, exceeds the body's {len(body)} bytes; correct it")
    return _question(body[:head_length]), memoryview(body)[head_length:]


def told(
    outputs: Mapping[str, NDArray[np.floating]], names: Mapping[str, bool], model: str, version: str, id_: str | None
) -> tuple[bytes, bytes]:
    """The answer's JSON, and the raw tensors that follow it.

    Args:
        outputs: what the model gave.
        names: which of them to tell, in order, and whether as raw bytes.
        model: its name.
        version: the bundle's.
        id_: the request's.
    """
    tensors: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, binary in names.items():
        array = outputs[name]
        datatype = DATATYPES[array.dtype.name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            raw.append(array.astype(_WIRE[datatype], copy=False).tobytes())
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            tensor["data"] = [value if math.isfinite(value) else None for value in array.ravel().tolist()]
        tensors.append(tensor)
    head = {"model_name": model, "model_version": version, "outputs": tensors} | ({} if id_ is None else {"id": id_})
    return json.dumps(head).encode(), b"".join(raw)


def _question(head: bytes) -> Question:
    try:
        return Question.model_validate_json(head)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:64] for part in first["loc"]) or "body"
        raise Refused(f"{where}: {first['msg'][:200]}; see /openapi.json") from error


def wanted(question: Question, spec: GraphSpec) -> dict[str, bool]:
    """Outputs to tell, in order, and whether as raw bytes; raises ``Refused``."""
    binary = question.parameters.get("binary_data_output") is True
    if not question.outputs:
        return dict.fromkeys(spec.outputs, binary)
    names: dict[str, bool] = {}
    for output in question.outputs:
        if output.name not in spec.outputs:
            raise Refused(f"outputs: {output.name} is unknown; there are {', '.join(spec.outputs)}")
        names[output.name] = output.parameters.get("binary_data", binary) is True
    return names


def feeds(question: Question, tail: memoryview, spec: GraphSpec) -> dict[str, NDArray[np.floating]]:
    """The model's inputs; raises ``Refused``."""
    arrays: dict[str, NDArray[np.floating]] = {}
    rows: int | None = None
    for given in question.inputs:
        wanted = spec.inputs.get(given.name)
        if wanted is None or given.name in arrays:
            what = "given twice" if given.name in arrays else "unknown"
            raise Refused(f"inputs: {given.name} is {what}; the model takes {', '.join(spec.inputs)}")
        expected = tuple(given.shape[0] if given.shape and size == "batch" else size for size in wanted.shape)
        if given.datatype != DATATYPES[wanted.dtype] or given.shape != expected:
            shown = tuple(-1 if size == "batch" else size for size in wanted.shape)
            raise Refused(
                f"inputs.{given.name}: {given.datatype}{list(given.shape)} is given, "
                f"{DATATYPES[wanted.dtype]}{list(shown)} is taken"
            )
        rows = given.shape[0] if rows is None else rows
        if given.shape[0] != rows or rows > MAX_ROWS:
            raise Refused(f"inputs.{given.name}: {given.shape[0]} rows; send the same 1 to {MAX_ROWS} rows in all")
        array, tail = _array(given, tail)
        arrays[given.name] = array.astype(wanted.dtype, copy=False)
    missing = [name for name in spec.inputs if name not in arrays]
    if missing:
        raise Refused(f"inputs: {', '.join(missing)} missing; the model takes {', '.join(spec.inputs)}")
    if tail:
        raise Refused(f"body: {len(tail)} bytes follow the last input; correct binary_data_size")
    return arrays


def _array(given: Given, tail: memoryview) -> tuple[NDArray[np.floating], memoryview]:
    """The values of one input, and what is left of the raw bytes."""
    where, count = f"inputs.{given.name}", math.prod(given.shape)
    wire = _WIRE[given.datatype]
    size = given.parameters.get("binary_data_size")
    if (size is None) == (given.data is None):
        raise Refused(f"{where}: send either data or parameters.binary_data_size")
    if size is not None:
        if size != count * wire.itemsize or isinstance(size, bool) or size > len(tail):
            raise Refused(f"{where}: binary_data_size is {size}; {count * wire.itemsize} bytes belong behind the head")
        return np.frombuffer(tail[: int(size)], wire).reshape(given.shape), tail[int(size) :]
    values = _flat(given.data or [], where)
    if len(values) != count:
        raise Refused(f"{where}: {len(values)} values for shape {list(given.shape)}; send {count}")
    with np.errstate(over="ignore"):
        return np.array(values, dtype=wire).reshape(given.shape), tail


def _flat(data: list[Any], where: str) -> list[float]:
    """Numbers of nested lists, row by row; null is NaN."""
    values: list[float] = []
    waiting: list[Any] = [iter(data)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                if len(waiting) >= _MAX_NESTING:
                    raise Refused(f"{where}: data is nested too deeply")
                waiting.append(iter(value))
                break
            if value is None:
                values.append(math.nan)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                values.append(min(max(value, -1e308), 1e308))
            else:
                raise Refused(f"{where}: data holds {type(value).__name__}; send numbers, null where unknown")
        else:
            waiting.pop()
    return values
