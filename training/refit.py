"""The shipped autoencoder fitted on to a plant's own healthy running, as part of commissioning.

It starts from the shipped weights, which are read out of the graph, and stays near them. The input's offset moves to
what is usual on this machine, held back as by ``PRIOR`` windows of the shipped kind and by ``FARTHEST`` deviations at
most. The weights follow by gradient steps that are held to the shipped ones (L2-SP: Li, Grandvalet and Davoine, ICML
2018), until a later stretch of the machine's time gets no better. A third, still later, judges: a refit is kept only
if healthy running there is less odd, and if the twin's faults, put into it as the displacement of the features that
they make, stand out of it no less often. Of those kept, as offsets may move in part, the one that sees most.

Only constants of the shipped graphs change; no node is added, and what the bundle's classifier sees stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from service.contract.faults import TAUGHT
from service.contract.manifest import MERGED, GraphSpec, TensorSpec
from service.errors import BundleError
from service.graph import Graph
from service.motor import profile_of
from service.window import operating, pack
from simulator import dataset
from training.anomaly import CLAMP, HEIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.bundle import Files
    from service.contract.manifest import WindowSpec
    from training.stream import Stream

    Floats = NDArray[np.float32]

LEAST = 60
"""Windows to fit on; with fewer the shipped weights stay."""
PRIOR = 40.0
"""So many windows the shipped offset is worth."""
FARTHEST = 2.0
"""Deviations, among all healthy machines, that an offset moves at most: farther is no habit of a sound machine."""
SHARES = (1.0, 0.5, 0.0)
"""Of the offset's move that are tried, in turn: a machine's habit can lie where faults show."""
STEPS, PATIENCE, RATE, HELD = 400, 40, 1e-3, 1e-2
"""Gradient steps at most, steps without gain that end them, their size, and the weight of the distance to the start."""
FIT, STOP = 0.6, 0.8
"""Shares of the time at which the stretches to fit and to stop by end; the rest judges."""
DEVELOPED = 0.5
STRENGTHS = (0.35, 0.7)
"""Of a developed fault's displacement that is put in."""
WINDOWS, SEED = 1536, 9_400_000
_QUANTILE = 0.95
MAY_LOSE = 0.05
"""Of a single fault's windows that stood out, as long as all faults together lose nothing."""
_WEIGHTS, _BATCH = 8, 64
_FEEDS = ("accel_m_s2", "samples", "fs_hz", "operating", "nameplate")


class Core(NamedTuple):
    """Where the autoencoder's constants stand in a graph, by the names that they have there."""

    mean: str
    scale: str
    weights: tuple[str, ...]
    membership: str
    usual: str
    raw: str
    excess: str


class Verdict(NamedTuple):
    """What came of a refit.

    Attributes:
        constants: field of ``Core`` (weights by ``weights.0`` ..) to array, empty where the shipped ones stay.
        kept: whether the refit replaces them.
        why: one line for a person.
        figures: what was measured on the stretch that judged.
    """

    constants: dict[str, Floats]
    kept: bool
    why: str
    figures: dict[str, float]


class _Judged(NamedTuple):
    """Median score of healthy windows, and by fault the share of windows with it above the healthy windows' limit."""

    oddness: float
    seen: NDArray[np.float64]


class Heard(NamedTuple):
    """Windows of a machine as the graph sees them, in order of time; ``n`` readings give ``R`` windows.

    Attributes:
        raw: ``(R, F)`` the autoencoder's features before they are standardised.
        excess: ``(R, 1)`` as ``Autoencoder.excess``.
        time: ``(R,)`` each window's place in its stretch, 0 to less than 1.
    """

    raw: Floats
    excess: Floats
    time: NDArray[np.float64]

    def part(self, start: float, end: float) -> Heard:
        """The windows between two shares of the time."""
        rows = (self.time >= start) & (self.time < end)
        return Heard(self.raw[rows], self.excess[rows], self.time[rows])


