"""Torch modules to ONNX files that say nothing of where they were made, the same bytes for the same weights."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, NamedTuple

import onnx
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

OPSET = 18
IR_VERSION = 10
"""Pinned beside the opset, so that an older runtime at the edge can read what a newer exporter writes."""
_LIMIT_KIB = 768


class ExportError(ValueError):
    """A graph did not come out as the contract wants it; the text says what is wrong."""


class Exported(NamedTuple):
    """A graph's bytes and what stands in them."""

    raw: bytes
    nodes: int


def export(
    module: nn.Module, name: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], metadata: Mapping[str, str]
) -> Exported:
    """The module as an ONNX file with a free batch dimension in front of every input.

    Args:
        module: in evaluation mode; takes the inputs by position.
        name: the graph's name.
        inputs: example tensors, at least two rows each, in the order of the module's arguments.
        outputs: names of the module's outputs.
        metadata: key-value pairs to carry in the file.

    Raises:
        ExportError: the file uses a foreign operator domain, keeps data elsewhere or is larger than a bundle allows.
    """
    batch = torch.export.Dim("batch", min=1, max=4096)
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                dynamo=True,
                optimize=True,
                verbose=False,
            )
    finally:
        noisy.setLevel(level)
    if program is None:
        raise ExportError(f"{name}: the exporter returned nothing; see its messages above")
    model = strip(program.model_proto, name, metadata)
    onnx.checker.check_model(model, full_check=True)
    raw = model.SerializeToString(deterministic=True)
    if len(raw) > _LIMIT_KIB * 1024:
        raise ExportError(f"{name}: {len(raw) // 1024} KiB exceed {_LIMIT_KIB}; make the network smaller")
    return Exported(raw, len(model.graph.node))


def strip(model: onnx.ModelProto, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The model without stack traces, paths, doc strings, node names and intermediate shapes; renumbered tensors."""
    graph = model.graph
    if len(model.functions) or any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        foreign = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx"})
        raise ExportError(f"{name}: uses foreign operator domains {foreign}; write it with ONNX's own operators")
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]
    _renumber(graph, name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    graph.name = name
    model.producer_name, model.producer_version, model.ir_version = "motortwin", "", IR_VERSION
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    return model


def _renumber(graph: onnx.GraphProto, name: str) -> None:
    """Nodes become n0.., constants c0.., other tensors t0.., in file order; inputs and outputs keep names."""
    kept = {"", *(value.name for value in (*graph.input, *graph.output))}
    renamed: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ExportError(f"{name}: keeps {tensor.name} outside the file; export with all data inside")
        renamed[tensor.name] = f"c{len(renamed)}"
        tensor.name = renamed[tensor.name]
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ExportError(f"{name}: has a subgraph in {node.op_type}; write it without branches and loops")
        for names in (node.input, node.output):
            for at, tensor_name in enumerate(names):
                if tensor_name not in kept:
                    names[at] = renamed.setdefault(tensor_name, f"t{len(renamed)}")
