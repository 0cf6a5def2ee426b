"""``motor models``: which bundle runs, bring another into use, call it off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from service.console import options
from service.console.exits import AMISS, DONE, REFUSED, Exit
from service.console.terminal import Terminal, clean

if TYPE_CHECKING:
    import argparse

    from service.console.edge import Edge

_TRIAL_S = 660.0  # the edge answers when the trial is over, which may take ten minutes by its settings
_POLL_S = 1.0
_UNDER_WAY = ("trial", "shadow", "soak")


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("models", parents=[parent], help="models in use and on their way; swap, rollback")
    acts = parser.add_subparsers(metavar="act")
    parser.set_defaults(command=_list)
    listing = acts.add_parser("list", parents=[parent], help="what runs and what is on its way (the default)")
    listing.set_defaults(command=_list)
    swap = acts.add_parser(
        "swap", parents=[parent], help="try an offered bundle and bring it into use; needs the token"
    )
    swap.add_argument("name", help="its folder's name in DATA/bundles/offered")
    swap.add_argument("--wait", action="store_true", help="until it is committed or has failed")
    swap.set_defaults(command=_swap)
    rollback = acts.add_parser(
        "rollback", parents=[parent], help="call off the bundle that is on its way, or go back to one that ran before"
    )
    rollback.add_argument(
        "--to", metavar="DIGEST", help="the bundle that ran before: its digest's first 12 digits or more"
    )
    rollback.set_defaults(command=_rollback)


def _list(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    model = edge.get("v1", "model")
    if chosen.json:
        terminal.document({"model": model, "repository": edge.post("v2", "repository", "index")})
        return DONE
    _say(terminal, model)
    return DONE


def _say(terminal: Terminal, model: dict[str, Any]) -> None:
    digest = model["digest"][:12]
    terminal.say(f"in use     {clean(model['name'])} version {model['version']}, release {model['release']}, {digest}")
    for one in model["earlier"]:
        terminal.say(f"ran before {clean(one['name'])} version {one['version']}, {one['digest'][:12]}")
    candidate = model["candidate"]
    if candidate is None:
        return
    look = "ok" if candidate["phase"] == "committed" else "warning" if candidate["phase"] in _UNDER_WAY else "alarm"
    phase = terminal.painted(candidate["phase"], look)
    reason = f": {clean(candidate['reason'])}" if candidate["reason"] else ""
    terminal.say(f"candidate  {clean(candidate['name'])} version {candidate['version']}, {phase}{reason}")
    if candidate["shadow_readings"]:
        told = f"{candidate['shadow_readings']} readings, {candidate['disagreement']:.1%} judged otherwise"
        terminal.say(f"           shadow: {told}, {candidate['slowdown']:.2f} times as slow")
    if candidate["soak_readings"]:
        terminal.say(f"           probation: {candidate['soak_readings']} readings")


def _swap(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    edge.post("v2", "repository", "models", chosen.name, "load", timeout_s=_TRIAL_S)
    model = edge.get("v1", "model")
    if chosen.wait:
        model = _settled(edge, terminal, quiet=chosen.json)
    phase = (model["candidate"] or {}).get("phase", "committed")
    if chosen.json:
        terminal.document(model)
    else:
        _say(terminal, model)
    return DONE if phase == "committed" or (phase in _UNDER_WAY and not chosen.wait) else AMISS


def _settled(edge: Edge, terminal: Terminal, *, quiet: bool) -> dict[str, Any]:
    told = ""
    while True:
        model: dict[str, Any] = edge.get("v1", "model")
        phase = (model["candidate"] or {}).get("phase", "committed")
        if phase not in _UNDER_WAY:
            return model
        if phase != told and not quiet:
            terminal.say(f"{phase} ...")
        told = phase
        time.sleep(_POLL_S)


def _rollback(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    if chosen.to is not None:
        model = edge.post("v1", "model", "back", body={"digest": chosen.to})
    else:
        model = _called_off(edge, terminal, quiet=chosen.json)
    if chosen.json:
        terminal.document(model)
    else:
        _say(terminal, model)
    return DONE


def _called_off(edge: Edge, terminal: Terminal, *, quiet: bool) -> dict[str, Any]:
    model = edge.get("v1", "model")
    candidate = model["candidate"]
    if candidate is None or candidate["phase"] not in _UNDER_WAY:
        ways = ", ".join(f"--to {one['digest'][:12]} (version {one['version']})" for one in model["earlier"])
        remedy = (
            f"go back with {ways}" if ways else "none that ran before is kept; sign the older one with a higher release"
        )
        raise Exit(REFUSED, f"no bundle is on its way or on probation; {remedy}")
    edge.post("v2", "repository", "models", candidate["name"], "unload")
    return _settled(edge, terminal, quiet=quiet)