class Eye:
    """A shipped anomaly graph, opened: its constants by what they are, and the features that it scores.

    Args:
        raw: the file's bytes.
        spec: what the manifest says of it.

    Raises:
        BundleError: it is not made as the graphs of this version are.
    """

    def __init__(self, raw: bytes, spec: GraphSpec) -> None:
        model = onnx.load_model_from_string(raw)
        self.core = core_of(model.graph)
        known = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants = {
            name: numpy_helper.to_array(known[tensor]) for name, tensor in _named(self.core).items() if tensor in known
        }
        width = len(self.constants["mean"])
        del model.graph.output[:]
        kinds = {self.core.raw: width, self.core.excess: 1}
        for name, size in kinds.items():
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size]))
        outputs = {name: TensorSpec(dtype="float32", shape=("batch", size)) for name, size in kinds.items()}
        self._graph = Graph(model.SerializeToString(), spec.model_copy(update={"outputs": outputs}), name="anomaly")

    def hear(self, told: Stream, window: WindowSpec) -> Heard:
        """The windows of a stretch of readings that all carry vibration."""
        rows = pack(told.readings, window)
        scalars, _ = operating(told.readings)
        plate = profile_of(told.birth).nameplate
        feeds = {
            "accel_m_s2": rows.accel_m_s2,
            "samples": rows.samples,
            "fs_hz": np.array([reading.fs_hz for reading in told.readings], dtype=np.float32)[rows.owner],
            "operating": scalars[rows.owner],
            "nameplate": np.tile(plate, (len(rows.owner), 1)),
        }
        return Heard(*self.look(feeds), rows.owner / len(told.readings))

    def look(self, feeds: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """Features ``(R, F)`` and excess ``(R, 1)`` of windows; feeds as in ``service.contract.manifest``."""
        rows = len(feeds["samples"])
        parts = [
            self._graph.run({name: values[at : at + _BATCH] for name, values in feeds.items()})
            for at in range(0, rows, _BATCH)
        ]
        raw, excess = (np.concatenate([part[name] for part in parts]) for name in (self.core.raw, self.core.excess))
        return raw.astype(np.float32), excess.astype(np.float32)


class _Detector(nn.Module):
    """What of the autoencoder a refit may move, and its score up to a constant."""

    mean: Tensor
    scale: Tensor
    membership: Tensor
    usual: Tensor

    def __init__(self, constants: Mapping[str, Floats]) -> None:
        super().__init__()
        for name in ("mean", "scale", "membership", "usual"):
            self.register_buffer(name, torch.from_numpy(constants[name].copy()))
        self.weights = nn.ParameterList(torch.from_numpy(constants[f"weights.{at}"].copy()) for at in range(_WEIGHTS))

    def prepared(self, raw: Tensor) -> Tensor:
        return torch.clamp((raw - self.mean) * self.scale, -CLAMP, CLAMP)

    def decoded(self, mine: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3, w4, b4 = self.weights
        code = nn.functional.linear(torch.relu(nn.functional.linear(mine, w1, b1)), w2, b2)
        return nn.functional.linear(torch.relu(nn.functional.linear(code, w3, b3)), w4, b4)

    def moved(self) -> dict[str, Floats]:
        """The constants that a refit replaces."""
        weights = {f"weights.{at}": weight.detach().numpy() for at, weight in enumerate(self.weights)}
        return {"mean": self.mean.numpy(), **weights}

    def score(self, raw: Tensor, excess: Tensor) -> Floats:
        """``(R,)``, in units of the shipped threshold up to one factor for all."""
        with torch.no_grad():
            mine = self.prepared(raw)
            missed, high = mine - self.decoded(mine), torch.relu(mine)
            groups = torch.matmul(missed * missed + HEIGHT * high * high, self.membership)
            return np.asarray((torch.cat([groups, excess], dim=1) / self.usual).sum(dim=1).numpy())


def core_of(graph: onnx.GraphProto) -> Core:
    """Finds the autoencoder's constants by walking up from the score; raises ``BundleError``."""
    made: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}

    def up(name: str, kind: str) -> onnx.NodeProto:
        node = made.get(name)
        if node is None or node.op_type != kind:
            raise BundleError("anomaly: is not made as this version's graphs are; train a bundle of this version")
        return node

    groups = up(up(up("anomaly", "Div").input[0], "ReduceSum").input[0], "Div")
    errors, excess = up(groups.input[0], "Concat").input
    weighed = up(errors, "MatMul")
    missed = up(up(up(weighed.input[0], "Add").input[0], "Mul").input[0], "Sub")
    last = up(missed.input[1], "Gemm")
    third = up(up(last.input[0], "Relu").input[0], "Gemm")
    second = up(third.input[0], "Gemm")
    first = up(up(second.input[0], "Relu").input[0], "Gemm")
    scaled = up(up(first.input[0], "Clip").input[0], "Mul")
    centred = up(scaled.input[0], "Sub")
    return Core(
        mean=centred.input[1],
        scale=scaled.input[1],
        weights=tuple(name for dense in (first, second, third, last) for name in dense.input[1:]),
        membership=weighed.input[1],
        usual=groups.input[1],
        raw=centred.input[0],
        excess=excess,
    )


def refitted(files: Files, constants: Mapping[str, Floats]) -> Files:
    """The files with the constants replaced in each graph that scores anomalies; digests and golden vectors are not."""
    graphs = {
        name: replaced(raw, constants) if name in {"anomaly", MERGED} else raw for name, raw in files.graphs.items()
    }
    return replace(files, graphs=graphs)


def replaced(raw: bytes, constants: Mapping[str, Floats]) -> bytes:
    """The graph with some of its autoencoder's constants replaced, by the names of ``Verdict``."""
    model = onnx.load_model_from_string(raw)
    named = _named(core_of(model.graph))
    anew = {named[name]: values for name, values in constants.items()}
    for tensor in model.graph.initializer:
        if tensor.name in anew:
            tensor.CopyFrom(numpy_helper.from_array(anew[tensor.name], tensor.name))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def refit(eye: Eye, heard: Sequence[Heard]) -> Verdict:
    """Fits, and judges whether that is better than what was shipped; same recordings, same bytes.

    Args:
        eye: the shipped graph, opened.
        heard: the machine's healthy windows that may be fitted to, a recording each.
    """
    fit, stop, judge = (
        _joined([piece.part(start, end) for piece in heard]) for start, end in ((0.0, FIT), (FIT, STOP), (STOP, 1.0))
    )
    counted = {"windows_fit": len(fit[0]), "windows_stop": len(stop[0]), "windows_judge": len(judge[0])}
    told = {name: float(count) for name, count in counted.items()}
    if len(fit[0]) < LEAST or min(len(stop[0]), len(judge[0])) < LEAST // 4:
        return Verdict({}, kept=False, why=f"{len(fit[0])} windows are too few, {LEAST} are the least", figures=told)
    torch.set_num_threads(1)
    moves = _displacements(eye, fit[0])
    shipped = _Detector(eye.constants)
    before = _judged(shipped, judge, moves)
    told |= {"oddness_shipped": before.oddness, "faults_shipped": float(before.seen.mean())}
    tried = [_tried(eye.constants, fit[0], stop[0], share) for share in SHARES]
    judged = [_judged(one, judge, moves) for one in tried]
    calmer = [found.oddness < before.oddness for found in judged]
    if not any(calmer):
        return Verdict({}, kept=False, why="later healthy running is no less odd after it", figures=told)
    keen = [
        found.seen.mean() >= before.seen.mean() and bool((found.seen >= before.seen - MAY_LOSE).all())
        for found in judged
    ]
    passed = [at for at in range(len(SHARES)) if calmer[at] and keen[at]]
    if not passed:
        return Verdict({}, kept=False, why="the twin's faults would stand out less after it", figures=told)
    at = max(passed, key=lambda one: float(judged[one].seen.mean()))
    after = judged[at]
    told |= {"offset": SHARES[at], "oddness": after.oddness, "faults": float(after.seen.mean())}
    return Verdict(
        tried[at].moved(),
        kept=True,
        why=f"later healthy running is {1.0 - after.oddness / before.oddness:.0%} less odd, and of the twin's faults "
        f"{after.seen.mean():.0%} stand out of it where {before.seen.mean():.0%} did",
        figures=told,
    )


def _tried(constants: Mapping[str, Floats], fit: Tensor, stop: Tensor, share: float) -> _Detector:
    model = _Detector(_shifted(constants, fit, share))
    _descend(model, fit, stop)
    return model


def _named(core: Core) -> dict[str, str]:
    named = {name: getattr(core, name) for name in ("mean", "scale", "membership", "usual")}
    return named | {f"weights.{at}": tensor for at, tensor in enumerate(core.weights)}


def _joined(pieces: Sequence[Heard]) -> tuple[Tensor, Tensor]:
    raw, excess = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("raw", "excess"))
    return torch.from_numpy(raw), torch.from_numpy(excess)


