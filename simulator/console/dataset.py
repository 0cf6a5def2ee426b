"""``dataset``: labelled windows into a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np

from service.contract.faults import TAUGHT, Fault
from service.contract.signals import NAMEPLATE, OPERATING
from simulator import parquet
from simulator.console import options
from simulator.dataset import windows

DETAILS = """\
Writes labelled windows of random motors with random faults to an .npz or .parquet, by the ending: accel_m_s2, samples,
fs_hz, operating, nameplate, severity, motor, and `about` (JSON: seed, fault and column order; in Parquet the schema's
metadata). The same seed gives the same arrays with any number of workers. Windows that share a motor must stay on one
side of a split.
"""
BAR = 30


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "dataset", "write labelled windows to a file", DETAILS)
    parser.add_argument("count", type=options.count, help="number of windows")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="appears whole or not at all")
    parser.add_argument("--seed", type=options.seed, default=0, help="default 0")
    parser.add_argument("--samples", type=options.samples, default=4096, help="samples per window (default 4096)")
    parser.add_argument("--healthy-share", type=_share, default=0.3, help="share without a fault (default 0.3)")
    parser.add_argument(
        "--faults", type=_faults, default=TAUGHT, metavar="FAULT,FAULT,...", help=f"default {','.join(TAUGHT)}"
    )
    parser.add_argument("--workers", type=options.count, default=1, help="processes (default 1)")
    parser.set_defaults(command=_dataset)


def _faults(text: str) -> tuple[Fault, ...]:
    names = text.split(",")
    unknown = sorted(set(names) - set(Fault))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no fault; known are {', '.join(Fault)}")
    return tuple(Fault(name) for name in names)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} must be a number within 0..1")
    return value


def _dataset(chosen: argparse.Namespace) -> int:
    out: Path = chosen.out
    if out.suffix not in (".npz", ".parquet"):
        raise ValueError(f"--out {out}: must end in .npz or .parquet")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: the folder {out.parent} does not exist")
    started = time.monotonic()
    made = windows(
        chosen.count,
        seed=chosen.seed,
        samples=chosen.samples,
        healthy_share=chosen.healthy_share,
        faults=chosen.faults,
        workers=chosen.workers,
        progress=_bar if sys.stderr.isatty() else None,
    )
    about = {
        "seed": chosen.seed,
        "faults": chosen.faults,
        "operating": OPERATING,
        "nameplate": NAMEPLATE,
        "healthy_share": chosen.healthy_share,
    }
    part = out.with_name(f".{out.name}.part")
    try:
        columns = {f.name: getattr(made, f.name) for f in fields(made)}
        if out.suffix == ".parquet":
            parquet.write(part, columns, about)
        else:
            with part.open("wb") as file:
                np.savez(file, about=np.array(json.dumps(about)), **columns)
        part.replace(out)
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    taken_s = time.monotonic() - started
    print(
        f"{out}: {chosen.count} windows of {chosen.samples} samples, seed {chosen.seed}, {chosen.count / taken_s:.0f}/s"
    )
    return 0


def _bar(done: int, whole: int) -> None:
    filled = BAR * done // whole
    end = "\n" if done >= whole else ""
    print(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done}/{whole}", end=end, file=sys.stderr, flush=True)
