"""Pictures for an engineer: waveform, spectra with the characteristic frequencies marked, and the trend."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import iso20816, spectrum
from simulator.fleet import Fleet
from simulator.recording import ARCHIVES, RecordingError, read
from simulator.replay import chosen
from simulator.scenario import ScenarioError, gallery, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract.bearing import BearingGeometry
    from simulator.unit import Unit

FORMATS = (".png", ".svg", ".pdf", ".html")
RECORDINGS = (".mat", ".npz", ".csv")
ENVELOPE_ORDERS = 12.0
"""The envelope spectrum is drawn up to this multiple of the shaft speed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn.

    ``accel_m_s2`` (n,) at ``fs_hz`` is the window; the trend is (T,) hours, velocity RMS in mm/s, kurtosis and, for the
    twin, the true severity.
    """

    title: str
    accel_m_s2: NDArray[np.float32]
    fs_hz: float
    speed_rpm: float | None
    bearing: BearingGeometry | None
    power_w: float
    trend_h: NDArray[np.float64]
    velocity_mm_s: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    severity: NDArray[np.float64] | None


def of_scenario(source: str, motor: str | None, at_h: float | None) -> Picture:
    """A motor of a scenario (default the first with a fault) at a time (default the end); raises ``ScenarioError``."""
    scenario = load(source)
    ids = [plan.id for plan in scenario.motor]
    wanted = motor or next((plan.id for plan in scenario.motor if plan.fault), ids[0])
    if wanted not in ids:
        raise ScenarioError(f"{source}: no motor {wanted!r}; it has {', '.join(ids)}")
    row, plan = ids.index(wanted), scenario.motor[ids.index(wanted)]
    axis = scenario.sampling.axes[0]
    fleet = Fleet(scenario)
    seen = [(t.truths[row], t.readings[row]) for t in fleet.ticks()]
    known = [(truth, reading) for truth, reading in seen if reading is not None and axis in reading.accel_m_s2]
    if not known:
        raise ScenarioError(f"{source}: motor {wanted!r} reports no vibration to draw; choose another with --motor")
    hours = np.array([(truth.ts_s - fleet.start_ts_s) / 3600.0 for truth, _ in known])
    index = len(known) - 1 if at_h is None else int(np.abs(hours - at_h).argmin())
    windows = [reading.accel_m_s2[axis] for _, reading in known]
    fs_hz = scenario.sampling.fs_hz
    reading = known[index][1]
    return Picture(
        title=f"{scenario.title}: {plan.name or plan.id} at {hours[index]:g} h",
        accel_m_s2=windows[index],
        fs_hz=fs_hz,
        speed_rpm=reading.speed_rpm or float(plan.plate().speed_rpm),
        bearing=plan.geometry(),
        power_w=float(plan.plate().power_w),
        trend_h=hours,
        velocity_mm_s=np.array([iso20816.velocity_rms_mm_s(window, fs_hz) for window in windows]),
        kurtosis=np.array([spectrum.indicators(window).kurtosis for window in windows]),
        severity=np.array([max(truth.faults.values(), default=0.0) for truth, _ in known]),
    )


def of_recording(
    source: str,
    *,
    bearing: BearingGeometry | None,
    channel: str | None = None,
    fs_hz: float | None = None,
    speed_rpm: float | None = None,
    unit: Unit | None = None,
    power_w: float = 1500.0,
    window: int = 8192,
) -> Picture:
    """A recording's first window and its course; raises ``RecordingError``."""
    recording = read(source, fs_hz=fs_hz, speed_rpm=speed_rpm, unit=unit)
    axes = chosen(recording, channel)
    if not axes or recording.fs_hz is None:
        raise RecordingError(f"{source}: no acceleration to draw")
    samples = next(iter(axes.values()))
    size = min(window, samples.shape[1])
    cut = samples[:, : samples.shape[1] // size * size].reshape(-1, size)
    step_s = recording.step_s or size / recording.fs_hz
    return Picture(
        title=recording.name,
        accel_m_s2=cut[0],
        fs_hz=recording.fs_hz,
        speed_rpm=recording.speed_rpm,
        bearing=bearing,
        power_w=power_w,
        trend_h=np.arange(len(cut)) * step_s / 3600.0,
        velocity_mm_s=np.array([iso20816.velocity_rms_mm_s(piece, recording.fs_hz) for piece in cut]),
        kurtosis=np.array([spectrum.indicators(piece).kurtosis for piece in cut]),
        severity=None,
    )


def is_recording(source: str) -> bool:
    """True for what ``recording`` reads; everything else is a scenario."""
    lower = source.lower()
    return source not in gallery() and (lower.endswith(RECORDINGS) or any(f"{kind}:" in lower for kind in ARCHIVES))


def save(picture: Picture, path: Path) -> None:
    """Draws to PNG, SVG, PDF or HTML; the file appears whole or not at all. ``ValueError`` where it cannot."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"--out {path}: must end in {', '.join(FORMATS)}")
    figure = _figure(picture)
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix.lower() == ".html":
            part.write_text(_html(figure, picture.title), encoding="utf-8")
        else:
            figure.savefig(part, format=path.suffix[1:].lower(), dpi=110)
        part.replace(path)
    except OSError as error:
        raise ValueError(f"--out {path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _figure(picture: Picture) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is optional, only pictures need it

    figure = Figure(figsize=(12.0, 9.0), layout="constrained")
    wave, lines, envelope, trend = figure.subplots(4, 1)
    figure.suptitle(picture.title)
    x, fs_hz = picture.accel_m_s2, picture.fs_hz
    shape = spectrum.indicators(x)
    wave.plot(np.arange(x.size) / fs_hz, x, linewidth=0.6)
    wave.set(xlabel="time / s", ylabel="m/s²", title=f"kurtosis {shape.kurtosis:.1f}, crest factor {shape.crest:.1f}")
    level = spectrum.amplitude(x, fs_hz)
    lines.loglog(level.f_hz[1:], level.amplitude[1:], linewidth=0.6)
    lines.set(xlabel="frequency / Hz", ylabel="m/s²", title="amplitude spectrum")
    squared = spectrum.envelope_spectrum(x, fs_hz)
    top_hz = ENVELOPE_ORDERS * (picture.speed_rpm / 60.0) if picture.speed_rpm else 500.0
    shown = (squared.f_hz > 0.0) & (squared.f_hz <= top_hz)
    envelope.plot(squared.f_hz[shown], squared.amplitude[shown], linewidth=0.8)
    envelope.set(xlabel="frequency / Hz", ylabel="(m/s²)²", title="squared envelope spectrum")
    if picture.speed_rpm and picture.bearing:
        for name, at_hz in spectrum.characteristic_hz(picture.bearing, picture.speed_rpm).items():
            for panel in (lines, envelope):
                panel.axvline(at_hz, color="tab:red", linewidth=0.7, linestyle="--")
                panel.annotate(name, (at_hz, 0.97), xycoords=("data", "axes fraction"), fontsize=8, va="top")
    _draw_trend(trend, picture)
    return figure


def _draw_trend(trend: Any, picture: Picture) -> None:
    trend.plot(picture.trend_h, picture.velocity_mm_s, label="velocity RMS / mm/s")
    for limit, colour in zip(iso20816.limits_mm_s(picture.power_w), ("green", "orange", "red"), strict=True):
        trend.axhline(limit, color=colour, linewidth=0.6, linestyle=":")
    trend.set(xlabel="time / h", ylabel="mm/s", title="trend with the zones of ISO 20816-1")
    other = trend.twinx()
    other.plot(picture.trend_h, picture.kurtosis, color="tab:purple", linewidth=0.8, label="kurtosis")
    if picture.severity is not None:
        other.plot(picture.trend_h, 10.0 * picture.severity, color="black", linewidth=0.8, label="10 x true severity")
    trend.legend(loc="upper left", fontsize=8)
    other.legend(loc="center left", fontsize=8)


def _html(figure: Any, title: str) -> str:
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    name = html.escape(title)
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>{drawing.getvalue()}</html>\n'
