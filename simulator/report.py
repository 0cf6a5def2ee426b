"""The validation as a page: per fault how the twin's features lie to the recordings', and wear against life."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.resemblance import FEATURES
from simulator.wear import BINS, MARGIN

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.validate import Comparison
    from simulator.wear import Curves, Wear

TELLING = 0.75
"""A feature that alone reaches this AUROC is named as one in which the twin fails to resemble."""


def write(
    path: Path,
    sections: dict[str, list[Comparison]],
    wear: tuple[Wear, Curves, Curves] | None,
    figures: dict[str, float],
) -> None:
    """Writes one HTML file with its pictures inside; it appears whole or not at all. ``ValueError`` where it cannot."""
    body = ["<h1>The twin against real machines</h1>", _table(figures)]
    for title, comparisons in sections.items():
        body.append(f"<h2>{html.escape(title)}</h2>")
        for item in comparisons:
            body += [
                f"<h3>{item.fault}: AUROC {item.verdict.auroc:.3f}, MMD {item.verdict.mmd:.3f}</h3>",
                f"<p>{_failing(item)}</p>",
                _features(item),
            ]
    if wear is not None:
        share, real, twin = wear
        body.append(f"<h2>Run to failure (PRONOSTIA): {share.inside:.0%} of the twin's points inside</h2>")
        body.append(_wear(real, twin))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The twin against real machines</title>'
        "<style>body{font-family:sans-serif;max-width:70em;margin:2em auto}td{padding:.1em .8em}</style>"
        + "\n".join(body)
        + "</html>\n"
    )
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ValueError(f"--report {path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _table(figures: dict[str, float]) -> str:
    lines = (f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in figures.items())
    return f"<table>{''.join(lines)}</table>"


def _failing(item: Comparison) -> str:
    telling = [f"{name} ({area:.2f})" for name, area in item.verdict.by_feature.items() if area >= TELLING]
    return f"Fails to resemble in: {', '.join(telling)}." if telling else "No single feature tells the two apart."


def _features(item: Comparison) -> str:
    """Means of every recording against the twin's, one panel a feature; crosses show one standard deviation."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is optional, only pictures need it

    figure = Figure(figsize=(12.0, 8.0), layout="constrained")
    for panel, (column, name) in zip(np.ravel(figure.subplots(3, 4)), enumerate(FEATURES), strict=True):
        real, twin = (np.array([getattr(pair, side)[:, column] for pair in item.pairs]) for side in ("real", "twin"))
        panel.errorbar(
            real.mean(axis=1), twin.mean(axis=1), xerr=real.std(axis=1), yerr=twin.std(axis=1), fmt=".", linewidth=0.6
        )
        low, high = float(min(real.min(), twin.min())), float(max(real.max(), twin.max()))
        panel.plot([low, high], [low, high], color="grey", linewidth=0.6, linestyle="--")
        panel.set(title=name, xlabel="recorded", ylabel="twin")
    return _svg(figure)


def _wear(real: Curves, twin: Curves) -> str:
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figure = Figure(figsize=(12.0, 4.0), layout="constrained")
    life = (np.arange(BINS) + 0.5) / BINS
    for panel, name in zip(figure.subplots(1, 2), ("rms", "kurtosis"), strict=True):
        seen, made = getattr(real, name), getattr(twin, name)
        panel.fill_between(life, seen.min(axis=0) - MARGIN, seen.max(axis=0) + MARGIN, alpha=0.25, label="recorded")
        panel.plot(life, seen.T, color="tab:blue", linewidth=0.5)
        panel.plot(life, np.quantile(made, (0.05, 0.5, 0.95), axis=0).T, color="tab:red", linewidth=1.0)
        panel.set(xlabel="share of life", title=f"log {name}; twin's 5, 50 and 95 % in red")
    return _svg(figure)


def _svg(figure: Any) -> str:
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    text = drawing.getvalue()
    return text[text.index("<svg") :]
