"""A complete bundle of tiny graphs whose answers the samples dictate, so that tests decide what the models say.

Row layout (``accel_m_s2``): 0 anomaly, 1 severity, 2..10 probabilities in class order, 11..13 contributions,
20: below zero makes the anomaly NaN, 21: above zero makes the graph fail. Health: ``load`` above 2 makes the filter's
answer NaN, ``winding_c`` above 200 makes its graph fail.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx.parser
import onnxruntime as ort
import pytest

from service.bundle import Bundle, load
from service.contract.faults import TAUGHT, Fault
from service.contract.messages import Birth, Nameplate, Reading
from service.monitor import FleetState, Policy, StepResult, profile_of, step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from service.contract.messages import Alert, Health
    from service.monitor import Models, Profile

SAMPLES = 64
PLATE = "float[batch,6] operating, float[batch,9] nameplate"
ROWS = f"float[batch,{SAMPLES}] accel_m_s2, float[batch] samples, float[batch] fs_hz, {PLATE}"
HEADER = '<ir_version: 9, opset_import: ["" : 17]>'

ANOMALY = f"""{HEADER}
anomaly ({ROWS}) => (float[batch] anomaly, float[batch,3] contribution)
<int64 i0 = {{0}}, int64[1] s11 = {{11}}, int64[1] s14 = {{14}}, int64[1] one = {{1}}, int64 i20 = {{20}},
 int64 i21 = {{21}}, float zero = {{0.0}}, float[1] table = {{0.0}}> {{
    wanted = Gather <axis = 1> (accel_m_s2, i0)
    root = Gather <axis = 1> (accel_m_s2, i20)
    rooted = Sqrt (root)
    nothing = Mul (rooted, zero)
    key = Gather <axis = 1> (accel_m_s2, i21)
    index = Cast <to = 7> (key)
    looked = Gather <axis = 0> (table, index)
    sum = Add (wanted, nothing)
    anomaly = Add (sum, looked)
    contribution = Slice (accel_m_s2, s11, s14, one)
}}"""

CLASSIFIER = f"""{HEADER}
classifier ({ROWS}) => (float[batch,9] probability, float[batch] severity)
<int64 i1 = {{1}}, int64[1] s2 = {{2}}, int64[1] s11 = {{11}}, int64[1] one = {{1}}> {{
    severity = Gather <axis = 1> (accel_m_s2, i1)
    probability = Slice (accel_m_s2, s2, s11, one)
}}"""

# anomaly and classifier as one, and a way to make it say something else.
VIBRATION = f"""{HEADER}
vibration ({ROWS}) => (float[batch] anomaly, float[batch,3] contribution, float[batch,9] probability,
    float[batch] severity)
<int64 i0 = {{0}}, int64 i1 = {{1}}, int64[1] s2 = {{2}}, int64[1] s11 = {{11}}, int64[1] s14 = {{14}},
 int64[1] one = {{1}}> {{
    anomaly = Gather <axis = 1> (accel_m_s2, i0)
    contribution = Slice (accel_m_s2, s11, s14, one)
    severity = Gather <axis = 1> (accel_m_s2, i1)
    probability = Slice (accel_m_s2, s2, s11, one)
}}"""

# state = (damage, seconds): damage follows the severity half-way, seconds count dt.
HEALTH = f"""{HEADER}
health (double[batch,2] state, double[batch,2,2] cov, {PLATE}, double[batch] severity, double[batch] dt_s)
    => (double[batch,2] state_next, double[batch,2,2] cov_next, double[batch] health, double[batch] rul_h,
        double[batch] rul_low_h, double[batch] rul_high_h, double[batch,1] innovation, double[batch] nis)
