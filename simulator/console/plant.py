"""``plant``: a plant's failures, repairs and costs as events."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from pydantic import ValidationError

from simulator import limits, parquet
from simulator.console import options
from simulator.plant import COLUMNS, Event, Kind, Plant, PlantPlan, Summary

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Plays a plant as discrete events: motors age with load, temperature and speed, show first signs, fail, wait for a crew
and a spare part, are repaired, and cost money while they stand. The same plan and seed give the same events. Every
number of the plan is an option; --out takes .jsonl or .parquet.
"""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "plant", "play a plant of hundreds of motors as events", DETAILS)
    for name, field in PlantPlan.model_fields.items():
        about = f"{field.description}; " if field.description else ""
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=f"{about}default {field.default}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="events, .jsonl or .parquet; appears whole or not")
    parser.add_argument("--shifts", action="store_true", help="write load shifts too")
    parser.set_defaults(command=_plant)


def _plant(chosen: argparse.Namespace) -> int:
    given = {name: value for name in PlantPlan.model_fields if (value := getattr(chosen, name)) is not None}
    try:
        plan = PlantPlan.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).replace("_", "-")
        text = first["msg"]
        if first["type"] in limits.RANGE_ERRORS:
            text = f"must lie {limits.declared(PlantPlan, first['loc'])}"
        raise ValueError(f"--{option} {first['input']}: {text}") from None
    out: Path | None = chosen.out
    if out is not None and (out.suffix not in (".jsonl", ".parquet") or not out.parent.is_dir()):
        raise ValueError(f"--out {out}: must end in .jsonl or .parquet and lie in a folder that exists")
    try:
        plant = Plant(plan)
    except ImportError:
        raise ValueError("plant needs simpy; pip install 'motortwin[recordings]'") from None
    summary = plant.run()
    if out is not None:
        _write(out, [event for event in plant.events if chosen.shifts or event.kind != "load_shift"], plan)
    _say(plan, plant.events, summary)
    return 0


def _write(out: Path, events: list[Event], plan: PlantPlan) -> None:
    part = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".parquet":
            columns = {name: np.array([getattr(event, name) for event in events]) for name in COLUMNS}
            parquet.write(part, columns, plan.model_dump())
        else:
            part.write_text("".join(json.dumps(asdict(event)) + "\n" for event in events), encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _say(plan: PlantPlan, events: list[Event], summary: Summary) -> None:
    kinds = ", ".join(f"{kind} {sum(event.kind == kind for event in events)}" for kind in get_args(Kind))
    print(f"plant: {plan.motors} motors, {plan.days:g} days, seed {plan.seed}: {kinds}")
    print(f"failures by part: {', '.join(f'{part} {n}' for part, n in sorted(summary.failures.items())) or 'none'}")
    print(
        f"availability {summary.availability:.3%}, downtime {summary.downtime_h:.0f} h, "
        f"waited for crews {summary.waited_for_crew_h:.0f} h and spares {summary.waited_for_spare_h:.0f} h"
    )
    print(f"cost {summary.total_eur:,.0f} EUR: {summary.downtime_eur:,.0f} downtime, {summary.repair_eur:,.0f} repairs")
