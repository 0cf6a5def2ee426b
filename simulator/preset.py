"""Presets: one real rig as identified from its recordings, specimen by specimen. Kept apart from the catalogue.

The catalogue's spreads describe motors nobody has met; a preset describes one test rig that somebody recorded: its
transmission path with sensor and front end, its noise, and how each seeded defect hits. The defaults never see it.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import catalogue, twin
from simulator.bearing import Contact
from simulator.faults import EFFECTS
from simulator.parameter import nominal, parameters
from simulator.path import Delay, Path
from simulator.population import built
from simulator.sensor import Sensors
from simulator.vibration import Background, Residue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.population import Machines

FOLDER = FilePath(__file__).parent / "presets"
FAULTS = tuple(Fault)
QUIET = 1e-6
"""Residual lines of a specimen: what they were is part of its identified noise."""

RATIO_MAX = 1000.0
"""Limit of the strike's ratio to the noise; beyond it the noise cannot be heard."""

WAVES = 6
"""Slow waves over the spectrum by which two windows of one specimen differ."""

OCCASION_WAVES = 12
"""Waves by which two recordings of one specimen differ: load, warmth and clamping change the path."""

Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Specimen(BaseModel):
    """One bearing with a seeded defect in the rig."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fault: Fault
    size_in: str
    position: str = ""
    severity: Annotated[float, Field(gt=0.0, le=1.0)]
    noise_m_s2: Annotated[Positive, Field(description="RMS of the noise at rated speed")]
    impact_m_s2: Annotated[Positive, Field(description="peak of the housing's answer to a strike in the load zone")]
    shaft_modulation: Share
    contact: Annotated[dict[str, float], Field(description="parameters of simulator.bearing.Contact")]
    effect: Annotated[dict[str, float], Field(description="parameters of the fault's physics")]
    delay: Annotated[dict[str, float], Field(description="of simulator.path.Delay")] = {}
    impact_scatter: Annotated[float, Field(ge=0.0, description="log-normal, from window to window")]
    spectrum_scatter: Annotated[float, Field(ge=0.0, description="log amplitude of slow waves over the spectrum")]
    occasion_scatter: Annotated[
        float, Field(ge=0.0, description="log amplitude of waves over the spectrum, between the identified recordings")
    ] = 0.0
    identified_rpm: Annotated[
        tuple[float, ...], Field(description="speeds of the recordings it was identified on")
    ] = ()
    impact_db: Annotated[tuple[float, ...], Field(min_length=16, description="even frequencies, 0 to half the rate")]
    noise_db: Annotated[tuple[float, ...], Field(min_length=16)]

    def strangeness(self, speed_rpm: float) -> float:
        """Scatter of an occasion at this speed over that between the identified recordings.

        Load changes the path in ways the preset does not know; they are taken as a random walk over speed. From the
        mean of two points a step apart, one ``d`` steps away is off by a variance of ``2 (d - 1/4)`` of theirs.
        """
        step = max(self.identified_rpm, default=0.0) - min(self.identified_rpm, default=0.0)
        if step <= 0.0:
            return 1.0
        away = abs(speed_rpm - sum(self.identified_rpm) / len(self.identified_rpm)) / step
        return float(np.sqrt(2.0 * max(away - 0.25, 0.25)))


class Preset(BaseModel):
    """A rig."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    title: str
    source: str
    rating: str
    bearing: str
    fs_hz: Positive
    specimen: tuple[Specimen, ...]

    def find(self, fault: Fault, size_in: str, position: str) -> Specimen:
        """The specimen of a recording; ``KeyError`` where the preset has none."""
        for item in self.specimen:
            if (item.fault, item.size_in, item.position) == (fault, size_in, position):
                return item
        raise KeyError(f"preset: no specimen {fault} {size_in} in {position}".rstrip())