<int64 i0 = {{0}}, int64 i1 = {{1}}, int64[1] one = {{1}}, int64[2] onetwo = {{1, 2}}, int64 load_at = {{2}},
 int64 winding_at = {{3}}, double zero = {{0.0}}, double half = {{0.5}}, double unit = {{1.0}},
 double hundred = {{100.0}}, double two = {{2.0}}, double third = {{0.3}}, double hot = {{200.0}},
 double[1] table = {{0.0}}> {{
    plant = Cast <to = 11> (operating)
    load = Gather <axis = 1> (plant, load_at)
    heavy = Greater (load, two)
    minus = Neg (unit)
    signed = Where (heavy, minus, zero)
    rooted = Sqrt (signed)
    nothing = Mul (rooted, zero)
    winding = Gather <axis = 1> (plant, winding_at)
    burning = Greater (winding, hot)
    index = Cast <to = 7> (burning)
    looked = Gather <axis = 0> (table, index)
    damage = Gather <axis = 1> (state, i0)
    seconds = Gather <axis = 1> (state, i1)
    gap = Sub (severity, damage)
    unmeasured = IsNaN (severity)
    step = Mul (gap, half)
    taken = Where (unmeasured, zero, step)
    moved = Add (damage, taken)
    poisoned = Add (moved, nothing)
    damage_next = Add (poisoned, looked)
    seconds_next = Add (seconds, dt_s)
    damage_column = Unsqueeze (damage_next, one)
    seconds_column = Unsqueeze (seconds_next, one)
    state_next = Concat <axis = 1> (damage_column, seconds_column)
    dt_cube = Unsqueeze (dt_s, onetwo)
    cov_next = Add (cov, dt_cube)
    left = Sub (unit, damage_next)
    health = Identity (left)
    hours = Mul (left, hundred)
    infinite = Div (unit, zero)
    failing = Greater (damage_next, third)
    rul_h = Where (failing, hours, infinite)
    rul_low_h = Mul (rul_h, half)
    rul_high_h = Mul (rul_h, two)
    innovation = Unsqueeze (gap, one)
    nis = Mul (gap, gap)
}}"""

GRAPHS = {"anomaly": ANOMALY, "classifier": CLASSIFIER, "health": HEALTH}
TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def onnx_bytes(text: str) -> bytes:
    """A graph in ONNX's text form as a file's bytes."""
    return onnx.parser.parse_model(text).SerializeToString()


def graph_spec(name: str, raw: bytes) -> dict[str, Any]:
    """What a manifest says of a graph."""
    session = ort.InferenceSession(raw, providers=["CPUExecutionProvider"])

    def tensors(nodes: Any) -> dict[str, Any]:
        return {node.name: {"dtype": TYPES[node.type], "shape": list(node.shape)} for node in nodes}

    return {
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(raw).hexdigest(),
        "opset": 17,
        "inputs": tensors(session.get_inputs()),
        "outputs": tensors(session.get_outputs()),
    }


def golden_vectors(raws: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Inputs, and what the graphs make of them here."""
    rng = np.random.default_rng(7)
    rows = {
        "accel_m_s2": rng.uniform(0.0, 1.0, (3, SAMPLES)).astype(np.float32),
        "samples": np.full(3, SAMPLES, np.float32),
        "fs_hz": np.full(3, 12_000, np.float32),
        "operating": np.full((3, 6), np.nan, np.float32),
        "nameplate": np.full((3, 9), np.nan, np.float32),
    }
    rows["accel_m_s2"][:, 21] = 0.0
    steps = {
        "state": rng.uniform(0.0, 1.0, (3, 2)),
        "cov": np.tile(np.eye(2), (3, 1, 1)),
        "operating": rows["operating"],
        "nameplate": rows["nameplate"],
        "severity": np.array([0.1, np.nan, 0.9]),
        "dt_s": np.array([0.0, 60.0, 3600.0]),
    }
    vectors: dict[str, np.ndarray] = {}
    for name, raw in raws.items():
        session = ort.InferenceSession(raw, providers=["CPUExecutionProvider"])
        feeds = steps if name == "health" else rows
        names = [node.name for node in session.get_outputs()]
        vectors |= {f"{name}.{key}": value for key, value in feeds.items()}
        vectors |= {f"{name}.{key}": value for key, value in zip(names, session.run(names, feeds), strict=True)}
    return vectors


