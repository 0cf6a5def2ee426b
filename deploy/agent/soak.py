"""Whether the new container does as well as the old one, by the edge's own counters. Pure.

The old container's counters since its start are the measure: rates are compared a reading, so a plant that is noisy is
noisy for both. Where the old one answered too few readings to be one, only what needs no comparison is judged. Too few
readings of the new one in its time are no evidence, and the old one comes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNTED = (
    "motortwin_readings_total",
    'motortwin_rejected_total{reason="unprocessable"}',
    "motortwin_step_failures_total",
    "motortwin_shed_total",
    "motortwin_states_lost_total",
    "motortwin_alerts_total",
    "motortwin_latency_seconds",
    "motortwin_filter_nis",
)
_MAX_SAMPLES = 256
_BOUND = re.compile(r'le="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Rules:
    """When the new container is good enough.

    Attributes:
        min_readings: fewer are too few, of the old one and of the new.
        soak_s: the soak lasts this long at least.
        soak_max_s: and at most, where readings are few.
        ready_s: a container must be ready within this time, which bounds the gap.
        max_failures: readings without a finite answer, beyond twice the old rate.
        max_dropped: readings shed or states lost, beyond twice the old rate.
        max_slowdown: how many times slower the p95 may be; under ``calm_s`` it always may.
        calm_s: see there.
        max_alert_ratio: how many times more alerts it may open; five more are always forgiven.
        max_nis_ratio: how many times higher the filter's mean NIS may be; one more is always forgiven.
    """

    min_readings: int = 200
    soak_s: float = 600.0
    soak_max_s: float = 7200.0
    ready_s: float = 90.0
    max_failures: int = 2
    max_dropped: int = 2
    max_slowdown: float = 3.0
    calm_s: float = 0.25
    max_alert_ratio: float = 3.0
    max_nis_ratio: float = 2.0


class Verdict(NamedTuple):
    """What to do, and why."""

    what: Literal["keep", "wait", "restore"]
    reason: str = ""


class _Counts(NamedTuple):
    readings: float
    failures: float
    dropped: float
    opened: float
    p95_s: float
    nis: float


def samples(page: str) -> dict[str, float]:
    """The counters of a page of metrics that are judged by; ``ValueError`` where it is none."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(_COUNTED) and not name.endswith("_created") and len(found) < _MAX_SAMPLES:
            found[name] = float(value)
    return found


def judged(before: Mapping[str, float], after: Mapping[str, float], elapsed_s: float, rules: Rules) -> Verdict:
    """The soak as it stands after so many seconds.

    Args:
        before: the old container's samples; may be empty.
        after: the new one's, which began at zero.
        elapsed_s: since the new one was ready.
        rules: what is good enough.
    """
    old, new = _counts(before), _counts(after)
    known = old.readings >= rules.min_readings
    share = new.readings / old.readings if known else 0.0
    fault = _hard_fault(old, new, share, rules)
    enough = new.readings >= rules.min_readings
    if not fault and enough and known:
        fault = _alert_fault(old, new, share, rules)
        if not fault and elapsed_s >= rules.soak_s:  # the backlog of the gap has passed
            fault = _slow_fault(old, new, rules)
    if fault:
        return Verdict("restore", fault)
    if enough and elapsed_s >= rules.soak_s:
        return Verdict("keep")
    if elapsed_s > max(rules.soak_max_s, rules.soak_s):
        text = f"inconclusive: only {new.readings:.0f} of {rules.min_readings} readings came in {elapsed_s:.0f} s"
        return Verdict("restore", text)
    return Verdict("wait")


def _hard_fault(old: _Counts, new: _Counts, share: float, rules: Rules) -> str:
    if new.failures > 2.0 * share * old.failures + rules.max_failures:
        return f"it had no finite answer to {new.failures:.0f} of {new.readings + new.failures:.0f} readings"
    if new.dropped > 2.0 * share * old.dropped + rules.max_dropped:
        return f"it dropped {new.dropped:.0f} readings or states"
    return ""


def _alert_fault(old: _Counts, new: _Counts, share: float, rules: Rules) -> str:
    if new.opened > rules.max_alert_ratio * share * old.opened + 5:
        wonted = f"the old container opened {share * old.opened:.1f} in as many"
        return f"it opened {new.opened:.0f} alerts in {new.readings:.0f} readings; {wonted}"
    return ""


def _slow_fault(old: _Counts, new: _Counts, rules: Rules) -> str:
    if new.p95_s > max(rules.calm_s, rules.max_slowdown * old.p95_s):
        return f"its p95 is {1e3 * new.p95_s:.0f} ms, the old container's was {1e3 * old.p95_s:.0f} ms"
    if new.nis > rules.max_nis_ratio * old.nis + 1.0:
        return f"the filter's mean NIS is {new.nis:.2f}, it was {old.nis:.2f}"
    return ""


def _counts(found: Mapping[str, float]) -> _Counts:
    def total(prefix: str, part: str = "") -> float:
        return sum(value for name, value in found.items() if name.startswith(prefix) and part in name)

    nis = found.get("motortwin_filter_nis_count", 0.0)
    return _Counts(
        readings=total("motortwin_readings_total"),
        failures=total("motortwin_rejected_total") + total("motortwin_step_failures_total"),
        dropped=total("motortwin_shed_total") + total("motortwin_states_lost_total"),
        opened=total("motortwin_alerts_total", 'state="open"'),
        p95_s=_p95_s(found),
        nis=found.get("motortwin_filter_nis_sum", 0.0) / nis if nis else 0.0,
    )


def _p95_s(found: Mapping[str, float]) -> float:
    """Upper bound of the bucket that holds the 95th percentile; 0 for no reading."""
    buckets = sorted(
        (float(bound[1]), value)
        for name, value in found.items()
        if name.startswith("motortwin_latency_seconds_bucket") and (bound := _BOUND.search(name))
    )
    count = buckets[-1][1] if buckets else 0.0
    return next((bound for bound, value in buckets if count and value >= 0.95 * count), 0.0)
