"""A generator as one ONNX graph: noise, condition and guide in, scaled windows out.

What turns scaled windows into physical ones (scaler, statistics of cells) is a few lines of numpy and stays beside the
graph in ``scaler.npz``; see ``fitting.Fitted.sample``.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from training.gan.generator import Generator

OPSET = 18


class _Whole(nn.Module):
    """Encoding of the condition included."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        # The guide keeps its place among the inputs of every kind, so that callers need not tell kinds apart.
        windows: Tensor = self.generator(noise, self.generator.shape.encoded(condition), guide)
        return windows + 0.0 * guide


def onnx_bytes(generator: Generator) -> bytes:
    """The graph as bytes.

    In: ``noise``, ``condition (batch, classes + numbers)``, ``guide (batch, T, C)``; out: ``windows (batch, T, C)``.
    Node metadata (stack traces, local paths) is stripped.
    """
    shape = generator.shape
    generator = generator.cpu().eval()
    example = (
        torch.zeros(generator.noise_shape(2)),
        torch.zeros(2, shape.classes + shape.numbers),
        torch.zeros(2, shape.steps, shape.channels),
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "generator.onnx"
        # The recurrent layers export to ONNX's own GRU only by the scripted exporter, which torch calls legacy.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Whole(generator),
            example,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["noise", "condition", "guide"],
            output_names=["windows"],
            dynamic_axes={name: {0: "batch"} for name in ("noise", "condition", "guide", "windows")},
        )
        model = onnx.load(path)
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
