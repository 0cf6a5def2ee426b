"""A bundle whose anomaly score is weighed anew, column by column: a few nodes behind the graph, shipped or refitted.

With the shipped score ``a`` and its groups' shares ``c_k``, the new score is ``a sum_k c_k w_k`` and the new shares are
``c_k w_k / sum_j c_j w_j``. The golden vectors follow by the same two lines in numpy.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from service import bundle as edge
from service.contract.manifest import MANIFEST_FILE, MERGED, Manifest
from service.errors import BundleError
from service.graph import Graph
from training import card, refit
from training.bundle import packed, place
from training.score import FAR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract.manifest import AlarmSpec

_SCORE, _SHARES = "anomaly", "contribution"
_MARK = "commissioned.from"


def write(
    source: Path,
    folder: Path,
    weights: NDArray[np.float64],
    *,
    constants: Mapping[str, NDArray[np.float32]] | None = None,
    alarms: Mapping[str, AlarmSpec],
    training: Mapping[str, str],
    metrics: Mapping[str, float],
) -> str:
    """The bundle in ``source`` with weights ``(K,)``, alarms and the autoencoder's constants anew; its digest.

    ``folder`` is replaced as a whole once the edge's loader has proven the new bundle, or left untouched. Its version
    is one above the source's, so that an edge takes it. Raises ``BundleError``.
    """
    old = edge.read(source)
    if constants:
        old = refit.refitted(old, constants)
    single = weights.astype(np.float32)
    contents, manifest = old.unvouched().contents(), old.manifest
    if _MARK in manifest.training:
        raise BundleError(f"{source}: is commissioned already; start from the shipped bundle")
    graphs = dict(manifest.graphs)
    for name in ("anomaly", MERGED):
        if name in graphs:
            raw = weighed(contents[graphs[name].file], single)
            contents[graphs[name].file] = raw
            graphs[name] = graphs[name].model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})
    with np.load(io.BytesIO(contents[manifest.golden.file]), allow_pickle=False) as arrays:
        vectors = dict(arrays)
    if constants:
        spec = manifest.graphs["anomaly"]
        feeds = {name: vectors[f"anomaly.{name}"] for name in spec.inputs}
        answers = Graph(old.graphs["anomaly"], spec, name="anomaly").run(feeds)
        vectors |= {f"anomaly.{name}": values for name, values in answers.items()}
    score, shares = vectors[f"anomaly.{_SCORE}"], vectors[f"anomaly.{_SHARES}"] * single
    total = shares.sum(axis=1)
    vectors[f"anomaly.{_SCORE}"] = score * total
    vectors[f"anomaly.{_SHARES}"] = shares / np.maximum(total, np.float32(1e-12))[:, None]
    golden = packed(vectors)
    contents[manifest.golden.file] = golden
    anew: Manifest = manifest.model_copy(
        update={
            "version": manifest.version + 1,
            "graphs": graphs,
            "alarms": dict(alarms),
            "golden": manifest.golden.model_copy(update={"sha256": hashlib.sha256(golden).hexdigest()}),
            "training": {**manifest.training, _MARK: old.digest, **training},
            # How anomalous faults get was measured in the old score's units.
            "metrics": {name: value for name, value in manifest.metrics.items() if name != FAR} | dict(metrics),
        }
    )
    if manifest.card is not None:
        del contents[manifest.card.file]
    anew, text = card.attached(anew)
    contents |= {card.FILE: text, MANIFEST_FILE: (anew.model_dump_json(indent=1) + "\n").encode()}
    return place(folder, contents)


def weighed(raw: bytes, weights: NDArray[np.float32]) -> bytes:
    """The graph with the weights ``(K,)`` behind its score and shares; inputs and outputs keep their names."""
    model = onnx.load_model_from_string(raw)
    graph = model.graph
    inner = {name: f"{name}_before" for name in (_SCORE, _SHARES)}
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = inner.get(name, name)
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(weights[None, :], "w_group"),
            onnx.numpy_helper.from_array(np.array([1], dtype=np.int64), "w_axis"),
            onnx.numpy_helper.from_array(np.array(1e-12, dtype=np.float32), "w_least"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Mul", [inner[_SHARES], "w_group"], ["w_shares"], name="w0"),
            helper.make_node("ReduceSum", ["w_shares", "w_axis"], ["w_total"], name="w1", keepdims=1),
            helper.make_node("Squeeze", ["w_total", "w_axis"], ["w_factor"], name="w2"),
            helper.make_node("Mul", [inner[_SCORE], "w_factor"], [_SCORE], name="w3"),
            helper.make_node("Max", ["w_total", "w_least"], ["w_divisor"], name="w4"),
            helper.make_node("Div", ["w_shares", "w_divisor"], [_SHARES], name="w5"),
        ]
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
