"""What several commands share: types of options, transport, Ctrl-C, the closing line."""

from __future__ import annotations

import argparse
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from pydantic import ValidationError

from service.contract import topics
from service.contract.bearing import BearingGeometry
from service.contract.messages import MAX_SAMPLES
from simulator import catalogue
from simulator.console import number
from simulator.publish import DEFAULT_URL, URL_VARIABLE
from simulator.unit import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.publish import Counts

    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names it no better


class Parser(argparse.ArgumentParser):
    """A parser that says a mistake in one line; its usage is in the help."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def command(commands: Commands, name: str, summary: str, details: str = "") -> argparse.ArgumentParser:
    """A parser whose details keep their line breaks."""
    return commands.add_parser(
        name, help=summary, description=details or summary, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def transport(parser: argparse.ArgumentParser) -> None:
    """Broker and encoding."""
    parser.add_argument("--mqtt", metavar="URL", help=f"broker; default {URL_VARIABLE} or {DEFAULT_URL}")
    parser.add_argument("--encoding", choices=("cbor", "json"), default="cbor", help="of readings; cbor is int16")


def recorded(parser: argparse.ArgumentParser) -> None:
    """What a recording may not say of itself."""
    parser.add_argument(
        "--bearing", type=bearing, help="a name that 'list' shows, or ELEMENTS,ELEMENT_MM,PITCH_MM[,DEG]"
    )
    parser.add_argument("--channel", help="publisher's channel, for example DE or FE; default DE, else all axes")
    parser.add_argument(
        "--fs-hz", type=number.positive, metavar="HZ", help="sampling rate, where the file does not say it"
    )
    parser.add_argument(
        "--speed-rpm", type=number.positive, metavar="RPM", help="shaft speed, where the file does not say it"
    )
    parser.add_argument("--unit", choices=UNITS, help="of the file's numbers; default g in .mat, mg in .npz, else m/s2")


def samples(text: str) -> int:
    """A number of samples that one reading may carry."""
    return number.whole(text, 1, MAX_SAMPLES)


def count(text: str) -> int:
    """A whole number from 1."""
    return number.whole(text, 1, 100_000_000)


def seed(text: str) -> int:
    """A seed."""
    return number.whole(text, 0, 2**32 - 1)


def motor_id(text: str) -> str:
    """An id that can stand in a topic."""
    if not topics.is_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1-64 letters, digits, '_', '.' or '-'")
    return text


def bearing(text: str) -> BearingGeometry:
    """A catalogue name, or elements,element_mm,pitch_mm[,contact_deg]."""
    parts = text.split(",")
    try:
        if len(parts) not in (3, 4):
            return catalogue.bearing(text)
        elements, element_mm, pitch_mm, *contact = parts
        return BearingGeometry(
            elements=int(elements),
            element_mm=float(element_mm),
            pitch_mm=float(pitch_mm),
            contact_deg=float(contact[0]) if contact else 0.0,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise argparse.ArgumentTypeError(f"{where} {first['msg'].removeprefix('Value error, ')}".strip()) from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a run ends cleanly; the handlers of before come back."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(counts: Counts) -> int:
    """Prints what became of the messages; 1 if any stayed without an acknowledgement."""
    print(
        f"simulator: readings={counts.readings} published={counts.published} acknowledged={counts.acknowledged} "
        f"lost={counts.lost} connects={counts.connects}"
    )
    return 1 if counts.lost else 0
