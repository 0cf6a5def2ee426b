"""ONNX files: nothing of the maker's machine in them, the same bytes twice, ONNX's own operators only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from torch import Tensor, nn

from training.export import IR_VERSION, OPSET, ExportError, export, strip

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.training

TRACES = re.compile(
    rb"site-packages|\.py\b|/(home|work|tmp|usr|root)\b|File \"|pkg\.torch|torch\.|stack", re.IGNORECASE
)


class Small(nn.Module):
    """The least graph there is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Two numbers for four."""
        return torch.sigmoid(self.layer(x))


def small() -> bytes:
    torch.manual_seed(0)
    return export(Small().eval(), "small", {"x": torch.ones(3, 4)}, ["y"], {"b": "2", "a": "1"}).raw


def test_the_same_weights_give_the_same_bytes() -> None:
    assert small() == small()


def test_a_graph_carries_names_of_inputs_and_outputs_and_no_other() -> None:
    model = onnx.load_from_string(small())
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["y"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"a": "1", "b": "2"}
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert all(re.fullmatch(r"n\d+", node.name) for node in model.graph.node)


def test_a_bundle_says_nothing_of_the_machine_it_was_made_on(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    for name in ("anomaly.onnx", "classifier.onnx", "health.onnx", "manifest.json"):
        found = TRACES.findall((folder / name).read_bytes().replace(b'"torch"', b""))
        assert not found, (name, found[:3])


def test_every_operator_is_one_of_onnx(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert not {node.op_type for node in model.graph.node} & {"DFT", "STFT", "Loop", "If", "Scan"}


def test_a_foreign_operator_domain_is_refused_by_name() -> None:
    model = onnx.load_from_string(small())
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    with pytest.raises(ExportError, match=r"com\.example"):
        strip(model, "small", {})


def test_a_graph_that_grew_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(ExportError, match=r"KiB exceed"):
        export(nn.Linear(600, 600).eval(), "large", {"x": torch.ones(2, 600)}, ["y"], {})
