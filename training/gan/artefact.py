"""A fitted generator on disk: weights, ONNX graph, scaler, conditions, samples; and back.

Folder: ``generator.pt`` (all weights), ``discriminator.pt`` (the critic's, where there is one), ``generator.onnx``,
``scaler.npz`` (scaler and cells), ``bank.npz`` (conditions of the training windows; twin windows of a refiner),
``samples.npz``, ``fit.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.gan.cell import Cells
from training.gan.export import onnx_bytes
from training.gan.fitting import KINDS, Fitted
from training.gan.generator import Budget, Shape
from training.gan.windows import InputError, Scaler, Windows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.gan.generator import Generator

ARRAYS = ("values", "label", "severity", "operating", "unit")
JUDGES = ("critic", "discriminator")


def save(fitted: Fitted, folder: Path, *, seed: int, samples: int) -> None:
    """Writes the folder; ``samples`` windows per class are drawn with ``seed``."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = fitted.generator.cpu()
    weights = generator.state_dict()
    torch.save(weights, folder / "generator.pt")
    judge = {name: value for name, value in weights.items() if name.split(".")[0] in JUDGES}
    if judge:
        torch.save(judge, folder / "discriminator.pt")
    (folder / "generator.onnx").write_bytes(onnx_bytes(generator))
    cells = {} if fitted.cells is None else {f"cell_{f.name}": getattr(fitted.cells, f.name) for f in fields(Cells)}
    _write(folder / "scaler.npz", {"mean": fitted.scaler.mean, "scale": fitted.scaler.scale, **cells})
    bank = {name: getattr(fitted.train, name) for name in ARRAYS}
    if fitted.guide is not None:
        bank |= {f"guide_{name}": getattr(fitted.guide, name) for name in ARRAYS}
    _write(folder / "bank.npz", bank)
    labels = np.flatnonzero(fitted.train.counts())
    drawn = [fitted.sample(int(k), samples, seed) for k in labels]
    write_samples(drawn[0].joined(*drawn[1:]), folder / "samples.npz")
    shape = generator.shape
    text = {
        "kind": generator.kind,
        "seed": seed,
        "best_step": fitted.best_step,
        "shape": asdict(shape),
        "budget": asdict(generator.budget),
        "classes": fitted.train.classes,
        "channels": fitted.train.channels,
        "aligned": fitted.train.aligned,
        "history": fitted.history,
    }
    (folder / "fit.json").write_text(json.dumps(text))


def load(folder: Path) -> Fitted:
    """What ``save`` wrote.

    Raises:
        InputError: the folder is not one of ours.
    """
    try:
        text = json.loads((folder / "fit.json").read_text())
    except FileNotFoundError:
        raise InputError(f"model: {folder} holds no fit.json; name a folder that 'gan fit' wrote") from None
    generator: Generator = KINDS[text["kind"]](Shape(**text["shape"]), Budget(**text["budget"]))
    generator.load_state_dict(torch.load(folder / "generator.pt", weights_only=True))
    meta = {"classes": tuple(text["classes"]), "channels": tuple(text["channels"]), "aligned": text["aligned"]}
    with np.load(folder / "scaler.npz") as stored, np.load(folder / "bank.npz") as bank:
        cells = Cells(**{f.name: stored[f"cell_{f.name}"] for f in fields(Cells)}) if "cell_mean" in stored else None
        scaler = Scaler(stored["mean"], stored["scale"])
        train = Windows(**{name: bank[name] for name in ARRAYS}, **meta)
        guide = Windows(**{name: bank[f"guide_{name}"] for name in ARRAYS}, **meta) if "guide_values" in bank else None
    return Fitted(generator, scaler, train, guide, cells, text["history"], text["best_step"])


def write_samples(windows: Windows, path: Path) -> None:
    """Windows as ``.npz``: values, label, severity, operating, class and channel names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(windows, name) for name in ARRAYS}
    _write(path, arrays | {"classes": np.array(windows.classes), "channels": np.array(windows.channels)})


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    np.savez_compressed(path, allow_pickle=False, **arrays)