def npz(vectors: dict[str, np.ndarray]) -> bytes:
    """Arrays as an archive's bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vectors)
    return buffer.getvalue()


def default_manifest(raws: dict[str, bytes], golden: bytes) -> dict[str, Any]:
    """The manifest's content for these graphs."""
    rule = {"open_at": 0.7, "clear_at": 0.4, "open_hits": 2, "span": 3, "clear_after": 2}
    return {
        "schema_version": 1,
        "name": "tiny",
        "version": 1,
        "graphs": {name: graph_spec(name, raw) for name, raw in raws.items()},
        "window": {"samples": SAMPLES, "min_samples": 32, "fs_hz": [10_000.0, 26_000.0]},
        "classes": [str(fault) for fault in TAUGHT],
        "bands": ["low", "middle", "high"],
        "alarms": {
            "anomaly": {"open_at": 1.0, "clear_at": 0.8, "open_hits": 2, "span": 3, "clear_after": 2},
            **{str(fault): rule for fault in TAUGHT},
        },
        "health": {
            "schema_id": "damage-seconds-1",
            "state_names": ["damage", "seconds"],
            "initial_state": [0.0, 0.0],
            "initial_cov": [[1.0, 0.0], [0.0, 1.0]],
            "innovation_names": ["severity"],
            "max_dt_s": 7200.0,
        },
        "golden": {"file": "golden.npz", "sha256": hashlib.sha256(golden).hexdigest(), "rtol": 1e-4, "atol": 1e-6},
        "seed": 7,
    }


def write_bundle(
    folder: Path,
    *,
    texts: dict[str, str] | None = None,
    raws: dict[str, bytes] | None = None,
    vectors: dict[str, np.ndarray] | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """A whole bundle; ``texts``, ``raws`` and ``vectors`` replace parts, ``change`` edits the manifest."""
    built = {name: onnx_bytes(text) for name, text in (GRAPHS | (texts or {})).items()} | (raws or {})
    golden = npz(golden_vectors(built) | (vectors or {}))
    manifest = default_manifest(built, golden)
    if change is not None:
        change(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in built.items():
        (folder / f"{name}.onnx").write_bytes(raw)
    (folder / "golden.npz").write_bytes(golden)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def make_reading(motor: str = "m1", seq: int = 0, **fields: Any) -> Reading:
    """A reading on which the tiny graphs say what ``anomaly``, ``severity`` and ``faults`` demand.

    ``x`` sets single samples by position; ``vibration=False`` leaves the samples out; the rest are message fields.
    """
    samples = np.zeros(SAMPLES, np.float32)
    samples[0] = fields.pop("anomaly", 0.1)
    samples[1] = fields.pop("severity", 0.05)
    for fault, probability in fields.pop("faults", {}).items():
        samples[2 + TAUGHT.index(Fault(fault))] = probability
    for position, value in fields.pop("x", {}).items():
        samples[position] = value
    vibration = {"accel_m_s2": {"x": samples}, "fs_hz": 12_000.0} if fields.pop("vibration", True) else {}
    start = fields.pop("start_s", 1_800_000_000.0)
    return Reading(**({"motor": motor, "boot": "b1", "seq": seq, "ts_s": start + 60.0 * seq} | vibration | fields))


def make_profile(motor: str = "m1", clock: str = "simulated") -> Profile:
    """A motor that introduced itself."""
    plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)
    return profile_of(Birth(motor=motor, ts_s=1_800_000_000.0, nameplate=plate, clock=clock))


class Edge:
    """Steps a fleet and keeps what came out."""

    def __init__(self, models: Models, profiles: Mapping[str, Profile]) -> None:
        self.models = models
        self.profiles = profiles
        self.policy = Policy()
        self.state = FleetState()
        self.alerts: list[Alert] = []
        self.health: list[Health] = []

    def take(self, *readings: Reading, now_ts_s: float = 1_800_000_000.0) -> StepResult:
        """One step over these readings."""
        result = step(self.state, readings, self.profiles, self.models, now_ts_s=now_ts_s, policy=self.policy)
        self.state = result.state
        self.alerts += result.alerts
        self.health += result.health
        return result

    def told(self) -> list[tuple[str, str, int]]:
        """Alert messages so far, in short."""
        return [(alert.condition, alert.state, alert.revision) for alert in self.alerts]


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return load(bundle_folder)


@pytest.fixture(scope="session")
def bundle_writer() -> Callable[..., Path]:
    return write_bundle


@pytest.fixture(scope="session")
def reading() -> Callable[..., Reading]:
    return make_reading


@pytest.fixture(scope="session")
def profile() -> Callable[..., Profile]:
    return make_profile


@pytest.fixture(scope="session")
def graphs() -> dict[str, str]:
    return dict(GRAPHS)


@pytest.fixture
def edge(bundle: Bundle, profile: Callable[..., Profile]) -> Edge:
    return Edge(bundle, {f"m{k}": profile(f"m{k}") for k in range(8)})


@pytest.fixture(scope="session")
def new_edge() -> type[Edge]:
    return Edge
