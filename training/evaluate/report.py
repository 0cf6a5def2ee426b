"""``evaluation.json``, flat, and ``index.html``, one page that stands alone."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.evaluate.figure import Figure, Section, Table

JSON_FILE = "evaluation.json"
PAGE_FILE = "index.html"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8885; padding: .15rem .7rem .15rem 0; text-align: left; vertical-align: top; }
td.n { text-align: right; } td.s { white-space: nowrap; }
code { font-size: .92em; }
.met { color: #18794e; font-weight: 600; } .short { color: #c1292e; font-weight: 600; }
.note { border-left: 3px solid #c1292e88; padding-left: .8rem; }
img { max-width: 100%; background: #fff; border-radius: 4px; }
details { margin: .4rem 0; }
"""


class Outcome(NamedTuple):
    """What became of one section: its result, or why there is none; and the seconds it took."""

    name: str
    section: Section | None
    skipped: str
    seconds: float


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """All figures, flat."""
    found: dict[str, float | None] = {}
    for outcome in outcomes:
        for figure in outcome.section.figures if outcome.section else ():
            found |= figure.entries()
    return found


def write(folder: Path, outcomes: Sequence[Outcome], about: Mapping[str, str]) -> None:
    """Both files, each whole or not at all.

    Args:
        folder: made where it is missing.
        outcomes: of the sections that ran, in order.
        about: what ran: bundle digest, seeds and the like.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flat = json.dumps(figures_of(outcomes), indent=1, allow_nan=False) + "\n"
    for name, text in ((JSON_FILE, flat), (PAGE_FILE, page(outcomes, about))):
        fresh = folder / f".{name}.part"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(folder / name)


def page(outcomes: Sequence[Outcome], about: Mapping[str, str]) -> str:
    """The page as HTML."""
    told = [figure for outcome in outcomes if outcome.section for figure in outcome.section.figures if figure.target]
    short = [figure for figure in told if figure.met is False]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>motortwin: evaluation</title>",
        f"<style>{_STYLE}</style><h1>How good the models are</h1>",
        "<p>" + ", ".join(f"{html.escape(key)} <code>{html.escape(value)}</code>" for key, value in about.items()),
        f"<p>{len(told) - len(short)} of {len(told)} targets met. Brackets are 95 % intervals.</p>",
        _figures(told),
    ]
    skipped = [outcome for outcome in outcomes if outcome.section is None]
    if skipped:
        parts.append("<h2>Not run</h2><ul>")
        parts += [f"<li><b>{html.escape(o.name)}</b>: {html.escape(o.skipped)}" for o in skipped]
        parts.append("</ul>")
    for outcome in outcomes:
        if outcome.section:
            parts += _section(outcome, outcome.section)
    return "\n".join(parts) + "\n</html>\n"


def line(figure: Figure) -> str:
    """One figure as a line of text."""
    verdict = {True: "met", False: "SHORT", None: ""}[figure.met]
    return f"  {figure.key:44s} {_number(figure.value):>9s} {_span(figure):20s} {figure.target:14s} {verdict}".rstrip()


def _section(outcome: Outcome, section: Section) -> list[str]:
    short = [figure for figure in section.figures if figure.met is False]
    parts = [
        f"<h2 id={html.escape(outcome.name)}>{html.escape(section.title)}</h2>",
        (
            f"<p>{html.escape(section.protocol)} <small>({outcome.seconds:.0f} s; "
            f"<code>python -m training evaluate --only {html.escape(outcome.name)}</code>)</small>"
        ),
        _figures(section.figures),
    ]
    if short or section.caveats:
        parts.append("<div class=note><b>Where this falls short</b><ul>")
        parts += [
            f"<li><code>{f.key}</code> is {_number(f.value)}, the target is {html.escape(f.target)}" for f in short
        ]
        parts += [f"<li>{html.escape(caveat)}" for caveat in section.caveats]
        parts.append("</ul></div>")
    parts += [f'<figure><img alt="{html.escape(p.title)}" src="{p.uri}"></figure>' for p in section.plots]
    parts += [_table(table) for table in section.tables]
    return parts


def _figures(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        verdict = {True: "<td class=met>met", False: "<td class=short>short", None: "<td>"}[figure.met]
        rows.append(
            f"<tr><td><code>{html.escape(figure.key)}</code><td class=n>{_number(figure.value)}"
            f"<td class=s>{_span(figure)}"
            f"<td class=s>{html.escape(figure.target)}{verdict}<td>{html.escape(figure.what)}"
        )
    return "<table><tr><th>figure<th>value<th>95 %<th>target<th><th>what" + "".join(rows) + "</table>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}" for cell in table.head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) for row in table.rows)
    shown = f"<table><tr>{head}{body}</table>"
    opened = " open" if len(table.rows) <= 12 else ""
    return f"<details{opened}><summary>{html.escape(table.title)}</summary>{shown}</details>"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "unbounded"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.4g}"


def _span(figure: Figure) -> str:
    if figure.lo is None or figure.hi is None or math.isnan(figure.lo):
        return ""
    return f"[{_number(figure.lo)}, {_number(figure.hi)}]"
