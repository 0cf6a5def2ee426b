"""``replay``: a recording into MQTT."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING

from simulator.console import number, options
from simulator.playback import play
from simulator.publish import Broker, Link
from simulator.recording import read
from simulator.replay import Demand, demand, resampled, target_fs_hz
from simulator.suspicion import examined

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Plays a recording of a real machine through the same messages: Case Western and MFPT .mat, FEMTO .npz, CSV or Parquet
with columns named like message fields (accel_m_s2.x, speed_rpm, ...). A rate that the bundle does not take is
resampled, with anti-alias. Numbers that look like another unit's are refused until --unit says which.
A MANIFEST.csv beside the recordings (columns file, fs_hz, rpm) fills in what the file does not say.
"""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "replay", "play a recording", DETAILS)
    parser.add_argument("recording", help="a .mat, .npz, .csv or .parquet file, or ARCHIVE.tar.xz:member")
    parser.add_argument("--motor", required=True, metavar="ID", type=options.motor_id, help="motor id to publish as")
    parser.add_argument(
        "--rate", type=number.rate, help="readings per second; default as recorded, inf without waiting"
    )
    options.recorded(parser)
    parser.add_argument(
        "--target-fs-hz", type=number.positive, metavar="HZ", help="resample to this; default as needed"
    )
    parser.add_argument("--window", type=options.samples, help="samples per reading; default the bundle's")
    parser.add_argument("--rated-power-w", type=number.positive, default=1500.0, metavar="W", help="nameplate (1500)")
    parser.add_argument(
        "--rated-speed-rpm", type=number.positive, metavar="RPM", help="nameplate; default the recorded speed"
    )
    options.transport(parser)
    parser.set_defaults(command=_replay)


def _replay(chosen: argparse.Namespace) -> int:
    needs = Demand() if chosen.target_fs_hz and chosen.window else demand()
    recording = read(chosen.recording, fs_hz=chosen.fs_hz, speed_rpm=chosen.speed_rpm, unit=chosen.unit)
    accepted_hz = None if chosen.target_fs_hz else needs.fs_hz
    doubt = examined(recording, chosen.channel, accepted_hz=accepted_hz, told=chosen.unit is not None)
    if doubt:
        print(f"simulator: {recording.name}: {doubt}", file=sys.stderr)
    if recording.fs_hz is not None:
        to_hz = chosen.target_fs_hz or target_fs_hz(recording.fs_hz, needs.fs_hz)
        if to_hz != recording.fs_hz:
            print(f"{recording.name}: {recording.fs_hz:g} Hz resampled to {to_hz:g} Hz")
        recording = resampled(recording, to_hz)
    with Link(Broker.of(chosen.mqtt), encoding=chosen.encoding) as link, options.stopped_by_signal() as stop:
        play(
            recording,
            link,
            chosen.motor,
            boot=f"replay-{uuid.uuid4().hex[:8]}",
            bearing=chosen.bearing,
            rate_hz=chosen.rate,
            channel=chosen.channel,
            window=chosen.window,
            rated_power_w=chosen.rated_power_w,
            rated_speed_rpm=chosen.rated_speed_rpm,
            stop=stop,
            needs=needs,
        )
        return options.report(link.close())
