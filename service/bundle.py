"""A model bundle: read once, checked in full, proven on this machine. Nothing in it is trusted before that.

The folder is read into memory once and bounded by size; what was checked is what runs, whatever happens to the files
meanwhile. Order: manifest (its bytes' sha256 is the bundle's digest) -> digests of the files -> the manifest's tensors
against the contract -> the graphs against the manifest -> golden vectors through the graphs on this CPU.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import ValidationError

from service.contract.manifest import MANIFEST_FILE, MERGED, Manifest, TensorSpec
from service.contract.signals import NAMEPLATE, OPERATING
from service.errors import BundleError, InferenceError
from service.graph import MAX_GRAPH_BYTES, Graph, give_memory_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract.manifest import GraphName

SIGNATURE_FILE = "bundle.sig"
GATE_FILE = "gate.json"
GATE_SIGNATURE_FILE = "gate.json.sig"
MAX_SIGNATURE_BYTES = 4096
MAX_GATE_BYTES = 256 * 2**10
MAX_MANIFEST_BYTES = 256 * 2**10
MAX_CARD_BYTES = 256 * 2**10
MAX_GOLDEN_BYTES = 16 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**20
"""Golden vectors unpack to at most this: an archive can be far larger than its file."""
FULL_BATCH = 32
"""Rows of the largest batch that a bundle is proven with; ``service.score`` runs no larger one."""

_Shape = tuple[int | Literal["batch"], ...]
_Tensors = dict[str, tuple[Literal["float32", "float64"], _Shape]]
_Arrays = dict[str, "NDArray[np.floating]"]
_MERGES: tuple[GraphName, ...] = ("anomaly", "classifier")


@dataclass(frozen=True, slots=True)
class Files:
    """A bundle's files as read, not yet trusted beyond their digests."""

    manifest: Manifest
    digest: str
    graphs: dict[GraphName, bytes]
    golden: bytes
    raw_manifest: bytes
    signature: bytes | None
    card: bytes | None = None
    gate: bytes | None = None
    gate_signature: bytes | None = None

    def unvouched(self) -> Files:
        """Without what was given for these very bytes, signature and gate's report: to be changed."""
        return replace(self, signature=None, gate=None, gate_signature=None)

    def contents(self) -> dict[str, bytes]:
        """File name to bytes, the whole folder."""
        named = {MANIFEST_FILE: self.raw_manifest, self.manifest.golden.file: self.golden}
        named |= {self.manifest.graphs[name].file: raw for name, raw in self.graphs.items()}
        if self.manifest.card is not None and self.card is not None:
            named[self.manifest.card.file] = self.card
        beside = {SIGNATURE_FILE: self.signature, GATE_FILE: self.gate, GATE_SIGNATURE_FILE: self.gate_signature}
        return named | {name: raw for name, raw in beside.items() if raw is not None}


