"""From one bundle to the next: when a candidate is believed, when it runs, when it goes again. Pure.

::

    trial ──> shadow ──> soak ──> committed
      │         │          └────> rolled_back
      │         └──> inconclusive
      └─────────┴──> refused          (any of the three on the left: cancelled)

trial    the candidate proves its golden vectors in a process of its own.
shadow   it judges live readings beside the running bundle; nobody hears what it says.
soak     it runs, the old bundle stands by and takes over again as soon as something is wrong.

Too little evidence is no evidence: a shadow or a soak that has not seen enough in its time ends in favour of the old
bundle. The rules compare the candidate with the running bundle on the same readings (shadow) or on the readings just
before (soak), so a plant that is noisy is noisy for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self, get_args

Phase = Literal["trial", "shadow", "soak", "committed", "rolled_back", "refused", "inconclusive", "cancelled"]
Ending = Literal["committed", "rolled_back", "refused", "inconclusive", "cancelled"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)

_BUCKETS = 64
_PER_OCTAVE = 3
_FASTEST_S = 1e-5  # upper edge of the first bucket


@dataclass(frozen=True, slots=True)
class Rules:
    """When a candidate is good enough.

    Attributes:
        min_readings: fewer are too few, in the shadow and in the soak.
        shadow_max_s: the shadow ends after this long, whatever it saw.
        soak_s: the soak lasts this long at least.
        soak_max_s: and this long at most, when readings are few.
        max_disagreement: fraction of readings whose diagnosis or alarm may differ in the shadow.
        max_slowdown: how many times slower the candidate may be, in the shadow and at p95 in the soak.
        max_alert_ratio: how many times more alerts it may open; five more are always forgiven.
        max_batch_s: a full batch of golden vectors may take this long in the trial.
    """

    min_readings: int = 200
    shadow_max_s: float = 3600.0
    soak_s: float = 600.0
    soak_max_s: float = 7200.0
    max_disagreement: float = 0.10
    max_slowdown: float = 3.0
    max_alert_ratio: float = 3.0
    max_batch_s: float = 2.0


class Shadowed(NamedTuple):
    """What a candidate said beside the running bundle, of the same readings."""

    readings: int = 0
    disagreements: int = 0
    failures: int = 0
    running_failures: int = 0
    opened: int = 0
    running_opened: int = 0
    run_s: float = 0.0
    running_run_s: float = 0.0

    def plus(self, other: Shadowed) -> Shadowed:
        """Both together."""
        return Shadowed._make(a + b for a, b in zip(self, other, strict=True))

    @property
    def disagreement(self) -> float:
        """Fraction of readings on which the two differ."""
        return self.disagreements / self.readings if self.readings else 0.0

    @property
    def slowdown(self) -> float:
        """How many times slower the candidate's graphs run."""
        return self.run_s / self.running_run_s if self.running_run_s > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What the running bundle did: readings, failures (nothing finite to tell), alerts opened, seconds per reading.

    ``spread`` counts batches by seconds per reading, a third of an octave a bucket.
    """

    readings: int = 0
    failures: int = 0
    opened: int = 0
    batches: int = 0
    spread: tuple[int, ...] = (0,) * _BUCKETS

    def plus(self, readings: int, failures: int, opened: int, step_s: float) -> Self:
        """One batch more."""
        each_s = max(step_s / max(readings, 1), _FASTEST_S)
        bucket = min(_BUCKETS - 1, math.ceil(_PER_OCTAVE * math.log2(each_s / _FASTEST_S)))
        spread = (*self.spread[:bucket], self.spread[bucket] + 1, *self.spread[bucket + 1 :])
        return replace(
            self,
            readings=self.readings + readings,
            failures=self.failures + failures,
            opened=self.opened + opened,
            batches=self.batches + 1,
            spread=spread,
        )

    @property
    def p95_s(self) -> float:
        """Upper edge of the bucket that holds the 95th percentile of seconds per reading; 0 for no batch."""
        wanted, seen = 0.95 * self.batches, 0
        for bucket, count in enumerate(self.spread):
            seen += count
            if count and seen >= wanted:
                return float(_FASTEST_S * 2.0 ** (bucket / _PER_OCTAVE))
        return 0.0


@dataclass(frozen=True, slots=True)
class Swap:
    """How far one candidate has come.

    Attributes:
        phase: where it stands.
        since_s: when that began, monotonic.
        reason: why it ended, one sentence; empty while it is under way.
        shadow: what it said in the shadow.
        before: what the old bundle did meanwhile.
        after: what the candidate has done since it runs.
    """

    phase: Phase
    since_s: float
    reason: str = ""
    shadow: Shadowed = field(default_factory=Shadowed)
    before: Ran = field(default_factory=Ran)
    after: Ran = field(default_factory=Ran)

    @property
    def ended(self) -> bool:
        """True once nothing more can happen."""
        return self.phase in ENDINGS


def begin(now_s: float) -> Swap:
    """A candidate that was verified goes to trial."""
    return Swap("trial", now_s)


def proven(swap: Swap, batch_s: float, now_s: float, rules: Rules) -> Swap:
    """The golden vectors agree; ``batch_s`` is the time of a full batch."""
    if swap.phase != "trial":
        return swap
    if batch_s > rules.max_batch_s:
        return end(swap, "refused", f"a full batch takes {batch_s:.2f} s, {rules.max_batch_s:g} s are allowed", now_s)
    return replace(swap, phase="shadow", since_s=now_s)


def compared(swap: Swap, more: Shadowed, now_s: float, rules: Rules) -> Swap:
    """The candidate has judged some live readings (or none: time passed) in the shadow."""
    if swap.phase != "shadow":
        return swap
    swap = replace(swap, shadow=swap.shadow.plus(more))
    seen = swap.shadow
    if seen.failures > seen.running_failures + max(2, 0.01 * seen.readings):
        return end(swap, "refused", f"it fails on {seen.failures} of {seen.readings} live readings", now_s)
    if seen.readings < rules.min_readings:
        if now_s - swap.since_s > rules.shadow_max_s:
            text = f"only {seen.readings} of {rules.min_readings} readings came in {rules.shadow_max_s:g} s of shadow"
            return end(swap, "inconclusive", text, now_s)
        return swap
    fault = _shadow_fault(seen, rules)
    return end(swap, "refused", fault, now_s) if fault else replace(swap, phase="soak", since_s=now_s)


def counted(swap: Swap, readings: int, failures: int, opened: int, step_s: float) -> Swap:
    """The running bundle (the old one in the shadow, the new one in the soak) has judged a batch."""
    if swap.phase == "shadow":
        return replace(swap, before=swap.before.plus(readings, failures, opened, step_s))
    if swap.phase == "soak":
        return replace(swap, after=swap.after.plus(readings, failures, opened, step_s))
    return swap


def soaked(swap: Swap, now_s: float, rules: Rules) -> Swap:
    """Judge the soak as it stands."""
    if swap.phase != "soak":
        return swap
    fault = _soak_fault(swap.before, swap.after, rules)
    if fault:
        return end(swap, "rolled_back", fault, now_s)
    elapsed_s = now_s - swap.since_s
    if elapsed_s >= rules.soak_s and swap.after.readings >= rules.min_readings:
        return end(swap, "committed", "", now_s)
    if elapsed_s > max(rules.soak_max_s, rules.soak_s):
        text = f"only {swap.after.readings} of {rules.min_readings} readings came in {elapsed_s:.0f} s of soak"
        return end(swap, "rolled_back", text, now_s)
    return swap


def end(swap: Swap, ending: Ending, reason: str, now_s: float) -> Swap:
    """The candidate's way is over; what runs after a soak was left is the old bundle unless it was committed."""
    if swap.ended:
        return swap
    if swap.phase == "soak" and ending in ("refused", "inconclusive"):
        ending = "rolled_back"
    if ending == "committed" and swap.phase != "soak":
        raise ValueError("a bundle is committed only after a soak")
    return replace(swap, phase=ending, since_s=now_s, reason=reason)


