"""The report: one HTML file with tables and pictures."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from training.gan import tabular
from training.gan.choice import NONE
from training.gan.classifier import CLASSIFIERS
from training.gan.downstream import DOMAINS, STRATEGIES
from training.gan.findings import CLAIMS
from training.gan.score import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.gan.findings import Findings

STYLE = """body{font:14px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-size:12px}td,th{border:1px solid #ccc;padding:2px 7px;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}figcaption{font-size:12px;color:#555}
.win{background:#dff3df}.lose{background:#fbe3e3}code{background:#f3f3f3}"""


def quality_table(findings: Findings, domain: str) -> tuple[list[str], list[list[str]]]:
    """Rows per generator, mean and interval per score, over all draws that were scored."""
    draws = [
        r["qualities"]
        for j, r in findings.results.items()
        if j.kind == "draw" and j.domain == domain and r["qualities"]
    ]
    if not draws:
        return [], []
    names = list(draws[0]["real"])
    rows = []
    for source in draws[0]:
        cells = [source]
        for name in names:
            i = interval([d[source][name] for d in draws])
            own = source == "real" and name in {"memory_ratio", "copies"}
            cells.append("-" if own else f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]")
        rows.append(cells)
    return ["made by", *names], rows


def tabular_table(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """AI4I: means per strategy and classifier, and the paired PR-AUC and F1 differences with corrected intervals."""
    folds = [r for j, r in findings.results.items() if j.kind == "table"]
    if not folds:
        return [], []
    names = list(next(iter(folds[0].values())))
    rows = []
    for key in folds[0]:
        classifier = key.split("/")[1]
        cells = [key, *(f"{np.mean([f[key][n] for f in folds]):.3f}" for n in names)]
        for n in ("pr_auc", "f1"):
            delta = np.array([f[key][n] - f[f"none/{classifier}"][n] for f in folds])
            cells.append("-" if key.startswith("none/") else str(interval(delta, overlap=tabular.OVERLAP)))
        rows.append(cells)
    return ["strategy", *names, "delta PR-AUC", "delta F1"], rows


def page(findings: Findings) -> str:
    """The whole report as one HTML document without anything outside itself."""
    plan = findings.plan
    intro = (
        f"{plan.seeds} paired draws per setting, 95 % Student intervals over draws; draws share test machines, so "
        "intervals speak of new training failures, not of new fleets. Green: interval above zero; red: below."
    )
    legend = (
        "* strongest classifier without augmentation. The winner must beat none at a level corrected for the number of "
        "strategies; cross-fitted is what winners picked on other folds gain on each fold; only that opens the gate."
    )
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Rare failures, made and judged</title>",
        f"<style>{STYLE}</style><h1>Rare failures, made and judged</h1><p>{intro}</p><h2>Verdicts</h2><ul>",
        *(f"<li><code>{html.escape(line)}</code></li>" for line in findings.lines()),
        f"</ul><p>{legend}</p><h2>The claim: physics beats dreams, the two together beat both</h2>",
        _table(["domain", "K", "classifier", *(f"{a} - {b}" for a, b in CLAIMS)], findings.claims(), colour=3),
    ]
    for domain in plan.domains:
        parts.append(
            f"<h2>{domain}</h2><p>{html.escape(DOMAINS[domain].about)}. twin: {html.escape(DOMAINS[domain].twin)}.</p>"
        )
        for failures in plan.failures:
            parts += _setting(findings, domain, failures)
        parts.append(
            "<h3>Quality of made windows</h3><p>real: training windows against held-out ones, the control.</p>"
        )
        parts.append(_table(*quality_table(findings, domain)))
        for job, pictures in findings.results.items():
            if (job.kind, job.domain) == ("gallery", domain):
                parts += [
                    f"<figure><img alt='' src='data:image/png;base64,{png}'>"
                    f"<figcaption>{html.escape(caption)}</figcaption></figure>"
                    for caption, png in pictures
                ]
    parts.append(
        "<h2>AI4I 2020</h2><p>Rows; boosting and logistic regression on physics features; leak columns excluded.</p>"
    )
    parts.append(_table(*tabular_table(findings), colour=11))
    for job, flaw in findings.results.items():
        if job.kind == "flaw":
            parts.append("<h3>The literal 50-row windows, and what is wrong with them</h3>")
            parts.append(_table(["figure", "value"], [[k, f"{v:.3f}"] for k, v in flaw.items()]))
            parts.append(f"<p>{html.escape(flaw_text(flaw))}</p>")
    return "\n".join(parts) + "</html>\n"


def flaw_text(flaw: dict[str, float]) -> str:
    """What the measured flaw means."""
    return (
        f"{flaw['row_share']:.1%} of rows fail, {flaw['window_share']:.1%} of windows do: the rare class has become "
        f"the majority. Speed and torque have lag-1 autocorrelation {flaw['lag1_speed_rpm']:.3f} and "
        f"{flaw['lag1_torque_n_m']:.3f}: there is no sequence to learn. Overlapping windows split at random score "
        f"{flaw['pr_auc_random_split']:.3f}, split in time {flaw['pr_auc_time_split']:.3f}, where guessing scores "
        f"{flaw['window_share_after_cut']:.3f}; a classifier of single rows, its largest of 50, scores "
        f"{flaw['pr_auc_rows_time_split']:.3f}."
    )


def _setting(findings: Findings, domain: str, failures: int) -> list[str]:
    rows = []
    for strategy in STRATEGIES:
        cells = [strategy]
        for name in CLASSIFIERS:
            key = (domain, failures, name)
            cells += [
                f"{findings.of_seeds(key, strategy, m).mean():.3f}" for m in ("pr_auc", "f1", "recall_at_precision")
            ]
            cells.append("-" if strategy == NONE else str(findings.verdicts[key].deltas[strategy]))
        rows.append(cells)
    head = ["strategy"]
    for name in CLASSIFIERS:
        head += [f"{name} PR-AUC", "F1", "recall at 0.9", "delta PR-AUC"]
    return [f"<h3>K = {failures} real failures</h3>", _table(head, rows, colour=1)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], colour: int | None = None) -> str:
    """A table; with ``colour``, cells from that column on that are intervals are coloured by their sign."""
    out = ["<table><tr>", *(f"<th>{html.escape(h)}</th>" for h in head), "</tr>"]
    for row in rows:
        out.append("<tr>")
        for k, cell in enumerate(row):
            kind = _sign(cell) if colour is not None and k >= colour else ""
            out.append(f"<td{kind}>{html.escape(cell)}</td>")
        out.append("</tr>")
    return "".join(out) + "</table>"


def _sign(cell: str) -> str:
    if "[" not in cell:
        return ""
    low, high = (float(v) for v in cell[cell.index("[") + 1 : -1].split(","))
    return " class=win" if low > 0 else " class=lose" if high < 0 else ""
