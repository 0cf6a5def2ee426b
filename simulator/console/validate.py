"""``validate``: the twin against real recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.console import options
from simulator.validate import compare

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Compares the twin with Case Western's drive-end fault recordings (cwru/cwru.tar.xz and MANIFEST.csv below MOTOR_DATA): a
classifier tries to tell their windows apart. AUROC 0.5: it cannot; 1.0: at a glance. Beside it, the features that give
the twin away most. The twin is drawn from its catalogue defaults; nothing is fitted to the recordings.
"""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "validate", "compare the twin with real recordings", DETAILS)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="default MOTOR_DATA or data")
    parser.add_argument("--seed", type=options.seed, default=0, help="default 0")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="figures, flat")
    parser.set_defaults(command=_validate)


def _validate(chosen: argparse.Namespace) -> int:
    folder = chosen.data or Path(os.environ.get("MOTOR_DATA") or "data")
    figures: dict[str, float] = {}
    for fault, verdict, real, made in compare(folder / "cwru", seed=chosen.seed):
        figures[f"twin.c2st_auroc.{fault}"] = round(verdict.auroc, 4)
        worst = ", ".join(f"{name} {area:.2f}" for name, area in list(verdict.by_feature.items())[:4])
        print(f"{fault:<12} AUROC {verdict.auroc:.3f}  ({real} real, {made} twin windows)  gives it away: {worst}")
    if chosen.out is not None:
        try:
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--out {chosen.out}: cannot be written: {error.strerror}") from None
    return 0
