"""How much time passed for the filter, when clocks lie. Pure.

A sensor's wall clock jumps: when it is set at last after a start in 1970, at a daylight saving change of a sensor that
sends local time, when somebody corrects it. Time that a clock jumped over has not passed for the machine, so the time
stamps of a wall clock are believed only where a witness agrees:

sequence   readings of one boot are ``interval_s`` apart, so ``(seq - seq') * interval_s`` have passed.
edge       the edge's steady clock (``service.steady``) between their arrivals; nobody sets it, but readings that
           waited at a broker arrive all at once.

A witness agrees when it differs by at most a quarter of itself and a second. Where none does, the clock is said to
have jumped, and the time is: what both witnesses say, where they agree with each other; else the shorter of the
sequence's time and the time stamps' (a filter that ages too little is the smaller harm); with another boot the same
with the edge's time for the sequence's; and without any witness none at all.

The first reading ever passes no time. A ``simulated`` clock runs as it likes by definition and is believed whatever it
says, except backwards. Nothing lasts longer than ``health.max_dt_s`` of the bundle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

SHARE = 0.25
SLACK_S = 1.0


class Passed(NamedTuple):
    """Seconds for the filter, and whether the time stamps were doubted."""

    dt_s: float
    doubted: bool


def passed(stamped_s: float, sequence_s: float | None, edge_s: float | None, *, simulated: bool) -> Passed:
    """How much time passed between a motor's last two readings.

    Args:
        stamped_s: difference of their time stamps, NaN where there is no earlier reading.
        sequence_s: what the sequence says; None across boots.
        edge_s: what the edge's steady clock says; None across starts of the edge's machine.
        simulated: the motor's clock is a simulated one.
    """
    if math.isnan(stamped_s):
        return Passed(0.0, doubted=False)
    if simulated:
        return Passed(max(stamped_s, 0.0), doubted=False)
    witnesses = [witness for witness in (sequence_s, edge_s) if witness is not None]
    if stamped_s >= 0.0 and any(_agree(witness, stamped_s) for witness in witnesses):
        return Passed(stamped_s, doubted=False)
    if sequence_s is not None and edge_s is not None and _agree(sequence_s, edge_s):
        return Passed(edge_s, doubted=True)
    if not witnesses:
        return Passed(0.0, doubted=True)
    return Passed(max(min(witnesses[0], stamped_s), 0.0) if stamped_s > 0.0 else witnesses[0], doubted=True)


def _agree(witness_s: float, other_s: float) -> bool:
    return abs(witness_s - other_s) <= SHARE * witness_s + SLACK_S
