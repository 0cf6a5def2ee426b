"""What stands between the steps of a training, in its working folder: prepared data, weights, graphs.

Every step reads what the one before left and leaves its own whole or not at all, so that ``train`` in one go and its
steps one by one are the same thing.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from service.contract.manifest import AlarmSpec, GraphName, GraphSpec  # noqa: TC001 - pydantic reads them at run time
from training import atomic, bundle
from training.anomaly import Autoencoder
from training.classifier import Network

if TYPE_CHECKING:
    from pathlib import Path

DATA, PREPARED, WEIGHTS, GRAPHS, EXPORTED = "data", "prepared.json", "weights.npz", "graphs", "exported.json"
_ABOUT = "about"


class StageError(ValueError):
    """The step before has not left what this one needs; one line that names the command."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Prepared(_Told):
    """The data set: what it was asked for and the digest of all of it."""

    seed: int
    windows: int
    data_sha256: str


class Fit(_Told):
    """What a fit found beside its weights, and what the bundle will tell of it."""

    seed: int
    golden: int
    alarms: dict[str, AlarmSpec]
    training: dict[str, str]
    metrics: dict[str, float]


class Exported(_Told):
    """The fit that the graphs came from, and what is in the folder beside this."""

    fit: Fit
    graphs: dict[GraphName, GraphSpec]
    nodes: dict[str, int]
    golden_sha256: str


class Fitted(NamedTuple):
    """Networks, fitted and calibrated, and what the fit found."""

    network: Network
    autoencoder: Autoencoder
    fit: Fit


def save_prepared(work: Path, told: Prepared) -> None:
    """Says that the data set is complete; raises ``WriteError``."""
    atomic.file(work / PREPARED, told.model_dump_json(indent=1).encode() + b"\n")


def load_prepared(work: Path) -> Prepared:
    """Raises ``StageError`` where no data set is complete."""
    try:
        return Prepared.model_validate_json((work / PREPARED).read_bytes())
    except FileNotFoundError:
        raise StageError(f"{work}: holds no prepared data; python -m training prepare --work {work}") from None
    except ValidationError:
        raise StageError(f"{work / PREPARED}: damaged; python -m training prepare --work {work}") from None


def save_weights(work: Path, fitted: Fitted) -> None:
    """Keeps networks and figures in one file; raises ``WriteError``."""
    arrays = {
        f"{name}.{key}": value.detach().numpy()
        for name, module in (("classifier", fitted.network), ("anomaly", fitted.autoencoder))
        for key, value in module.state_dict().items()
    }
    about = np.frombuffer(fitted.fit.model_dump_json().encode(), dtype=np.uint8)
    atomic.file(work / WEIGHTS, bundle.packed({**arrays, _ABOUT: about}))


def load_weights(work: Path) -> Fitted:
    """The networks, in evaluation mode; raises ``StageError``."""
    path = work / WEIGHTS
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as body:
            arrays = dict(body)
        fit = Fit.model_validate_json(arrays.pop(_ABOUT).tobytes())
        network, autoencoder = Network(), Autoencoder()
        for name, module in (("classifier", network), ("anomaly", autoencoder)):
            mine = {key.removeprefix(f"{name}."): v for key, v in arrays.items() if key.startswith(f"{name}.")}
            module.load_state_dict({key: torch.from_numpy(value) for key, value in mine.items()})
    except FileNotFoundError:
        raise StageError(f"{work}: holds no weights; python -m training fit --work {work}") from None
    except (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        raise StageError(f"{path}: damaged or of another version; python -m training fit --work {work}") from None
    return Fitted(network.eval(), autoencoder.eval(), fit)


def save_graphs(work: Path, fit: Fit, made: bundle.Graphs) -> None:
    """Keeps graphs, golden vectors and what the fit told, as one folder; raises ``WriteError``."""
    golden = hashlib.sha256(made.contents[bundle.GOLDEN_FILE]).hexdigest()
    told = Exported(fit=fit, graphs=made.specs, nodes=made.nodes, golden_sha256=golden)
    contents = {**made.contents, EXPORTED: told.model_dump_json(indent=1).encode() + b"\n"}
    atomic.folder(work / GRAPHS, contents, lambda _fresh: None)


def load_graphs(work: Path) -> tuple[Fit, bundle.Graphs]:
    """What was exported, each file with the digest that it had; raises ``StageError``."""
    folder, again = work / GRAPHS, f"python -m training export --work {work}"
    try:
        told = Exported.model_validate_json((folder / EXPORTED).read_bytes())
        wanted = {spec.file: spec.sha256 for spec in told.graphs.values()} | {bundle.GOLDEN_FILE: told.golden_sha256}
        contents = {name: (folder / name).read_bytes() for name in wanted}
    except (FileNotFoundError, NotADirectoryError):
        raise StageError(f"{work}: holds no graphs; {again}") from None
    except ValidationError:
        raise StageError(f"{folder / EXPORTED}: damaged or of another version; {again}") from None
    for name, raw in contents.items():
        if hashlib.sha256(raw).hexdigest() != wanted[name]:
            raise StageError(f"{folder / name}: is not what was exported; {again}")
    return told.fit, bundle.Graphs(contents, told.graphs, told.nodes)
