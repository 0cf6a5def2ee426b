"""The model card: what a bundle is for, what it was made from, how good it is, where it fails; from its manifest alone.

The same manifest gives the same bytes, so that a card can be written anew and compared.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from service.contract.manifest import CardSpec

if TYPE_CHECKING:
    from service.contract.manifest import Manifest

FILE = "MODEL_CARD.md"
_WORST = 3
_FROM = 0.02
"""Confusions rarer than this are left to the manifest."""

_LIMITS = """\
- Every figure here is of the twin's own machines, held out by motor. Real machines differ; `make evaluate` measures on
  recordings of real ones, with the protocol beside every figure, and says where targets are missed.
- Faults that make no vibration, heat or current of their own (insulation, lubrication before it wears) are not named.
- Without a shaft speed and a bearing's geometry no bearing fault is named; without temperatures no cooling fault.
- An anomaly is a machine unlike those that were learnt from: a new machine that is sound may be one. Commission it
  (`python -m training train --data`).
- It advises maintenance. It is no protection device and must not be the only thing that stops a machine."""


def attached(manifest: Manifest) -> tuple[Manifest, bytes]:
    """The manifest with its card's digest, and the card."""
    raw = text(manifest).encode()
    spec = CardSpec(file=FILE, sha256=hashlib.sha256(raw).hexdigest())
    return manifest.model_copy(update={"card": spec}), raw


def text(manifest: Manifest) -> str:
    """The card, Markdown."""
    window, training = manifest.window, manifest.training
    graphs = [
        f"| {name} | {spec.opset} | {', '.join(spec.inputs)} | {', '.join(spec.outputs)} | `{spec.sha256[:12]}` |"
        for name, spec in manifest.graphs.items()
    ]
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "Generated from `manifest.json`; change nothing by hand, its digest is checked.",
        "## What it is for",
        (
            "Listening to electric motors and their bearings at the edge: an anomaly score, the probability "
            f"of {', '.join(fault.replace('_', ' ') for fault in manifest.classes)}, a filter for health and life left."
        ),
        (
            f"A window has {window.min_samples} to {window.samples} samples of acceleration in m/s^2 at "
            f"{window.fs_hz[0]:g} to {window.fs_hz[1]:g} Hz, with speed, current, load and temperatures where known."
        ),
        "## What it was made from",
        _lines([("seed", str(manifest.seed)), *((name, value) for name, value in training.items())]),
        "## Figures",
        _figures(manifest),
        "## Where it fails",
        _fails(manifest),
        _LIMITS,
        "## Graphs",
        "\n".join(["| graph | opset | inputs | outputs | sha256 |", "|---|---|---|---|---|", *graphs]),
        "## How to get the figures again",
        _again(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in pairs)


def _shown(manifest: Manifest, key: str) -> str:
    metrics = manifest.metrics
    if key not in metrics:
        return "-"
    interval = f" ({metrics[f'{key}.lo']:.4f}-{metrics[f'{key}.hi']:.4f})" if f"{key}.lo" in metrics else ""
    return f"{metrics[key]:.4f}{interval}"


def _figures(manifest: Manifest) -> str:
    rows = [
        f"| {fault.replace('_', ' ')} | {manifest.alarms[fault].open_at:g} | "
        + " | ".join(_shown(manifest, f"twin.{fault}.{name}") for name in ("recall", "precision", "false_rate"))
        + " |"
        for fault in manifest.classes
    ]
    head = ["| fault | opens at | recall | precision | falsely named |", "|---|---|---|---|---|"]
    classes = {f"twin.{fault}" for fault in manifest.classes}
    others = [
        f"- {key}: {_shown(manifest, key)}"
        for key in manifest.metrics
        if key.rpartition(".")[0] not in classes
        and not key.endswith((".lo", ".hi"))
        and not key.startswith("twin.confusion.")
    ]
    said = (
        "Shares of windows of held-out motors, in brackets the 95 % interval over motors; recall from severity 0.3 on."
    )
    return "\n\n".join([said, "\n".join([*head, *rows]), "\n".join(others)]).rstrip()


def _fails(manifest: Manifest) -> str:
    metrics = manifest.metrics
    recalls = sorted((metrics[key], fault) for fault in manifest.classes if (key := f"twin.{fault}.recall") in metrics)
    lines = [
        f"- {fault.replace('_', ' ')} is named in {recall:.0%} of windows only" for recall, fault in recalls[:_WORST]
    ]
    mistaken = sorted(
        ((value, key.split(".")[2:]) for key, value in metrics.items() if key.startswith("twin.confusion.")),
        key=lambda item: (-item[0], item[1]),
    )
    lines += [
        f"- {true.replace('_', ' ')} is taken for {name.replace('_', ' ')} in {value:.1%} of its windows"
        for value, (true, name) in mistaken[: 2 * _WORST]
        if value >= _FROM
    ]
    return "\n".join(lines)


def _again(manifest: Manifest) -> str:
    arguments = [
        f"--{name.removeprefix('argument.').replace('_', '-')} {value}"
        for name, value in manifest.training.items()
        if name.startswith("argument.")
    ]
    if not arguments:
        return "The manifest does not say with what arguments it was trained."
    command = f"    python -m training train --out build/models {' '.join(arguments)}"
    return f"{command}\n    make evaluate"