def _shifted(constants: Mapping[str, Floats], raw: Tensor, share: float) -> dict[str, Floats]:
    """The constants with the offset moved a share of the way to the machine's own median."""
    deviations = (raw.median(dim=0).values.numpy() - constants["mean"]) * constants["scale"]
    moved = share * np.clip(deviations * len(raw) / (len(raw) + PRIOR), -FARTHEST, FARTHEST) / constants["scale"]
    return {**constants, "mean": (constants["mean"] + moved).astype(np.float32)}


def _descend(model: _Detector, raw: Tensor, later: Tensor) -> None:
    """Moves the weights in place, to where the later windows are told best."""
    start = [weight.detach().clone() for weight in model.weights]
    mine, judge = model.prepared(raw), model.prepared(later)
    optimiser = torch.optim.Adam(model.weights, lr=RATE)
    best, best_at, kept = float("inf"), 0, start
    for step in range(STEPS):
        with torch.no_grad():
            missed = float((judge - model.decoded(judge)).square().mean())
        if missed < best:
            best, best_at, kept = missed, step, [weight.detach().clone() for weight in model.weights]
        elif step - best_at >= PATIENCE:
            break
        near = torch.stack([(weight - old).square().sum() for weight, old in zip(model.weights, start, strict=True)])
        loss = (mine - model.decoded(mine)).square().mean() + HELD * near.sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        for weight, value in zip(model.weights, kept, strict=True):
            weight.copy_(value)