def _shadow_fault(seen: Shadowed, rules: Rules) -> str:
    if seen.disagreement > rules.max_disagreement:
        return (
            f"it disagrees with the running models on {seen.disagreement:.1%} of {seen.readings} live readings, "
            f"{rules.max_disagreement:.1%} are allowed"
        )
    if seen.opened > rules.max_alert_ratio * seen.running_opened + 5:
        return f"it would have opened {seen.opened} alerts where the running models open {seen.running_opened}"
    if seen.slowdown > rules.max_slowdown:
        return f"its graphs take {seen.slowdown:.1f} times as long, {rules.max_slowdown:g} times are allowed"
    return ""


def _soak_fault(before: Ran, after: Ran, rules: Rules) -> str:
    share = after.readings / before.readings if before.readings else 0.0
    if after.failures > 2.0 * share * before.failures + 2:
        return f"it failed on {after.failures} of {after.readings} readings"
    if after.opened > rules.max_alert_ratio * share * before.opened + 5:
        wonted = f"the old models open {share * before.opened:.1f}"
        return f"it opened {after.opened} alerts in {after.readings} readings; {wonted}"
    if min(before.batches, after.batches) >= 30 and after.p95_s > rules.max_slowdown * before.p95_s:
        return f"its p95 is {1e3 * after.p95_s:.1f} ms a reading, the old models' is {1e3 * before.p95_s:.1f} ms"
    return ""
