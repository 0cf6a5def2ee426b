"""The sketch of the training's healthy machines that travels in the manifest, see ``service.contract.sketch``.

Slopes come from the twin's sound windows, each motor against itself (its own mean taken out of everything), quantiles
from the windows as the models learn from them, disturbances included. Both depend on the seed and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from service.contract.manifest import MANIFEST_FILE, Manifest
from service.contract.sketch import AXIS_COUNT, CHANNELS, KINDS, SketchSpec, adjusted, bins, conditions, levels, ln_rms
from simulator import dataset
from training import atomic
from training.data import STREAMS, roughened

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.dataset import Windows

WINDOWS = 8192
STREAM = STREAMS - 1
"""Of its own within a seed's streams, behind every chunk that the models learn from."""
LOAD_EDGES = (0.3, 0.5, 0.7, 0.9)
SPEED_EDGES = (0.85,)
PROBABILITIES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
SILENT_SHARE = 0.2
"""Of the quietest healthy machine's RMS."""
BLOCK_S = 3600.0
LEARNING_BLOCKS = 48
TOLERATED = {"accel_m_s2": 0.05, "current_a": 0.05, "winding_c": 0.1, "housing_c": 0.1}
"""Of a temperature a tenth of the rated rise: it follows a changing load late and another way up than down."""
SOUGHT = {"accel_m_s2": 0.18, "current_a": 0.18, "winding_c": 0.2, "housing_c": 0.2}
"""A gain of 1.2 moves the logarithm by 0.182, one of 0.8 by 0.223, and a warm motor's temperature by about as much."""
FALSE_ALARM_H = 87_660.0
"""Ten years."""
_OF_KIND = [AXIS_COUNT - 1 + kind if kind else 0 for kind in range(len(KINDS))]


def sketch(seed: int, windows: int = WINDOWS) -> SketchSpec:
    """The sketch of this seed's healthy machines."""
    sound = dataset.windows(windows, seed=seed * STREAMS + STREAM, healthy_share=1.0)
    rough = roughened(sound, np.random.default_rng((seed, 3)))
    slopes = _slopes(sound)
    y, condition = _levels(rough, slopes), conditions(rough.operating, rough.nameplate)
    where = bins(condition, LOAD_EDGES, SPEED_EDGES)
    count = (len(LOAD_EDGES) + 1) * (len(SPEED_EDGES) + 1)
    quantiles = {
        kind: tuple(_quantiles(y[:, _OF_KIND[k]], where == at) for at in range(count)) for k, kind in enumerate(KINDS)
    }
    quietest = float(np.exp(np.nanquantile(_axes(rough)[:, 0], 0.001)))
    return SketchSpec(
        motors=len(np.unique(sound.motor)),
        slopes={kind: tuple(np.round(slopes[_OF_KIND[k]], 4).tolist()) for k, kind in enumerate(KINDS)},
        load_edges=LOAD_EDGES,
        speed_edges=SPEED_EDGES,
        probabilities=PROBABILITIES,
        quantiles=quantiles,
        silent_m_s2=round(SILENT_SHARE * quietest, 6),
        block_s=BLOCK_S,
        learning_blocks=LEARNING_BLOCKS,
        tolerated=TOLERATED,
        sought=SOUGHT,
        false_alarm_h=FALSE_ALARM_H,
    )


def put(folder: Path) -> str:
    """Gives a bundle the sketch of its own seed, without training it again; its new digest.

    Raises:
        OSError: the manifest cannot be read or written.
        ValueError: it is none.
    """
    file = folder / MANIFEST_FILE
    content = json.loads(file.read_bytes())
    content.pop("sketch", None)
    manifest = Manifest.model_validate_json(json.dumps(content))
    raw = (manifest.model_copy(update={"sketch": sketch(manifest.seed)}).model_dump_json(indent=1) + "\n").encode()
    atomic.file(file, raw)
    return hashlib.sha256(raw).hexdigest()


def _axes(sample: Windows) -> NDArray[np.float64]:
    """``ln`` RMS of each window as axis x, the other axes unknown."""
    out = np.full((len(sample.fs_hz), AXIS_COUNT), np.nan)
    out[:, 0] = [ln_rms(row[: int(valid)]) for row, valid in zip(sample.accel_m_s2, sample.samples, strict=True)]
    return out


def _levels(sample: Windows, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    level = levels(_axes(sample), sample.operating, sample.nameplate)
    return adjusted(level, conditions(sample.operating, sample.nameplate), slopes)


def _slopes(sample: Windows) -> NDArray[np.float64]:
    """What load, its square and speed do to each channel within one motor, ``(len(CHANNELS), 3)``, least squares."""
    condition = conditions(sample.operating, sample.nameplate)
    level = levels(_axes(sample), sample.operating, sample.nameplate)
    measured = ~np.isnan(sample.operating[:, 2])
    slopes = np.zeros((len(CHANNELS), 3))
    for k in range(len(KINDS)):
        channel = _OF_KIND[k]
        keep = measured & np.isfinite(level[:, channel])
        load = condition[keep, 0]
        x = np.stack((load, load**2, condition[keep, 1]), axis=1)
        owner = np.unique(sample.motor[keep], return_inverse=True)[1]
        x, y = _within(x, owner), _within(level[keep, channel, None], owner)
        # Extremes of a few machines must not set the slope for all: two rounds of setting them aside.
        kept = np.ones(len(x), dtype=np.bool_)
        for _ in range(3):
            slopes[channel] = np.linalg.lstsq(x[kept], y[kept, 0], rcond=None)[0]
            off = np.abs(y[:, 0] - x @ slopes[channel])
            kept = off <= 4.0 * np.median(off[kept])
    slopes[1:AXIS_COUNT] = slopes[0]
    return slopes


def _within(values: NDArray[np.float64], owner: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values less their owner's mean."""
    sums = np.zeros((owner.max() + 1, values.shape[1]))
    np.add.at(sums, owner, values)
    return np.asarray(values - (sums / np.bincount(owner)[:, None])[owner])


def _quantiles(y: NDArray[np.float64], here: NDArray[np.bool_]) -> tuple[float, ...]:
    """Of a bin, or of everything where the bin holds too little to tell a thousandth."""
    finite = np.isfinite(y)
    at = finite & here
    values = y[at if at.sum() >= 400 else finite]
    return tuple(np.round(np.quantile(values, PROBABILITIES), 4).tolist())
