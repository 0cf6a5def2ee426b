"""``run``: a scenario into MQTT."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from simulator import scenario
from simulator.console import number, options
from simulator.fleet import Fleet
from simulator.publish import Broker, Link, publish

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Plays a scenario: births retained, then readings, and the truth on a topic of its own. With --speedup above 1 the births
say clock = "simulated", so that the service does not compare time stamps with its own clock.
"""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "run", "play a scenario", DETAILS)
    parser.add_argument("scenario", help="a TOML file, or the name of one that 'list' shows")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--speedup", type=number.rate, help="simulated seconds per second; default 1, inf as fast as it goes"
    )
    pace.add_argument("--rate", type=number.rate, help="readings per second and motor, instead of --speedup")
    parser.add_argument("--seed", type=options.seed, help="instead of the scenario's")
    options.transport(parser)
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    plan = scenario.load(chosen.scenario)
    if chosen.seed is not None:
        plan = plan.model_copy(update={"seed": chosen.seed})
    speedup = chosen.speedup or (chosen.rate * plan.step_h * 3600.0 if chosen.rate else 1.0)
    fleet = Fleet(plan, boot=f"twin-{uuid.uuid4().hex[:8]}", start_ts_s=time.time() if speedup == 1.0 else None)
    with Link(Broker.of(chosen.mqtt), encoding=chosen.encoding) as link, options.stopped_by_signal() as stop:
        print(f"{plan.title}: {len(plan.motor)} motors, {len(fleet)} readings each -> {link.broker}")
        publish(fleet, link, speedup=speedup, stop=stop)
        return options.report(link.close())