def _displacements(eye: Eye, own: Tensor) -> Tensor:
    """What each developed fault of the twin moves the features by, in the mean, ``(faults, F)``.

    A feature that never moves on this machine is one that it has no sensor, or no plate, for: no fault moves it either.
    """
    made = dataset.windows(WINDOWS, seed=SEED, healthy_share=0.3)
    raw, _ = eye.look({name: getattr(made, name) for name in _FEEDS})
    single = (made.severity > 0.0).sum(axis=1) == 1
    sound = raw[made.severity.max(axis=1) == 0.0].mean(axis=0)
    moves = np.stack([
        raw[single & (made.severity[:, TAUGHT.index(fault)] >= DEVELOPED)].mean(axis=0) - sound for fault in TAUGHT
    ])  # fmt: skip
    return torch.from_numpy(moves.astype(np.float32)) * (own.std(dim=0) > 0.0)


def _judged(model: _Detector, judge: tuple[Tensor, Tensor], moves: Tensor) -> _Judged:
    raw, excess = judge
    healthy = model.score(raw, excess)
    limit = np.quantile(healthy, _QUANTILE)
    seen = [
        float(np.mean([(model.score(raw + part * move, excess) > limit).mean() for part in STRENGTHS]))
        for move in moves
        if bool((move != 0.0).any())
    ]
    return _Judged(float(np.median(healthy)), np.array(seen))
