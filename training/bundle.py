"""The bundle folder: graphs, manifest and golden vectors, written complete and proven before it replaces another."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from service import bundle as edge
from service.contract.manifest import (
    MANIFEST_FILE,
    MERGED,
    AlarmSpec,
    GoldenSpec,
    GraphSpec,
    HealthSpec,
    Manifest,
    TensorSpec,
    WindowSpec,
)
from service.contract.signals import NAMEPLATE, OPERATING
from training import atomic, card, health, tuning
from training.anomaly import COLUMNS, Anomaly
from training.classifier import CLASSES, Classifier, Network
from training.export import IR_VERSION, OPSET, export
from training.fused import Fused
from training.merged import Vibration
from training.spectrum import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from service.contract.manifest import GraphName
    from service.contract.sketch import SketchSpec
    from simulator.dataset import Windows

MIN_SAMPLES = SAMPLES // 2
FS_HZ = (10_000.0, 26_000.0)
GOLDEN_FILE = "golden.npz"
NAME = "motortwin"
VERSION = 6
"""Of the bundles made here: what a window is looked at by and what the networks are."""
LIMIT_BYTES = 2_000_000
"""A bundle travels over thin lines and stands in the repository."""

_BATCH: Literal["batch"] = "batch"
_ROWS: dict[str, TensorSpec] = {
    "accel_m_s2": TensorSpec(dtype="float32", shape=(_BATCH, SAMPLES)),
    "samples": TensorSpec(dtype="float32", shape=(_BATCH,)),
    "fs_hz": TensorSpec(dtype="float32", shape=(_BATCH,)),
    "operating": TensorSpec(dtype="float32", shape=(_BATCH, len(OPERATING))),
    "nameplate": TensorSpec(dtype="float32", shape=(_BATCH, len(NAMEPLATE))),
}
_STATES = len(tuning.STATE_NAMES)
_SCALAR = TensorSpec(dtype="float64", shape=(_BATCH,))

INPUTS: dict[GraphName, dict[str, TensorSpec]] = {
    "anomaly": _ROWS,
    "classifier": _ROWS,
    MERGED: _ROWS,
    "health": {
        "state": TensorSpec(dtype="float64", shape=(_BATCH, _STATES)),
        "cov": TensorSpec(dtype="float64", shape=(_BATCH, _STATES, _STATES)),
        "operating": _ROWS["operating"],
        "nameplate": _ROWS["nameplate"],
        "severity": _SCALAR,
        "dt_s": _SCALAR,
    },
}
OUTPUTS: dict[GraphName, dict[str, TensorSpec]] = {
    "anomaly": {
        "anomaly": TensorSpec(dtype="float32", shape=(_BATCH,)),
        "contribution": TensorSpec(dtype="float32", shape=(_BATCH, len(COLUMNS))),
    },
    "classifier": {
        "probability": TensorSpec(dtype="float32", shape=(_BATCH, len(CLASSES))),
        "severity": TensorSpec(dtype="float32", shape=(_BATCH,)),
    },
    "health": {
        "state_next": TensorSpec(dtype="float64", shape=(_BATCH, _STATES)),
        "cov_next": TensorSpec(dtype="float64", shape=(_BATCH, _STATES, _STATES)),
        "health": _SCALAR,
        "rul_h": _SCALAR,
        "rul_low_h": _SCALAR,
        "rul_high_h": _SCALAR,
        "rul_q25_h": _SCALAR,
        "rul_q75_h": _SCALAR,
        "innovation": TensorSpec(dtype="float64", shape=(_BATCH, len(tuning.INNOVATION_NAMES))),
        "normalised": TensorSpec(dtype="float64", shape=(_BATCH, len(tuning.INNOVATION_NAMES))),
        "nis": _SCALAR,
    },
}
OUTPUTS[MERGED] = OUTPUTS["anomaly"] | OUTPUTS["classifier"]


class BundleTooLargeError(ValueError):
    """The files together exceed what a bundle may weigh."""


class Models(NamedTuple):
    """The modules, fitted, in evaluation mode."""

    anomaly: Anomaly
    classifier: Classifier
    health: health.Health


class Graphs(NamedTuple):
    """What was exported: files by name, golden vectors among them; what goes in and out; how many nodes there are."""

    contents: dict[str, bytes]
    specs: dict[GraphName, GraphSpec]
    nodes: dict[str, int]


class Written(NamedTuple):
    """A bundle that was written and proven."""

    digest: str
    size_bytes: int
    nodes: dict[str, int]


def health_feeds(sample: Windows) -> dict[str, NDArray[np.generic]]:
    """Filter inputs for every window's operating point: new and old states, any step, missing values, rubbish."""
    count = len(sample.fs_hz)
    state = np.tile(np.array(tuning.INITIAL_STATE), (count, 1))
    state += np.linspace(0.0, 1.0, count)[:, None] * np.array([60.0, 30.0, 0.8, 3.0, 0.05])
    cov = np.tile(np.diag(np.square(tuning.INITIAL_SD)), (count, 1, 1)) * np.linspace(1.0, 0.05, count)[:, None, None]
    state[0], cov[0] = tuning.INITIAL_STATE, np.diag(np.square(tuning.INITIAL_SD))
    state[-1, 2] = np.nan
    severity = np.clip(sample.severity.max(axis=1).astype(np.float64), 0.0, 1.0)
    severity[1::4] = np.nan
    dt_s = np.array([0.0, 1.0, 60.0, 3600.0, 86_400.0, 1e9])[np.arange(count) % 6]
    return {
        "state": state,
        "cov": cov,
        "operating": sample.operating,
        "nameplate": sample.nameplate,
        "severity": severity,
        "dt_s": dt_s,
    }


