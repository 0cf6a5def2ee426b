"""Bundles with one chosen flaw, honest otherwise: digests are right, golden vectors are the flawed graph's own."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from service import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).resolve().parents[3] / "service" / "models"
NAME = "classifier"


def plain(folder: Path) -> dict[str, Any]:
    """A copy of the shipped bundle without a merged graph, which would answer for the classifier; its manifest."""
    shutil.copytree(SHIPPED, folder)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    manifest["graphs"].pop("vibration", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return manifest


def flawed(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of the shipped bundle whose classifier was changed."""
    manifest = plain(folder)
    model = onnx.load(folder / f"{NAME}.onnx")
    change(model)
    raw = model.SerializeToString()
    (folder / f"{NAME}.onnx").write_bytes(raw)
    manifest["graphs"][NAME]["sha256"] = hashlib.sha256(raw).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with np.load(folder / "golden.npz") as archive:
        vectors = dict(archive)
    inputs = manifest["graphs"][NAME]["inputs"]
    found = bundle.load(folder, prove=False).run(NAME, {key: vectors[f"{NAME}.{key}"] for key in inputs})
    vectors |= {f"{NAME}.{key}": value for key, value in found.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vectors)
    (folder / "golden.npz").write_bytes(buffer.getvalue())
    manifest["golden"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def reweighted(model: onnx.ModelProto, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Changes the networks' first layers; what a window is turned into before them stays."""
    first = ([3, 21, 64], [3, 40, 64], [3, 17, 64])  # experts, inputs, outputs: bands, mechanical, thermal
    wide = [one for one in model.graph.initializer if list(one.dims) in first]
    assert len(wide) >= 3
    for one in wide:
        values = numpy_helper.to_array(one)
        one.CopyFrom(numpy_helper.from_array(change(values).astype(values.dtype), one.name))


def noisy(model: onnx.ModelProto) -> None:
    """Weights that have suffered: noise as large as their own spread."""
    rng = np.random.default_rng(1)
    reweighted(model, lambda values: values + values.std() * rng.standard_normal(values.shape))


def not_a_number(model: onnx.ModelProto) -> None:
    """Weights that are no numbers."""
    reweighted(model, lambda values: np.full_like(values, np.nan))


def slow(model: onnx.ModelProto) -> None:
    """The same answers, after 600 sines of every sample."""
    graph = model.graph
    (last,) = [node for node in graph.node if "severity" in node.output]
    last.output[list(last.output).index("severity")] = "quick"
    graph.initializer.append(numpy_helper.from_array(np.float32(0.0), "nothing"))
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "along")
    graph.initializer.append(axis)
    chain = ["accel_m_s2", *(f"sine{k}" for k in range(600))]
    graph.node.extend(helper.make_node("Sin", [a], [b]) for a, b in pairwise(chain))
    graph.node.append(helper.make_node("ReduceMean", [chain[-1], "along"], ["mean"], keepdims=0))
    graph.node.append(helper.make_node("Mul", ["mean", "nothing"], ["naught"]))
    graph.node.append(helper.make_node("Add", ["quick", "naught"], ["severity"]))


def forgetful(model: onnx.ModelProto) -> None:
    """Every fault as before but cage, which is never seen again."""
    graph = model.graph
    (last,) = [node for node in graph.node if "probability" in node.output]
    last.output[list(last.output).index("probability")] = "all"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == "probability":
                node.input[place] = "all"
    mask = np.ones((1, 9), dtype=np.float32)
    mask[0, 3] = 0.0
    graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    graph.node.append(helper.make_node("Mul", ["all", "mask"], ["probability"]))


FLAWS = {"noisy": noisy, "not_a_number": not_a_number, "slow": slow, "forgetful": forgetful}


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle, without a merged graph as the flawed ones are."""
    folder = tmp_path_factory.mktemp("champion") / "models"
    plain(folder)
    return folder


@pytest.fixture(scope="session")
def flaw(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``flaw("noisy")``: the folder of a bundle with that flaw."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = flawed(tmp_path_factory.mktemp("flawed") / name, FLAWS[name])
        return made[name]

    return get
