"""The model bundle's manifest: what the graphs are, what they expect, and the numbers the edge decides with.

A bundle is a folder: ``manifest.json``, three graphs and at will a merged one, ``golden.npz``. Everything the edge
needs beyond the graphs is here, so that no threshold, class order or window length stands in code.

Graph inputs (batch ``B``, one row per axis and window; names are message fields)::

    accel_m_s2  float32 (B, window.samples)  zero-padded behind ``samples`` valid ones
    samples     float32 (B,)                 how many are valid, window.min_samples..window.samples
    fs_hz       float32 (B,)                 sampling rate, within window.fs_hz
    operating   float32 (B, 6)               signals.OPERATING, NaN where missing
    nameplate   float32 (B, 9)               signals.NAMEPLATE, NaN where unknown

``anomaly``     those -> anomaly (B,) float32, 1 at the calibrated threshold; contribution (B, K) float32
``classifier``  those -> probability (B, C) float32, independent per fault; severity (B,) float32 in 0..1
``health``      state (B, S), cov (B, S, S) float64; operating, nameplate float32; severity, dt_s (B,) float64,
                severity NaN without vibration
                -> state_next, cov_next, health (B,), rul_h, rul_low_h, rul_high_h (B,) float64 (inf: no end in sight),
                at will rul_q25_h, rul_q75_h (B,), innovation (B, M) (NaN where unmeasured), at will that over its
                deviation as normalised (B, M), nis (B,)
``vibration``   may come with them: what ``anomaly`` and ``classifier`` answer, from one spectrum instead of two. The
                edge runs it in their place once it has reproduced their golden vectors.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.contract.faults import CONDITIONS, Fault
from service.contract.sketch import SketchSpec

GRAPHS = ("anomaly", "classifier", "health")
MERGED: Final = "vibration"
"""The graph that answers for ``anomaly`` and ``classifier`` together."""
GraphName = Literal["anomaly", "classifier", "health", "vibration"]
MANIFEST_FILE = "manifest.json"
SCHEMA = 1

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="a bare file name")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(_Part):
    """One graph input or output; ``"batch"`` marks the free dimension."""

    dtype: Literal["float32", "float64"]
    shape: tuple[int | Literal["batch"], ...]


class GraphSpec(_Part):
    """One ONNX file and what goes in and out of it."""

    file: FileName
    sha256: Digest
    opset: int
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


class WindowSpec(_Part):
    """What a model row is made of."""

    samples: Annotated[int, Field(ge=64, le=65_536)]
    min_samples: Annotated[int, Field(ge=1)]
    fs_hz: tuple[Positive, Positive]


class AlarmSpec(_Part):
    """When a condition opens and clears.

    It opens at ``open_hits`` of the last ``span`` readings over ``open_at``, and clears after ``clear_after`` readings
    in a row under ``clear_at``.
    """

    open_at: Positive
    clear_at: Positive
    open_hits: Annotated[int, Field(ge=1, le=64)]
    span: Annotated[int, Field(ge=1, le=64)]
    clear_after: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _ordered(self) -> AlarmSpec:
        if self.clear_at > self.open_at or self.open_hits > self.span:
            raise ValueError("clear_at must not exceed open_at, nor open_hits the span")
        return self


class HealthSpec(_Part):
    """The filter's state: its names, the state and covariance of a motor seen for the first time."""

    schema_id: Annotated[str, Field(description="changes when the state's meaning does; a filter is reset then")]
    state_names: tuple[str, ...]
    initial_state: tuple[float, ...]
    initial_cov: tuple[tuple[float, ...], ...]
    innovation_names: tuple[str, ...]
    max_dt_s: Annotated[Positive, Field(description="a longer gap is predicted over as this long")]

    @model_validator(mode="after")
    def _square(self) -> HealthSpec:
        size = len(self.state_names)
        if len(self.initial_state) != size or [len(row) for row in self.initial_cov] != [size] * size:
            raise ValueError("initial_state and initial_cov must match state_names")
        return self


Temperature = Literal["winding_c", "housing_c"]
"""Whose innovations are followed. A severity that leaves its path is a fault, which has an alarm of its own."""


class InnovationSpec(_Part):
    """When a temperature has left what the filter expects of it, see ``service.innovation``."""

    block_s: Annotated[Positive, Field(description="innovations are averaged over so long")]
    settling_blocks: Annotated[
        int, Field(ge=0, le=10_000, description="left out at the start, while the filter settles")
    ]
    learning_blocks: Annotated[int, Field(ge=8, le=10_000)]
    reference: Annotated[Positive, Field(description="of the CUSUM, in the motor's own deviations")]
    limits: Annotated[dict[Temperature, Positive], Field(min_length=2, description="of the CUSUM, for both")]
    false_alarm_h: Annotated[Positive, Field(description="mean time to a false finding of one signal of one motor")]


class GoldenSpec(_Part):
    """Vectors that the graphs must reproduce on this machine: arrays ``<graph>.<input>`` and ``<graph>.<output>``."""

    file: FileName
    sha256: Digest
    rtol: Positive
    atol: Positive


class CardSpec(_Part):
    """The model card: for people, generated by training, verified like every other file."""

    file: FileName
    sha256: Digest


class Manifest(_Part):
    """The whole bundle. Its digest (sha256 of the manifest's bytes) names the model everywhere."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    version: Annotated[int, Field(ge=1)]
    graphs: dict[GraphName, GraphSpec]
    window: WindowSpec
    classes: tuple[Fault, ...]
    bands: Annotated[tuple[str, ...], Field(description="names of anomaly's contribution columns")]
    alarms: Annotated[dict[str, AlarmSpec], Field(description="per condition; 'anomaly' and every class")]
    health: HealthSpec
    golden: GoldenSpec
    seed: int
    training: Annotated[dict[str, str], Field(description="how it was made, for the model card")] = {}
    metrics: Annotated[dict[str, float], Field(description="held-out; ``.lo`` and ``.hi`` are its 95 % interval")] = {}
    card: Annotated[CardSpec | None, Field(description="absent in bundles of earlier versions")] = None
    innovation: Annotated[
        InnovationSpec | None, Field(description="without it the filter's innovations are not followed")
    ] = None
    sketch: Annotated[SketchSpec | None, Field(description="of the training's inputs; without it drift is unknown")] = (
        None
    )

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        if set(self.graphs) - {MERGED} != set(GRAPHS):
            raise ValueError(f"graphs must be {GRAPHS}, and may be {MERGED} too")
        wanted = {"anomaly", *self.classes}
        if set(self.alarms) != wanted:
            raise ValueError(f"alarms must name exactly {sorted(wanted)}")
        if not wanted <= set(CONDITIONS):
            raise ValueError("unknown condition")
        if self.innovation is not None and not set(self.innovation.limits) <= set(self.health.innovation_names):
            raise ValueError("innovation.limits must name innovations of the filter")
        if self.window.min_samples > self.window.samples:
            raise ValueError("window.min_samples exceeds window.samples")
        return self
