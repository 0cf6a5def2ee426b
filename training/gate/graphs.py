"""Which graphs of a bundle the edge runs, and their golden vectors: a merged graph answers for those it merges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.contract.manifest import MERGED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from service.bundle import Bundle
    from service.contract.manifest import GraphName, Manifest

    Arrays = dict[str, NDArray[np.floating]]

_APART: tuple[GraphName, ...] = ("anomaly", "classifier")


def running(manifest: Manifest) -> tuple[GraphName, ...]:
    """The graphs that a reading goes through."""
    return (MERGED, "health") if MERGED in manifest.graphs else (*_APART, "health")


def parts(name: GraphName) -> tuple[GraphName, ...]:
    """The graphs whose answers this one gives."""
    return _APART if name == MERGED else (name,)


def vibration(models: Bundle, rows: Mapping[str, NDArray[np.floating]]) -> Arrays:
    """What the edge would learn from windows; raises ``InferenceError``."""
    found: Arrays = {}
    for name in running(models.manifest)[:-1]:
        found |= models.run(name, rows)
    return found


def vectors(folder: Path, manifest: Manifest) -> Arrays:
    """The golden vectors of a bundle that the edge's loader has proven."""
    with np.load(folder / manifest.golden.file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def fed(manifest: Manifest, name: GraphName, kept: Arrays) -> Arrays:
    """Inputs of a graph; the vectors may be another bundle's, whose graphs answer less."""
    return {key: kept[f"{parts(name)[0]}.{key}"] for key in manifest.graphs[name].inputs}


def golden(manifest: Manifest, name: GraphName, kept: Arrays) -> tuple[Arrays, Arrays]:
    """Inputs of a graph and the answers that it owes."""
    return fed(manifest, name, kept), {
        key: kept[f"{part}.{key}"] for part in parts(name) for key in manifest.graphs[part].outputs
    }