def window_feeds(sample: Windows) -> dict[str, NDArray[np.generic]]:
    """Inputs of the window graphs."""
    return {name: getattr(sample, name) for name in _ROWS}


def exported(models: Models, sample: Windows, *, seed: int) -> Graphs:
    """The models as ONNX files, with golden vectors by torch itself.

    Args:
        models: what to export.
        sample: windows that become golden vectors, with missing values among them.
        seed: of the training.

    Raises:
        training.export.ExportError: a graph did not come out as the contract wants it.
    """
    feeds: dict[GraphName, dict[str, NDArray[np.generic]]] = {
        "anomaly": window_feeds(sample),
        "classifier": window_feeds(sample),
        MERGED: window_feeds(sample),
        "health": health_feeds(sample),
    }
    network = models.classifier.network
    assert isinstance(network, Network)
    fused = Classifier(models.classifier.features, Fused(network)).eval()
    # Golden vectors come from the networks as they were fitted: the edge's proof then covers the stacks too.
    fitted: dict[GraphName, nn.Module] = {
        "anomaly": models.anomaly,
        "classifier": models.classifier,
        "health": models.health,
    }
    modules: dict[GraphName, nn.Module] = {
        "anomaly": models.anomaly,
        "classifier": fused,
        MERGED: Vibration(models.anomaly, fused).eval(),
        "health": models.health,
    }
    contents: dict[str, bytes] = {}
    specs: dict[GraphName, GraphSpec] = {}
    nodes: dict[str, int] = {}
    vectors: dict[str, NDArray[np.generic]] = {}
    for name, given in feeds.items():
        module = modules[name]
        inputs = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in given.items()}
        metadata = {"graph": name, "opset": str(OPSET), "ir": str(IR_VERSION), "seed": str(seed)}
        if "probability" in OUTPUTS[name]:
            metadata["classes"] = ",".join(CLASSES)
        graph = export(module, name, inputs, list(OUTPUTS[name]), metadata)
        file = f"{name}.onnx"
        contents[file], nodes[name] = graph.raw, graph.nodes
        specs[name] = GraphSpec(
            file=file, sha256=_sha256(graph.raw), opset=OPSET, inputs=INPUTS[name], outputs=OUTPUTS[name]
        )
        if name == MERGED:
            continue  # proven by the vectors of the two that it merges
        with torch.no_grad():
            answers = fitted[name](*inputs.values())
        vectors |= {f"{name}.{key}": value for key, value in given.items()}
        vectors |= {f"{name}.{key}": value.numpy() for key, value in zip(OUTPUTS[name], answers, strict=True)}
    contents[GOLDEN_FILE] = packed(vectors)
    return Graphs(contents, specs, nodes)


