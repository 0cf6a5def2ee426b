"""``validate``: the twin against real recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from simulator import preset, report, wear
from simulator.console import options
from simulator.validate import PRESET, Comparison, compare, identified, known_bearing, loads_apart

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Compares the twin with Case Western's drive-end fault recordings (cwru/cwru.tar.xz and MANIFEST.csv below MOTOR_DATA): a
classifier tries to tell their windows apart. AUROC 0.5: it cannot; 1.0: at a glance. Beside it the maximum mean
discrepancy of the two clouds of features (0: one and the same) and the features that give the twin away most. Once as
the preset of that rig, identified on loads 0 and 1 hp and judged on 2 and 3 hp, and once as the catalogue's defaults,
which are fitted to nothing. Then the twin's wear against PRONOSTIA's bearings run to failure
(femto_pronostia/*.npz), where they are there.
"""
OUT = Path("build/twin_validation.json")
OCCASIONS = 5
"""Times the preset is run: what it does not know of a load differs from one to the next."""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "validate", "compare the twin with real recordings", DETAILS)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="default MOTOR_DATA or data")
    parser.add_argument("--seed", type=options.seed, default=0, help="default 0")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE.json", help=f"figures, flat; default {OUT}")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="page with plots; default beside --out")
    parser.add_argument(
        "--identify", type=Path, metavar="FILE.toml", help="identify the preset anew, write it here and compare it"
    )
    parser.set_defaults(command=_validate)


def _validate(chosen: argparse.Namespace) -> int:
    folder = chosen.data or Path(os.environ.get("MOTOR_DATA") or "data")
    figures: dict[str, float] = {}
    rig = preset.named(PRESET) if chosen.identify is None else _identified(folder / "cwru", chosen)
    occasions = [list(compare(folder / "cwru", seed=chosen.seed + k, rig=rig)) for k in range(OCCASIONS)]
    fitted = occasions[0]
    drawn = list(compare(folder / "cwru", seed=chosen.seed))
    loads = list(loads_apart(folder / "cwru"))
    for key, title, repeats in (
        ("twin.c2st_auroc", f"preset, loads 2 and 3 hp, mean of {OCCASIONS} times the twin was run", occasions),
        ("twin.c2st_auroc_defaults", "defaults, all loads", [drawn]),
        ("real.c2st_auroc_other_loads", "for scale: recordings at loads 0 and 1 against 2 and 3 hp", [loads]),
    ):
        print(title)
        for again in zip(*repeats, strict=True):
            fault, areas = again[0].fault, [item.verdict.auroc for item in again]
            figures[f"{key}.{fault}"] = round(fmean(areas), 4)
            figures[f"{key.replace('c2st_auroc', 'mmd')}.{fault}"] = round(fmean(i.verdict.mmd for i in again), 4)
            print(_line(again))
    for key, repeats in (("twin", occasions), ("real", [loads])):
        strict = {
            again[0].fault: round(fmean(known_bearing(item) for item in again), 4)
            for again in zip(*repeats, strict=True)
        }
        figures |= {f"{key}.c2st_auroc_known_bearing.{fault}": area for fault, area in strict.items()}
        print(
            f"folds by recording instead of by bearing, {key}: {', '.join(f'{f} {a:.3f}' for f, a in strict.items())}"
        )
    worn = None
    if (folder / "femto_pronostia").is_dir():
        worn = wear.compare(folder / "femto_pronostia", seed=chosen.seed)
        share = worn[0]
        figures |= {
            "twin.femto_inside_share": round(share.inside, 4),
            "twin.femto_inside_share.rms": round(share.inside_rms, 4),
            "twin.femto_inside_share.kurtosis": round(share.inside_kurtosis, 4),
            "twin.femto_real_inside_others": round(share.real_inside_others, 4),
        }
        print(
            f"run to failure: {share.inside:.1%} of the twin's points inside the recorded bearings' envelope "
            f"(RMS {share.inside_rms:.1%}, kurtosis {share.inside_kurtosis:.1%}); "
            f"a recorded bearing inside the others' {share.real_inside_others:.1%}"
        )
    _write(chosen.out, "--out", json.dumps(figures, indent=2) + "\n")
    page = chosen.report or chosen.out.with_suffix(".html")
    sections = {"The rig's preset, loads 2 and 3 hp": fitted, "The catalogue's defaults, all loads": drawn}
    report.write(page, sections, worn, figures)
    print(f"written to {chosen.out} and {page}")
    return 0


def _identified(folder: Path, chosen: argparse.Namespace) -> preset.Preset:
    rig = identified(folder, seed=chosen.seed, progress=lambda name: print(f"identified {name}", flush=True))
    _write(chosen.identify, "--identify", preset.written(rig))
    return rig


def _write(path: Path, option: str, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ValueError(f"{option} {path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _line(again: tuple[Comparison, ...]) -> str:
    areas = [item.verdict.auroc for item in again]
    spread = f" ({min(areas):.3f}-{max(areas):.3f})" if len(areas) > 1 else ""
    item = again[0]
    worst = ", ".join(f"{name} {area:.2f}" for name, area in list(item.verdict.by_feature.items())[:4])
    count = sum(len(pair.real) for pair in item.pairs), sum(len(pair.twin) for pair in item.pairs)
    return (
        f"  {item.fault:<11} AUROC {fmean(areas):.3f}{spread}, MMD {fmean(i.verdict.mmd for i in again):.3f}  "
        f"({count[0]} real, {count[1]} twin windows)  gives it away: {worst}"
    )