@cache
def named(name: str) -> Preset:
    """A preset of the package; ``ValueError`` names those there are."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"preset {name!r}: unknown; known are {', '.join(sorted(p.stem for p in FOLDER.glob('*.toml')))}"
        )
    return parsed(path.read_text(encoding="utf-8"))


def parsed(text: str) -> Preset:
    """A preset from TOML."""
    return Preset.model_validate(tomllib.loads(text))


def windows(
    preset: Preset, specimen: Specimen, speed_rpm: float, count: int, samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Windows of a specimen at a speed: acceleration in m/s^2 ``(count, samples)`` and shaft frequencies ``(count,)``.

    All of them are one occasion, like a recording: heights and spectrum differ by the identified scatter, a little from
    window to window, more from one call to the next.
    """
    machines = _machines(preset, specimen, count, rng)
    levels = np.zeros((count, len(FAULTS)))
    levels[:, FAULTS.index(specimen.fault)] = specimen.severity
    # The load that makes this motor turn at this speed.
    slip = 1.0 - speed_rpm / machines.rating.synchronous_rpm
    state = twin.operate(machines, levels, np.clip(slip / machines.rating.slip, 0.02, 1.2))
    via = paths(preset, specimen, count, samples, rng, specimen.strangeness(speed_rpm))
    accel = twin.vibrate(machines, via, levels, state, rng)
    return machines.sensors.acceleration(accel, rng), state.operation.speed_rpm / 60.0


def paths(
    preset: Preset, specimen: Specimen, count: int, samples: int, rng: np.random.Generator, strangeness: float = 1.0
) -> Path:
    """The specimen's path in ``count`` windows of one occasion, as strange as ``Specimen.strangeness`` says."""
    knots = len(specimen.impact_db)
    tilt = specimen.spectrum_scatter * rng.standard_normal((count, WAVES)) / np.sqrt(WAVES)
    common = strangeness * specimen.occasion_scatter * rng.standard_normal(OCCASION_WAVES) / np.sqrt(OCCASION_WAVES)
    swing = np.exp(tilt @ waves(WAVES, knots) + common @ waves(OCCASION_WAVES, knots))
    impact, noise = (10.0 ** (np.array(db) / 20.0) * swing for db in (specimen.impact_db, specimen.noise_db))
    return Path.identified(np.full(count, preset.fs_hz), samples, impact, noise, Delay(**specimen.delay))


def waves(count: int, knots: int) -> NDArray[np.float64]:
    """The first ``count`` cosines over the spectrum, ``(count, knots)``."""
    return np.asarray(np.cos(np.pi * np.outer(np.arange(1, count + 1), np.linspace(0.0, 1.0, knots))))


def _machines(preset: Preset, specimen: Specimen, count: int, rng: np.random.Generator) -> Machines:
    machines = built(
        rng, [catalogue.named(preset.rating)] * count, [CATALOGUE[preset.bearing]] * count, np.full(count, preset.fs_hz)
    )
    # The physics states a strike as a ratio to the noise that grows with severity; here both heights are known.
    kind: Any = EFFECTS[specimen.fault]
    fixed = {"growth": 0.2, "load_share": 0.0} | specimen.effect
    ratio = specimen.impact_m_s2 / specimen.noise_m_s2 / specimen.severity ** fixed["growth"]
    ratios = np.minimum(ratio * np.exp(specimen.impact_scatter * rng.standard_normal(count)), RATIO_MAX)
    shape = {name: np.full(count, fixed.get(name, about.default)) for name, about in parameters(kind)}
    effect = kind(**shape | {"peak_ratio": ratios})
    silent = {name: QUIET for name, about in parameters(Residue) if about.unit in {"mm/s", "m/s^2"}}
    return replace(
        machines,
        contact=nominal(Contact, count, **specimen.contact),
        background=nominal(Background, count, rms_m_s2=specimen.noise_m_s2, shaft_modulation=specimen.shaft_modulation),
        residue=nominal(Residue, count, **silent),
        sensors=nominal(Sensors, count, fs_hz=preset.fs_hz, noise_m_s2=0.0, resolution_m_s2=0.002, range_m_s2=981.0),
        effects=machines.effects | {specimen.fault: effect},
    )


def written(preset: Preset) -> str:
    """The preset as TOML that ``named`` reads."""
    head = [f"{name} = {_value(value)}" for name, value in preset.model_dump(exclude={"specimen"}).items()]
    parts = ["\n".join(head)]
    for item in preset.specimen:
        body = item.model_dump(mode="json")
        parts.append("\n".join(["[[specimen]]", *(f"{name} = {_value(value)}" for name, value in body.items())]))
    return "\n\n".join(parts) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(number)}" for name, number in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(f"{number:.1f}" for number in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else str(value)
