"""Where a bundle comes from: what torch said at its export, and whether the same training makes it again."""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
import torch

from service import bundle as edge
from training import bundle
from training.gate import graphs
from training.gate.check import Check
from training.train import Args, train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from service.contract.manifest import Manifest
    from simulator.dataset import Windows

TOLERANCE = 1e-4
_ROWS = 64


def golden(folder: Path, models: edge.Bundle) -> Check:
    """The golden vectors' answers are torch's own at export; how far is this machine's runtime from them?"""
    kept = graphs.vectors(folder, models.manifest)
    cases = {name: graphs.golden(models.manifest, name, kept) for name in models.manifest.graphs}
    worst = max(_deviation(models.run(name, feeds), wanted) for name, (feeds, wanted) in cases.items())
    return Check("torch_parity_golden", worst <= TOLERANCE, f"{worst:.2g}", f"<= {TOLERANCE:g}", worst)


def again(models: edge.Bundle, sample: list[Windows], tell: Callable[[str], None]) -> list[Check]:
    """Trains once more by the manifest's own arguments: same digest, and torch beside ONNX on windows of the replay."""
    limit = f"digest {models.digest[:12]}"
    try:
        arguments = arguments_of(models.manifest)
    except ValueError as error:
        return [Check("retrain_reproduces", False, str(error), limit)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "models"
        written, modules = train(replace(Args(out=folder), **arguments), tell)
        checks = [Check("retrain_reproduces", written.digest == models.digest, f"digest {written.digest[:12]}", limit)]
        remade = edge.load(folder, prove=False)
        worst = max(_against_torch(modules, remade, part) for part in sample[:1])
    checks.append(Check("torch_parity_replay", worst <= TOLERANCE, f"{worst:.2g}", f"<= {TOLERANCE:g}", worst))
    return checks


def arguments_of(manifest: Manifest) -> dict[str, Any]:
    """The arguments that the manifest says the bundle was trained with; raises ``ValueError`` where one is absent."""
    kinds = get_type_hints(Args)
    found: dict[str, Any] = {}
    for field in fields(Args):
        if not field.metadata.get("result", True):
            continue
        text = manifest.training.get(f"argument.{field.name}", field.metadata.get("absent"))
        if text is None:
            raise ValueError(f"manifest: training.argument.{field.name} is absent; train it with this version")
        try:
            found[field.name] = kinds[field.name](text)
        except ValueError:
            raise ValueError(f"manifest: training.argument.{field.name}: {text[:40]!r} is no number") from None
    return found


def _against_torch(modules: bundle.Models, remade: edge.Bundle, part: Windows) -> float:
    worst = 0.0
    for name in remade.manifest.graphs:
        feeds = bundle.health_feeds(part) if name == "health" else bundle.window_feeds(part)
        given = {key: np.ascontiguousarray(value[:_ROWS]) for key, value in feeds.items()}
        wanted: graphs.Arrays = {}
        for module in graphs.parts(name):
            with torch.no_grad():
                answers = getattr(modules, module)(*(torch.from_numpy(value) for value in given.values()))
            outputs = remade.manifest.graphs[module].outputs
            wanted |= {key: value.numpy() for key, value in zip(outputs, answers, strict=True)}
        worst = max(worst, _deviation(remade.run(name, given), wanted))
    return worst


def _deviation(found: Mapping[str, NDArray[np.floating]], wanted: Mapping[str, NDArray[np.floating]]) -> float:
    """Largest difference, relative above 1; infinite where one is a number and the other is not."""
    worst = 0.0
    for key, target in wanted.items():
        got = found[key].astype(np.float64)
        same = (got == target) | (np.isnan(got) & np.isnan(target))
        with np.errstate(invalid="ignore"):
            apart = np.abs(got - target) / np.maximum(np.abs(target), 1.0)
        apart = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
        worst = max(worst, float(apart.max(initial=0.0)))
    return worst
