"""Command line of the twin: ``python -m simulator run|replay|list|demo``."""

from __future__ import annotations

import argparse
import sys
import threading
import time
import uuid
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING

from pydantic import ValidationError

from service.contract import topics
from service.contract.bearing import CATALOGUE, BearingGeometry
from service.contract.messages import MAX_SAMPLES
from simulator import catalogue, scenario
from simulator.faults import EFFECTS
from simulator.fleet import Fleet
from simulator.parameter import OutOfRangeError
from simulator.publish import DEFAULT_URL, URL_VARIABLE, Broker, BrokerError, Link, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.publish import Counts

EPILOG = f"""\
examples:
  python -m simulator list                              what there is: faults, bearings, scenarios
  python -m simulator run demo --speedup 14400          eight motors, four simulated hours a second
  python -m simulator run my.toml --encoding json       your own scenario, readable messages
  python -m simulator replay 105.mat --motor rig-1 --bearing 6205 --fs-hz 12000 --speed-rpm 1797

The broker is {URL_VARIABLE} (default {DEFAULT_URL}), for example mqtt://user:password@host:1883, or mqtts:// for TLS.
"""

REPLAY_HELP = """\
Plays a recording of a real machine through the same messages: Case Western and MFPT .mat, FEMTO .npz, CSV whose header
names message fields (accel_m_s2.x, speed_rpm, ...). A rate that the bundle does not take is resampled, with anti-alias.
A MANIFEST.csv beside the recordings (columns file, fs_hz, rpm) fills in what the file does not say.
"""

