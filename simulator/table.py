"""The demo's terminal: a table that stays in place, alerts scrolling past above it; plain lines without a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.contract.messages import Alert, Health, Truth

_COLOUR = {"ok": "32", "warning": "33", "alarm": "31"}
_HEAD = f"{'motor':<14}{'state':<9}{'anomaly':>8}  {'diagnosis':<13}{'health':>7}  {'RUL h (90 %)':<19}truth"


class Terminal:
    """Writes to a stream; redraws in place only where the stream is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.live = stream.isatty()
        self._drawn = 0

    def say(self, text: str) -> None:
        """One line that stays."""
        self._erase()
        self._stream.write(text + "\n")
        self._stream.flush()

    def draw(self, rows: Sequence[str]) -> None:
        """The table, over the last one."""
        self._erase()
        self._stream.write("\n".join(rows) + "\n")
        self._stream.flush()
        self._drawn = len(rows) if self.live else 0

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def painted(self, text: str, state: str) -> str:
        """Text in the colour of a state, on a terminal."""
        return f"\x1b[{_COLOUR[state]}m{text}\x1b[0m" if self.live and state in _COLOUR else text


def table(terminal: Terminal, health: Mapping[str, Health], truths: Mapping[str, Truth]) -> list[str]:
    """One row a motor, what the edge says beside what the twin knows."""
    rows = [_HEAD]
    for motor, truth in truths.items():
        heard = health.get(motor)
        told = "failed " if truth.failed else ""
        told += ", ".join(f"{fault} {severity:.2f}" for fault, severity in truth.faults.items()) or "healthy"
        if heard is None:
            rows.append(f"{motor:<14}{'-':<9}{'-':>8}  {'-':<13}{'-':>7}  {'-':<19}{told}")
            continue
        state = terminal.painted(f"{heard.state:<9}", heard.state)
        rows.append(
            f"{motor:<14}{state}{_number(heard.anomaly, 8, 2)}  {heard.diagnosis:<13}{_number(heard.health, 7, 2)}  "
            f"{_rul(heard):<19}{told}"
        )
    return rows


def alert_line(terminal: Terminal, alert: Alert, truth: Truth | None) -> str:
    """One alert message as a line, with the twin's time to failure for comparison."""
    when = datetime.fromtimestamp(alert.ts_s, UTC).strftime("%d %b %H:%M")
    line = terminal.painted(f"{alert.state.upper():<6}", "ok" if alert.state == "clear" else "alarm")
    until = ""
    if alert.state == "open" and truth is not None and truth.failure_ts_s is not None:
        until = f"  [{(truth.failure_ts_s - alert.opened_ts_s) / 3600:.0f} h before the twin's failure]"
    return f"{when}  {line} {alert.motor:<13} {alert.condition:<13}{until}  {alert.reason}"


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def _rul(heard: Health) -> str:
    if heard.rul_h is None:
        return "-"
    low = 0.0 if heard.rul_low_h is None else heard.rul_low_h
    high = "..." if heard.rul_high_h is None else f"{heard.rul_high_h:.0f}"
    return f"{heard.rul_h:.0f} ({low:.0f}-{high})"
