"""``plot``: a picture of a scenario's motor or of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simulator.console import options

if TYPE_CHECKING:
    import argparse

DETAILS = """\
Draws waveform, spectrum, envelope spectrum with the characteristic frequencies marked, and the trend with the zones of
ISO 20816-1, for a motor of a scenario or for a recording. The ending of --out chooses PNG, SVG, PDF or HTML.
"""


def declare(commands: options.Commands) -> None:
    """Adds the command."""
    parser = options.command(commands, "plot", "draw a scenario's motor or a recording", DETAILS)
    parser.add_argument("source", help="a scenario (name or TOML), or a recording")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="FILE.png, .svg, .pdf or .html")
    parser.add_argument("--motor", metavar="ID", help="motor of the scenario; default the first with a fault")
    parser.add_argument("--at-h", type=float, metavar="H", help="hour of the window; default the last")
    options.recorded(parser)
    parser.set_defaults(command=_plot)


def _plot(chosen: argparse.Namespace) -> int:
    # Late: matplotlib and scipy are optional, every other command works without them.
    try:
        from simulator import plot  # noqa: PLC0415

        if plot.is_recording(chosen.source):
            picture = plot.of_recording(
                chosen.source,
                bearing=chosen.bearing,
                channel=chosen.channel,
                fs_hz=chosen.fs_hz,
                speed_rpm=chosen.speed_rpm,
                unit=chosen.unit,
            )
        else:
            picture = plot.of_scenario(chosen.source, chosen.motor, chosen.at_h)
        plot.save(picture, chosen.out)
    except ImportError as error:
        raise ValueError(f"plot needs matplotlib ({error}); pip install 'motortwin[recordings]'") from None
    print(f"{chosen.out}: {picture.title}")
    return 0
