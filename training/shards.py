"""Chunks of training data on disk, one file each: kept as they are made, believed only where their digest is right.

A chunk holds for one recipe: seed, share of healthy windows, the libraries that compute, and the sources that it is
made by. What another recipe left in the folder, or what is torn, is made anew in its place.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import service
import simulator
import training
from training import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

SOURCES = ("data", "condition", "disturbance", "envelope", "features", "heat", "shards", "spectrum", "atomic")
"""Modules of this package that a chunk depends on, beside the whole twin and the contract."""
_SHA256 = "sha256"


def recipe(**arguments: object) -> str:
    """Digest of all that decides the bytes of a chunk but its number."""
    versions = {"numpy": np.__version__, "torch": torch.__version__}
    whole = hashlib.sha256(repr(sorted((arguments | versions).items())).encode())
    whole.update(_sources())
    return whole.hexdigest()


def read(folder: Path, index: int, made_by: str) -> dict[str, NDArray[np.generic]] | None:
    """The arrays of a chunk, None where they must be made."""
    try:
        with np.load(io.BytesIO(_path(folder, index).read_bytes()), allow_pickle=False) as body:
            arrays = dict(body)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    kept = arrays.pop(_SHA256, np.array("")).tolist()
    return arrays if kept == _digest(made_by, index, arrays) else None


def write(folder: Path, index: int, made_by: str, arrays: Arrays) -> None:
    """Keeps a chunk; raises ``training.atomic.WriteError``."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{_SHA256: np.array(_digest(made_by, index, arrays))})  # type: ignore[arg-type]
    atomic.file(_path(folder, index), buffer.getvalue())


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.npz"


def _digest(made_by: str, index: int, arrays: Arrays) -> str:
    whole = hashlib.sha256(f"{made_by}:{index}".encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        whole.update(f"{name}:{values.dtype.str}:{values.shape}".encode())
        whole.update(values.tobytes())
    return whole.hexdigest()


@cache
def _sources() -> bytes:
    twin, contract = Path(simulator.__path__[0]), Path(service.__path__[0]) / "contract"
    files = [*twin.rglob("*.py"), *twin.rglob("*.toml"), *contract.glob("*.py")]
    files += [Path(training.__path__[0]) / f"{name}.py" for name in SOURCES]
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.digest()