def write(
    folder: Path,
    graphs: Graphs,
    *,
    alarms: Mapping[str, AlarmSpec],
    seed: int,
    training: Mapping[str, str],
    metrics: Mapping[str, float],
    drawn: SketchSpec | None = None,
) -> Written:
    """Proves the graphs with the edge's own loader, then puts them in the folder's place.

    Args:
        folder: replaced as a whole, or left untouched if anything fails.
        graphs: what was exported.
        alarms: per condition.
        seed: of the training.
        training: how the bundle was made.
        metrics: held-out figures.
        drawn: sketch of the inputs, see ``training.sketch``; without it the edge knows nothing of drift.

    Raises:
        service.errors.BundleError: the edge would refuse the bundle.
        BundleTooLargeError: the files weigh more than ``LIMIT_BYTES``.
        training.atomic.WriteError: they could not be written.
    """
    manifest = Manifest(
        name=NAME,
        version=VERSION,
        graphs=graphs.specs,
        window=WindowSpec(samples=SAMPLES, min_samples=MIN_SAMPLES, fs_hz=FS_HZ),
        classes=CLASSES,
        bands=tuple(group.name for group in COLUMNS),
        alarms=dict(alarms),
        health=health_spec(),
        innovation=tuning.INNOVATION,
        golden=GoldenSpec(file=GOLDEN_FILE, sha256=_sha256(graphs.contents[GOLDEN_FILE]), rtol=1e-3, atol=1e-3),
        seed=seed,
        training=dict(training),
        metrics=dict(metrics),
        sketch=drawn,
    )
    manifest, text = card.attached(manifest)
    described = {card.FILE: text, MANIFEST_FILE: (manifest.model_dump_json(indent=1) + "\n").encode()}
    contents = {**graphs.contents, **described}
    size = sum(map(len, contents.values()))
    if size > LIMIT_BYTES:
        raise BundleTooLargeError(
            f"bundle of {size} bytes exceeds {LIMIT_BYTES}; make networks or golden vectors smaller"
        )
    return Written(place(folder, contents), size, graphs.nodes)


def place(folder: Path, contents: Mapping[str, bytes]) -> str:
    """Files that the edge's own loader proves, in the folder's place; their digest.

    Raises:
        service.errors.BundleError: the edge would refuse the bundle; the folder is untouched.
        training.atomic.WriteError: they could not be written.
    """
    return atomic.folder(folder, contents, lambda fresh: edge.load(fresh, prove=True).digest)


def carded(folder: Path) -> str:
    """Writes the model card of a bundle anew from its manifest; the new digest. A signature does not outlive it.

    Raises:
        service.errors.BundleError: the bundle cannot be read, or the edge would refuse the new one.
    """
    files = edge.read(folder)
    contents = files.unvouched().contents()
    if files.manifest.card is not None:
        del contents[files.manifest.card.file]
    manifest, text = card.attached(files.manifest)
    contents |= {card.FILE: text, MANIFEST_FILE: (manifest.model_dump_json(indent=1) + "\n").encode()}
    return place(folder, contents)


def health_spec() -> HealthSpec:
    """The filter's names and the state of a motor seen for the first time."""
    cov = np.diag(np.square(tuning.INITIAL_SD))
    return HealthSpec(
        schema_id=tuning.SCHEMA_ID,
        state_names=tuning.STATE_NAMES,
        initial_state=tuning.INITIAL_STATE,
        initial_cov=tuple(tuple(float(value) for value in row) for row in cov),
        innovation_names=tuning.INNOVATION_NAMES,
        max_dt_s=tuning.MAX_DT_S,
    )


def packed(vectors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Golden vectors as the bytes of their file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vectors)  # type: ignore[arg-type]
    return buffer.getvalue()


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
