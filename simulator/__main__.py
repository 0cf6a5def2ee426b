"""Command line of the twin: ``python -m simulator run|replay|dataset|plot|plant|validate|list|demo``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from simulator.console import dataset, listing, options, plant, plot, replay, run, validate
from simulator.publish import DEFAULT_URL, URL_VARIABLE, BrokerError
from simulator.recording import RecordingError
from simulator.scenario import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (run, replay, dataset, plot, plant, validate, listing)

EPILOG = f"""\
examples:
  python -m simulator list                              what there is: faults, bearings, scenarios
  python -m simulator run demo --speedup 14400          eight motors, four simulated hours a second
  python -m simulator run my.toml --encoding json       your own scenario, readable messages
  python -m simulator replay 105.mat --motor rig-1 --bearing 6205 --fs-hz 12000 --speed-rpm 1797
  python -m simulator dataset 10000 --out windows.npz   labelled windows for training
  python -m simulator plant --motors 300 --crews 3      a year of a plant: failures, repairs, spares, cost
  python -m simulator plot inner_race --out picture.png waveform, spectra, trend

The broker is {URL_VARIABLE} (default {DEFAULT_URL}), for example mqtt://user:password@host:1883, or mqtts:// for TLS.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 lost messages, 2 a mistake that the last line explains."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:
        from simulator.demo import main as demo  # noqa: PLC0415 - the demo starts a service, nothing else here does

        return int(demo(arguments[1:]) or 0)
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except (ScenarioError, RecordingError, BrokerError, ValueError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser(
        prog="python -m simulator",
        description="The motor twin: plays motors that age and fail, and recordings of real ones, into MQTT.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in COMMANDS:
        module.declare(commands)
    # Shown in the help only; main() hands its arguments on as they are.
    commands.add_parser("demo", help="twin, service and broker in one terminal", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