class Bundle:
    """The graphs and the numbers to decide with; satisfies ``service.monitor.Models``.

    Attributes:
        manifest: thresholds, classes, window and filter settings.
        digest: sha256 of the manifest's bytes, 64 hex digits; names the bundle everywhere.
    """

    def __init__(self, files: Files) -> None:
        """Loads the graphs; raises ``BundleError``."""
        self.manifest = files.manifest
        self.digest = files.digest
        self._raw = files.graphs
        self._graphs: dict[GraphName, Graph] = {name: self._loaded(name) for name in files.graphs}

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs of one graph by name; raises ``InferenceError``."""
        loaded = self._graphs.get(graph)
        if loaded is None:
            loaded = self._graphs[graph] = self._loaded(graph)
        return loaded.run(feeds)

    def spare(self) -> None:
        """Lets go of the graphs that the merged one answers for, until somebody asks for them by name."""
        for name in list(self._graphs):
            if _replaced(self.manifest, name):
                del self._graphs[name]
        give_memory_back()

    def _loaded(self, name: GraphName) -> Graph:
        spec = self.manifest.graphs[name]
        return Graph(self._raw[name], spec, name=spec.file, planned=name == "health")


def load(folder: Path, *, prove: bool = True) -> Bundle:
    """The bundle in a folder, checked, and unless ``prove`` is False proven on its golden vectors.

    Raises:
        BundleError: one line: which file or field, and what to do.
    """
    files = read(folder)
    bundle = Bundle(files)
    if prove:
        prove_golden(bundle, files.golden)
    return bundle


def read(folder: Path) -> Files:
    """The folder's files, once, bounded, with digests and tensor promises checked; raises ``BundleError``.

    Signature and gate's report are read where they are; who trusts them is not decided here.
    """

    def beside(name: str, limit: int) -> bytes | None:
        return _read(folder, name, limit) if os.path.lexists(folder / name) else None

    return _checked(lambda name, limit: _read(folder, name, limit), beside)


def from_contents(contents: Mapping[str, bytes]) -> Files:
    """What ``Files.contents`` gave, checked as ``read`` checks a folder; raises ``BundleError``."""

    def content(name: str, limit: int) -> bytes:
        raw = contents.get(name)
        if raw is None or len(raw) > limit:
            raise BundleError(f"{name}: is absent or larger than {limit} bytes")
        return raw

    return _checked(content, lambda name, _: contents.get(name))


def _checked(content: Callable[[str, int], bytes], beside: Callable[[str, int], bytes | None]) -> Files:
    raw = content(MANIFEST_FILE, MAX_MANIFEST_BYTES)
    manifest = _manifest(raw)
    _check_promises(manifest)
    graphs: dict[GraphName, bytes] = {}
    for name, spec in manifest.graphs.items():
        graphs[name] = _digested(content(spec.file, MAX_GRAPH_BYTES), spec.sha256, spec.file)
    spec_golden = manifest.golden
    golden = _digested(content(spec_golden.file, MAX_GOLDEN_BYTES), spec_golden.sha256, spec_golden.file)
    card = None
    if manifest.card is not None:
        card = _digested(content(manifest.card.file, MAX_CARD_BYTES), manifest.card.sha256, manifest.card.file)
    return Files(
        manifest,
        hashlib.sha256(raw).hexdigest(),
        graphs,
        golden,
        raw,
        signature=beside(SIGNATURE_FILE, MAX_SIGNATURE_BYTES),
        card=card,
        gate=beside(GATE_FILE, MAX_GATE_BYTES),
        gate_signature=beside(GATE_SIGNATURE_FILE, MAX_SIGNATURE_BYTES),
    )


def prove_golden(bundle: Bundle, golden: bytes) -> None:
    """Runs the golden vectors, as a batch and the first of them alone; raises ``BundleError`` on a deviation.

    A bundle that has passed lets go of the graphs that its merged one answers for.
    """
    spec = bundle.manifest.golden
    vectors = _unpacked(golden, spec.file)
    for name in bundle.manifest.graphs:
        feeds, wanted = _case(bundle.manifest, name, vectors)
        _compare(bundle, name, feeds, wanted)
        _compare(bundle, name, {k: v[:1] for k, v in feeds.items()}, {k: v[:1] for k, v in wanted.items()})
    bundle.spare()


def prove_batch(bundle: Bundle, golden: bytes) -> float:
    """Runs the golden vectors repeated to ``FULL_BATCH`` rows; the seconds that took. Raises ``BundleError``."""
    spec = bundle.manifest.golden
    vectors = _unpacked(golden, spec.file)
    seconds = 0.0
    for name in bundle.manifest.graphs:
        feeds, wanted = (_repeated(arrays) for arrays in _case(bundle.manifest, name, vectors))
        started = time.perf_counter()
        _compare(bundle, name, feeds, wanted)
        if not _replaced(bundle.manifest, name):
            seconds += time.perf_counter() - started
    return seconds


def _replaced(manifest: Manifest, name: GraphName) -> bool:
    """True for a graph that the merged one answers for."""
    return MERGED in manifest.graphs and name in _MERGES


def _case(manifest: Manifest, name: GraphName, vectors: Mapping[str, NDArray[np.floating]]) -> tuple[_Arrays, _Arrays]:
    """Golden inputs and outputs of a graph. The merged one has none of its own: it must answer like those it merges."""
    spec, file = manifest.graphs[name], manifest.golden.file
    merges = _MERGES if name == MERGED else (name,)
    feeds = {key: _vector(vectors, f"{merges[0]}.{key}", file) for key in spec.inputs}
    for other in merges[1:]:
        for key, array in feeds.items():
            if not np.array_equal(array, _vector(vectors, f"{other}.{key}", file), equal_nan=True):
                raise BundleError(f"{file}: {' and '.join(merges)} differ in {key}; export the bundle again")
    wanted: _Arrays = {}
    for part in merges:
        wanted |= {key: _vector(vectors, f"{part}.{key}", file) for key in manifest.graphs[part].outputs}
    return feeds, wanted


def _repeated(arrays: _Arrays) -> _Arrays:
    return {key: np.resize(array, (FULL_BATCH, *array.shape[1:])) for key, array in arrays.items()}


def _compare(
    bundle: Bundle, name: GraphName, feeds: dict[str, NDArray[np.floating]], wanted: dict[str, NDArray[np.floating]]
) -> None:
    spec = bundle.manifest.golden
    try:
        found = bundle.run(name, feeds)
    except InferenceError as error:
        raise BundleError(f"{spec.file}: {error}") from error
    for key, target in wanted.items():
        if found[key].shape != target.shape:
            raise BundleError(f"{spec.file}: {name}.{key} has shape {target.shape}, the graph gives {found[key].shape}")
        if not np.allclose(found[key], target, rtol=spec.rtol, atol=spec.atol, equal_nan=True):
            with np.errstate(invalid="ignore"):
                worst = float(np.nanmax(np.abs(found[key].astype(np.float64) - target), initial=0.0))
            raise BundleError(
                f"{spec.file}: {name}.{key} deviates on this machine by up to {worst:.3g} "
                f"(rtol {spec.rtol:g}, atol {spec.atol:g}); do not run this bundle here, retrain or update ONNX Runtime"
            )


def _read(folder: Path, name: str, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK a named pipe in the folder would hold the edge up for ever.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(
            f"{name}: cannot be read from {folder}: {error.strerror}; copy the whole bundle there"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{name}: is no regular file; copy the bundle's files themselves")
        try:
            raw = file.read(limit + 1)
        except OSError as error:
            raise BundleError(f"{name}: cannot be read: {error.strerror}; copy the bundle again") from error
    if len(raw) > limit:
        raise BundleError(f"{name}: is larger than {limit} bytes; ship a smaller one")
    return raw


def _digested(raw: bytes, sha256: str, name: str) -> bytes:
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise BundleError(
            f"{name}: sha256 is {found[:12]}..., the manifest says {sha256[:12]}...; copy the bundle again"
        )
    return raw


def _manifest(raw: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise BundleError(
            f"{MANIFEST_FILE}: {where}: {first['msg'][:200]}; export the bundle with a training of this version"
        ) from error


def _promised(manifest: Manifest) -> dict[GraphName, tuple[_Tensors, _Tensors]]:
    """Inputs and outputs that the contract demands of each graph, with this manifest's sizes."""
    states, measured = len(manifest.health.state_names), len(manifest.health.innovation_names)
    each: _Shape = ("batch",)
    f4: Literal["float32"] = "float32"
    f8: Literal["float64"] = "float64"
    plate: _Tensors = {
        "operating": (f4, ("batch", len(OPERATING))),
        "nameplate": (f4, ("batch", len(NAMEPLATE))),
    }
    rows: _Tensors = {
        "accel_m_s2": (f4, ("batch", manifest.window.samples)),
        "samples": (f4, each),
        "fs_hz": (f4, each),
        **plate,
    }
    odd: _Tensors = {"anomaly": (f4, each), "contribution": (f4, ("batch", len(manifest.bands)))}
    named: _Tensors = {"probability": (f4, ("batch", len(manifest.classes))), "severity": (f4, each)}
    # older bundles do not tell these
    told = manifest.graphs["health"].outputs
    later: _Tensors = {name: (f8, each) for name in ("rul_q25_h", "rul_q75_h") if name in told}
    if "normalised" in told or manifest.innovation is not None:
        later["normalised"] = (f8, ("batch", measured))
    promised: dict[GraphName, tuple[_Tensors, _Tensors]] = {
        "anomaly": (rows, odd),
        "classifier": (rows, named),
        "health": (
            {
                "state": (f8, ("batch", states)),
                "cov": (f8, ("batch", states, states)),
                "severity": (f8, each),
                "dt_s": (f8, each),
                **plate,
            },
            {
                "state_next": (f8, ("batch", states)),
                "cov_next": (f8, ("batch", states, states)),
                "innovation": (f8, ("batch", measured)),
                **dict.fromkeys(("health", "rul_h", "rul_low_h", "rul_high_h", "nis"), (f8, each)),
                **later,
            },
        ),
    }
    return promised | ({MERGED: (rows, odd | named)} if MERGED in manifest.graphs else {})


