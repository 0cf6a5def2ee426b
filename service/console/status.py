"""``motor status``: the fleet, most urgent first, or one motor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.console import options
from service.console.exits import AMISS, DONE
from service.console.terminal import Terminal, ago, clean, life, local, number

if TYPE_CHECKING:
    import argparse

HEAD = ("MOTOR", "NAME", "STATE", "DIAGNOSIS", "HEALTH", "LIFE LEFT", "HEARD")
_URGENCY = {"alarm": 0, "warning": 1, "silent": 2, "ok": 3}
_ENDLESS_H = 1e12


def declare(commands: Any, parent: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("status", parents=[parent], help="the fleet, most urgent first, or one motor")
    parser.add_argument("motor", nargs="?", help="one motor's id")
    parser.set_defaults(command=_run)


def _run(chosen: argparse.Namespace) -> int:
    edge, terminal = options.edge(chosen), Terminal()
    if chosen.motor is not None:
        detail = edge.get("v1", "motors", chosen.motor)
        return _motor(detail, terminal, as_json=chosen.json)
    _, ready = edge.status("health", "ready")
    site, motors = edge.get("v1", "site"), edge.get("v1", "motors")["motors"]
    code = DONE if ready is not None and ready["status"] == "ready" else AMISS
    if chosen.json:
        terminal.document({"site": site, "readiness": ready, "motors": motors})
        return code
    say_readiness(terminal, site, ready)
    for line in fleet(terminal, motors):
        terminal.say(line)
    return code


def say_readiness(terminal: Terminal, site: dict[str, Any], ready: dict[str, Any] | None) -> None:
    """One line on the edge, one for each thing that is amiss."""
    status = "unready" if ready is None else ready["status"]
    look = {"ready": "ok", "degraded": "warning"}.get(status, "alarm")
    terminal.say(f"{clean(site['node'])}: {terminal.painted(status, look)}, motortwin {site['version']}")
    for reason in [] if ready is None else ready["reasons"]:
        terminal.say(f"  {clean(reason)}")


def fleet(terminal: Terminal, motors: list[dict[str, Any]]) -> list[str]:
    """The table of the fleet, or what to do where there is none."""
    if not motors:
        return ["no motor has introduced itself; publish a retained birth message, or add [motors.ID] to the settings"]
    ordered = sorted(motors, key=_urgency)
    return terminal.table(HEAD, [_row(motor) for motor in ordered], [state(motor) for motor in ordered])


def state(motor: dict[str, Any]) -> str:
    """In one word: silent where the sensor is not heard and nothing worse is known."""
    known = motor["health"]["state"] if motor["health"] else None
    if known in (None, "ok") and motor["availability"] == "silent":
        return "silent"
    return known or "unheard"


def _urgency(motor: dict[str, Any]) -> tuple[int, float, str]:
    rul_h = (motor["health"] or {}).get("rul_h")
    return _URGENCY.get(state(motor), len(_URGENCY)), _ENDLESS_H if rul_h is None else rul_h, motor["motor"]


def _row(motor: dict[str, Any]) -> tuple[str, ...]:
    health = motor["health"] or {}
    told = (number(None if (part := health.get("health")) is None else 100 * part, ".0f", " %"), life(motor["health"]))
    diagnosis = str(health.get("diagnosis", "-")).replace("_", " ")
    return (motor["motor"], motor["name"] or "-", state(motor), diagnosis, *told, ago(motor["heard_ts_s"]))


def _motor(detail: dict[str, Any], terminal: Terminal, *, as_json: bool) -> int:
    code = AMISS if detail["open_alerts"] else DONE
    if as_json:
        terminal.document(detail)
        return code
    for line in terminal.table(HEAD, [_row(detail)], [state(detail)]):
        terminal.say(line)
    health = detail["health"] or {}
    likely = sorted(health.get("probabilities", {}).items(), key=lambda pair: -pair[1])[:3]
    facts = {
        "anomaly": number(health.get("anomaly"), ".2f"),
        "likely": ", ".join(f"{fault.replace('_', ' ')} {share:.2f}" for fault, share in likely if share >= 0.01)
        or "-",
        "driven by": ", ".join(
            f"{name.replace('_', ' ')} {share:.0%}" for name, share in (health.get("contributions") or {}).items()
        )
        or "-",
        "missing": ", ".join(health.get("missing", ())) or "-",
    }
    for label, text in facts.items():
        terminal.say(f"  {label:<10} {clean(text)}")
    for alert in detail["open_alerts"]:
        terminal.say(
            f"  {terminal.painted('alert', 'alarm')} since {local(alert['opened_ts_s'])}: {clean(alert['reason'])}"
        )
        terminal.say(f"        {clean(alert['id'])}")
    return code