RUN_HELP = """\
Plays a scenario: births retained, then readings, and the truth on a topic of its own. With --speedup above 1 the births
say clock = "simulated", so that the service does not compare time stamps with its own clock.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 lost messages, 2 a mistake that the last line explains."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:
        from simulator.demo import main as demo  # noqa: PLC0415 - the demo starts a service, nothing else here does

        return int(demo(arguments[1:]) or 0)
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (scenario.ScenarioError, BrokerError, ValueError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="The motor twin: plays motors that age and fail, and recordings of real ones, into MQTT.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="run|replay|list|demo")

    run = commands.add_parser(
        "run", help="play a scenario", description=RUN_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    run.add_argument("scenario", help="a TOML file, or the name of one that 'list' shows")
    run.add_argument(
        "--speedup",
        type=_positive,
        default=None,
        help="simulated seconds per second; default 1, inf as fast as it goes",
    )
    run.add_argument("--rate", type=_positive, default=None, help="readings per second and motor, instead of --speedup")
    run.add_argument("--seed", type=int, default=None, help="instead of the scenario's")
    _transport(run)
    run.set_defaults(command=_run)

    replay = commands.add_parser(
        "replay", help="play a recording", description=REPLAY_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    replay.add_argument("recording", help="a .mat, .npz or .csv file, or ARCHIVE.tar.xz:member")
    replay.add_argument("--motor", required=True, metavar="ID", type=_motor_id, help="motor id to publish as")
    replay.add_argument("--rate", type=_positive, help="readings per second; default as recorded")
    replay.add_argument("--bearing", help="a designation that 'list' knows, or ELEMENTS,ELEMENT_MM,PITCH_MM[,DEG]")
    replay.add_argument("--channel", help="publisher's channel, for example DE or FE; default DE, else all axes")
    replay.add_argument("--fs-hz", type=_positive, help="sampling rate, where the file does not say it")
    replay.add_argument("--speed-rpm", type=_positive, help="shaft speed, where the file does not say it")
    replay.add_argument("--target-fs-hz", type=_positive, help="resample to this rate; default as the bundle asks")
    replay.add_argument("--window", type=_window, help="samples per reading; default the bundle's")
    replay.add_argument("--rated-power-w", type=_positive, default=1500.0, help="for the nameplate (default 1500)")
    replay.add_argument("--rated-speed-rpm", type=_positive, help="for the nameplate; default the recorded speed")
    _transport(replay)
    replay.set_defaults(command=_replay)

    listing = commands.add_parser("list", help="show faults, bearings and scenarios")
    listing.set_defaults(command=_list)

    # Shown in the help only; main() hands the arguments on as they are.
    commands.add_parser("demo", help="twin, service and broker in one terminal", add_help=False)
    return parser


def _transport(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mqtt", metavar="URL", default=None, help=f"broker; default {URL_VARIABLE} or {DEFAULT_URL}")
    parser.add_argument("--encoding", choices=("cbor", "json"), default="cbor", help="of readings; cbor is int16")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return value


def _window(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SAMPLES:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number within 1..{MAX_SAMPLES}")
    return int(text)


def _motor_id(text: str) -> str:
    if not topics.is_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1-64 letters, digits, '_', '.' or '-'")
    return text


def _run(options: argparse.Namespace) -> int:
    plan = scenario.load(options.scenario)
    if options.seed is not None:
        plan = plan.model_copy(update={"seed": options.seed})
    speedup = options.speedup or (options.rate * plan.step_h * 3600.0 if options.rate else 1.0)
    fleet = Fleet(plan, boot=f"twin-{uuid.uuid4().hex[:8]}", start_ts_s=time.time() if speedup == 1.0 else None)
    with Link(Broker.of(options.mqtt), encoding=options.encoding) as link:
        print(f"{plan.title}: {len(plan.motor)} motors, {len(fleet)} readings each -> {link.broker}")
        publish(fleet, link, speedup=speedup, stop=stop_on_signal())
        return report(link.close())


def _replay(options: argparse.Namespace) -> int:
    # Late, so that playing scenarios works where no recording can be read.
    from simulator import replay as player  # noqa: PLC0415
    from simulator.recording import RecordingError, read  # noqa: PLC0415

    try:
        needs = player.Demand() if options.target_fs_hz and options.window else player.demand()
        recording = read(options.recording, fs_hz=options.fs_hz, speed_rpm=options.speed_rpm)
        if recording.fs_hz is not None:
            to_hz = options.target_fs_hz or player.target_fs_hz(recording.fs_hz, needs.fs_hz)
            if to_hz != recording.fs_hz:
                print(f"{recording.name}: {recording.fs_hz:g} Hz resampled to {to_hz:g} Hz")
            recording = player.resampled(recording, to_hz)
        with Link(Broker.of(options.mqtt), encoding=options.encoding) as link:
            player.replay(
                recording,
                link,
                options.motor,
                boot=f"replay-{uuid.uuid4().hex[:8]}",
                bearing=None if options.bearing is None else _geometry(options.bearing),
                rate_hz=options.rate,
                channel=options.channel,
                window=options.window,
                rated_power_w=options.rated_power_w,
                rated_speed_rpm=options.rated_speed_rpm,
                stop=stop_on_signal(),
                needs=needs,
            )
            return report(link.close())
    except RecordingError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2


def _geometry(text: str) -> BearingGeometry:
    """A catalogue name, or elements,element_mm,pitch_mm[,contact_deg]."""
    parts = text.split(",")
    if len(parts) not in (3, 4):
        return catalogue.bearing(text)
    try:
        elements, element_mm, pitch_mm, *contact = parts
        return BearingGeometry(
            designation="",
            elements=int(elements),
            element_mm=float(element_mm),
            pitch_mm=float(pitch_mm),
            contact_deg=float(contact[0]) if contact else 0.0,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OutOfRangeError(f"--bearing {text!r}: {where} {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise OutOfRangeError(f"--bearing {text!r}: {error}") from None


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
        print(f"  {name:<13} {plan.title} ({len(plan.motor)} motors, {plan.duration_h:g} h)")
    return 0


def stop_on_signal() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set, so that a run ends cleanly."""
    stop = threading.Event()
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: stop.set())
    return stop


def report(counts: Counts) -> int:
    """Prints what became of the messages; 1 if any stayed without an acknowledgement."""
    print(
        f"simulator: readings={counts.readings} published={counts.published} acknowledged={counts.acknowledged} "
        f"lost={counts.lost} connects={counts.connects}"
    )
    return 1 if counts.lost else 0


if __name__ == "__main__":
    sys.exit(main())