def _check_promises(manifest: Manifest) -> None:
    for name, (inputs, outputs) in _promised(manifest).items():
        spec = manifest.graphs[name]
        for kind, wanted, found in (("inputs", inputs, spec.inputs), ("outputs", outputs, spec.outputs)):
            promised = {key: TensorSpec(dtype=dtype, shape=shape) for key, (dtype, shape) in wanted.items()}
            for key in promised.keys() | found.keys():
                if promised.get(key) != found.get(key):
                    raise BundleError(
                        f"{MANIFEST_FILE}: graphs.{name}.{kind}.{key[:64]} is {_shown(found.get(key))}, "
                        f"the edge's contract says {_shown(promised.get(key))}; export with a training of this version"
                    )


def _shown(spec: TensorSpec | None) -> str:
    return "absent" if spec is None else f"{spec.dtype}{spec.shape}"


def _unpacked(golden: bytes, name: str) -> dict[str, NDArray[np.floating]]:
    try:
        with zipfile.ZipFile(io.BytesIO(golden)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise BundleError(f"{name}: unpacks to more than {MAX_UNPACKED_BYTES} bytes; ship fewer vectors")
        with np.load(io.BytesIO(golden), allow_pickle=False) as vectors:
            return dict(vectors)
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{name}: is no archive of plain arrays; export the bundle again") from error


def _vector(vectors: Mapping[str, NDArray[np.floating]], key: str, name: str) -> NDArray[np.floating]:
    array = vectors.get(key)
    if array is None or array.ndim == 0 or len(array) == 0 or array.dtype.kind != "f":
        raise BundleError(f"{name}: {key} is absent, empty or not made of floats; export the bundle again")
    return array
