"""``list``: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.contract.bearing import CATALOGUE
from simulator import scenario
from simulator.console import options
from simulator.faults import EFFECTS

if TYPE_CHECKING:
    import argparse


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    options.command(commands, "list", "show faults, bearings and scenarios").set_defaults(command=_list)


def _list(_: argparse.Namespace) -> int:
    print("faults")
    for fault, effect in EFFECTS.items():
        print(f"  {fault:<13} {effect.summary}")
    print("bearings            elements     FTF     BSF    BPFO    BPFI   (x shaft speed)")
    for name, geometry in CATALOGUE.items():
        orders = geometry.orders()
        print(f"  {name:<17} {geometry.elements:>8}" + "".join(f"{order:>8.4f}" for order in orders))
    print("scenarios")
    for name in scenario.gallery():
        plan = scenario.load(name)
        print(f"  {name:<15} {plan.title} ({len(plan.motor)} motors, {plan.duration_h:g} h)")
    return 0
