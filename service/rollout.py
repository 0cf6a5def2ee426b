"""Brings new bundles into use, one at a time, in a thread of its own; owns which bundle runs.

The rules are ``service.swap``'s; here they meet files, processes and the worker. The worker reads ``models`` once a
batch, so a swap falls between two batches, and puts what came of the batch into ``tap``. Filter states are carried
over by the core, which resets a motor's filter loudly where the new one's schema differs. The old bundle stays in
memory until the soak is over.

A service that dies during a soak finds that in the ledger when it starts again, and starts with the old bundle.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service import bundle, gate, process, shadow, swap
from service.candidate import Candidate, Limits
from service.chronicle import Chronicle, Earlier, Ended, Progress
from service.errors import BundleError, StoreError
from service.graph import give_memory_back
from service.ledger import Entry
from service.offers import Offer, Offers
from service.retreat import Retreat
from service.swap import Rules, Shadowed, Swap
from service.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from service.gate import Gate
    from service.ledger import Ledger
    from service.monitor import Models, Policy
    from service.opening import Own
    from service.settings import SwapSettings
    from service.signature import Trust
    from service.swap import Ending, Phase

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
_TICK_S = 0.1
_RETRY_S = 5.0
_STOP_S = 5.0
_TRIM_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How candidates are tried.

    Attributes:
        rules: when one is good enough.
        limits: what its process may take.
        share: fraction of one core that the shadow may take.
    """

    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    share: float = 0.25


def plan_of(settings: SwapSettings) -> Plan:
    """The plan that the settings ask for."""
    rules = Rules(
        min_readings=settings.min_readings,
        shadow_max_s=settings.shadow_max_s,
        soak_s=settings.soak_s,
        soak_max_s=settings.soak_max_s,
        max_disagreement=settings.max_disagreement,
        max_slowdown=settings.max_slowdown,
        max_alert_ratio=settings.max_alert_ratio,
    )
    limits = Limits(start_s=settings.trial_s, memory_mib=settings.trial_memory_mib)
    return Plan(rules, limits, settings.shadow_share)


@dataclass(slots=True)
class _Way:
    """One candidate under way."""

    offer: Offer
    gate: Gate
    swap: Swap
    candidate: Candidate | None = None
    old: tuple[Models, Gate] | None = None
    compare_at_s: float = 0.0


class Rollout:
    """The bundle that runs, and the one that wants to.

    Args:
        ledger: an open one, unless there is a fault.
        trust: whose bundles are taken.
        plan: how they are tried.
        policy: what the core accepts, as the worker has it.
        models: the bundle to begin with.
        entry: its rank.
        said: what its gate said of it.
        own: the installation's bundle.
        changed: told, in this module's thread, of every step that a candidate takes.
        fault: why the ledger could not be opened; it is read as soon as its folder can be used.
    """

    def __init__(
        self,
        ledger: Ledger,
        trust: Trust,
        plan: Plan,
        policy: Policy,
        models: Models,
        entry: Entry,
        said: Gate,
        own: Own,
        changed: Callable[[Progress], None],
        fault: str | None = None,
    ) -> None:
        self.fault = fault
        """Why no new bundle can be taken, None where one can: the ledger's folder is tried until it can be used."""
        self.models = models
        """What runs: to be read once a batch."""
        self.gate = said
        """What the gate said of what runs."""
        self.entry = entry
        self.progress: Progress | None = None
        """The candidate under way, or the last one."""
        self.chronicle = Chronicle(ledger.folder)
        """What was asked for, what became of the last ones, and which bundles ran before."""
        self._ledger = ledger
        self._trust = trust
        self._plan = plan
        self._policy = policy
        self._changed = changed
        self._wake = threading.Event()
        self._called_off = threading.Event()
        self._stopping = threading.Event()
        self.tap = Tap(self._wake)
        self._offers = Offers(ledger, self.chronicle, trust, self._turned_away)
        self._retreat = Retreat(ledger, self.chronicle, trust, own)
        self._way: _Way | None = None
        self._trim_at_s = 0.0
        self._thread = threading.Thread(target=self._work, name="rollout", daemon=True)

    def start(self) -> None:
        """Begin to look for candidates."""
        self._thread.start()

    def stop(self) -> None:
        """Leave: a soak that is under way is broken off, and the candidate is tried anew after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def request(self, name: str) -> Future[str]:
        """Try the bundle in ``offered/name``; the future ends with the phase after the trial, or ``BundleError``."""
        asked = self._offers.ask(name)
        self._wake.set()
        return asked

    @property
    def earlier(self) -> tuple[Earlier, ...]:
        """Bundles that can be gone back to, the newest last."""
        return self._retreat.targets

    def go_back(self, digest: str) -> Future[Entry]:
        """Run a bundle again that ran here before; the future ends with its rank, or with ``BundleError``.

        Args:
            digest: its digest, or how that begins.
        """
        asked = self._retreat.ask(digest)
        self._wake.set()
        return asked

    def call_off(self) -> bool:
        """Break off the candidate under way, the old bundle goes on; False where there is none."""
        under_way = self.progress is not None and self.progress.phase not in swap.ENDINGS
        if under_way:
            self._called_off.set()
            self._wake.set()
        return under_way

    def _work(self) -> None:
        while self.fault is not None and not self._stopping.wait(_RETRY_S):
            try:
                self._ledger.read()
            except StoreError as error:
                self.fault = str(error)
            else:
                self.fault = None
        self._recall()
        while not self._stopping.is_set():
            self._wake.wait(_LOOK_S if self._way is None else _TICK_S)
            self._wake.clear()
            try:
                with process.patient():
                    self._offers.remember()
                    self._turn_back()
                    if self._way is None:
                        self._look()
                    else:
                        self._go_on(self._way)
            except Exception as error:  # noqa: BLE001 - whatever a candidate brings, the service goes on; it is told
                _log.error("the rollout failed", exc_info=error)
                if self._way is not None:
                    self._finish(self._way, "refused", f"{type(error).__name__}: {error}")
        if self._way is not None:
            self._finish(self._way, "cancelled", "the service stopped")

    def _recall(self) -> None:
        """Take up what the service knew when it stopped."""
        self.chronicle.read()
        if self.chronicle.ended and self.progress is None:
            self.progress = self.chronicle.ended[-1].progress
        self._offers.ask_again()

    def _turn_back(self) -> None:
        """Go back to a bundle that ran before, where somebody asks for that."""
        on_its_way = None if self._way is None else self._way.offer.label
        back = self._retreat.next(self.entry, self.models, on_its_way)
        if back is None:
            return
        left = Progress.of(self.models.manifest.name, self.entry, "rolled_back", back.reason)
        self.models, self.gate, self.entry = back.models, back.gate, back.entry
        _log.warning("%s version %d, digest %s: %s", left.name, left.version, self.models.digest[:12], back.reason)
        self._tell(left)
        back.asked.set_result(back.entry)
        give_memory_back()

    def _look(self) -> None:
        if time.monotonic() >= self._trim_at_s:
            # what a backlog took lies in holes that glibc keeps
            self._trim_at_s = time.monotonic() + _TRIM_S
            give_memory_back()
        self._called_off.clear()
        offer = self._offers.next(self.entry, self.models.digest)
        if offer is not None:
            _log.info("%s, digest %s, is tried", offer.label, offer.files.digest[:12])
            self._way = _Way(offer, gate.read(offer.files, self._trust), swap.begin(time.monotonic()))
            self._say(self._way)
            self._wake.set()

    def _go_on(self, way: _Way) -> None:
        if self._called_off.is_set():
            self._finish(way, "cancelled", "it was called off")
            return
        before = way.swap.phase
        try:
            if before == "trial":
                self._try(way)
            elif before == "shadow":
                self._shadow(way)
            else:
                self._soak(way)
        except StoreError as error:
            self._finish(way, "inconclusive", str(error))
        except BundleError as error:
            self._finish(way, "refused", str(error))
        else:
            if way.swap.ended:
                self._finish(way, "refused", "")
            elif way.swap.phase != before:
                self._say(way)

    def _try(self, way: _Way) -> None:
        way.candidate = Candidate(way.offer.files, self._plan.limits)
        proven = way.candidate.prove()
        way.swap = swap.proven(way.swap, proven.batch_s, time.monotonic(), self._plan.rules)
        if not way.swap.ended:
            self.tap.watch()
            self._reply(way.offer, "shadow")

    def _shadow(self, way: _Way) -> None:
        assert way.candidate is not None
        self._count(way)
        more, sample = Shadowed(), self.tap.sample()
        if sample is not None:
            started_s = time.monotonic()
            more = shadow.compare(sample, self.models, way.candidate, self._policy)
            took_s = time.monotonic() - started_s
            way.compare_at_s = started_s + took_s / self._plan.share
        now_s = time.monotonic()
        after = swap.compared(way.swap, more, now_s, self._plan.rules)
        if after.phase == "soak":
            self._take_over(way)
        elif now_s >= way.compare_at_s:
            self.tap.want()
        way.swap = after

    def _take_over(self, way: _Way) -> None:
        """Make the candidate the one that runs; raises ``BundleError`` or ``StoreError``, and then it is not."""
        files = way.offer.files
        new = bundle.Bundle(files)
        bundle.prove_golden(new, files.golden)
        self._ledger.keep(files.digest, files.contents())
        self._ledger.write(self._ledger.record.model_copy(update={"soaking": way.offer.entry}))
        self._dismiss(way)
        way.old = self.models, self.gate
        self.models, self.gate = new, way.gate
        _log.warning("%s, digest %s, runs now, on probation", way.offer.label, new.digest[:12])
        if way.old[0].manifest.health.schema_id != new.manifest.health.schema_id:
            schema = new.manifest.health.schema_id
            _log.warning("its filter's schema is %s: every motor's filter starts afresh", schema)

    def _soak(self, way: _Way) -> None:
        self._count(way)
        after = swap.soaked(way.swap, time.monotonic(), self._plan.rules)
        if after.phase == "committed":
            record, entry = self._ledger.record, way.offer.entry
            highest = max(record.highest, entry, key=lambda one: one.rank)
            try:
                self._ledger.write(record.model_copy(update={"active": entry, "highest": highest, "soaking": None}))
            except StoreError as error:
                _log.warning("%s; the soak goes on until it can", error)
                return
            assert way.old is not None
            self.chronicle.leave(
                Earlier(name=way.old[0].manifest.name, entry=self.entry, left_ts_s=time.time()), entered=entry
            )
            self.entry = entry
        way.swap = after

    def _count(self, way: _Way) -> None:
        for batch in self.tap.batches(self.models):
            way.swap = swap.counted(way.swap, batch.readings, batch.failures, batch.opened, batch.step_s)

    def _finish(self, way: _Way, ending: Ending, reason: str) -> None:
        """A candidate's way ends; before anything else the right bundle runs."""
        way.swap = swap.end(way.swap, ending, reason, time.monotonic())
        committed = way.swap.phase == "committed"
        if way.old is not None and not committed:
            self.models, self.gate = way.old
        self._way = way.old = None
        self.tap.close()
        self._dismiss(way)
        offer, reason = way.offer, way.swap.reason
        told = _log.info if committed else _log.error
        told("%s: %s%s", offer.label, way.swap.phase.replace("_", " "), f": {reason}" if reason else "")
        self._say(way)
        self._record(way)
        self._reply(offer, way.swap.phase)
        give_memory_back()

    def _record(self, way: _Way) -> None:
        """Write down how it ended and clear up; a broken-off candidate stays where it is, to be tried anew."""
        offer, phase = way.offer, way.swap.phase
        if phase == "committed":
            self._ledger.discard(offer.folder)
        elif not self._broken_off(phase):
            self._offers.set_aside(offer, f"{phase}: {way.swap.reason}")
        if not self._broken_off(phase):
            self._offers.over()
        record = self._ledger.record
        if phase in ("refused", "rolled_back"):
            record = record.refusing(offer.entry, way.swap.reason)
        try:
            self._ledger.write(record.model_copy(update={"soaking": None}))
        except StoreError as error:
            _log.error("%s", error)  # at the next start a soak that was not ended counts as one that failed
        self._ledger.prune(one.entry.digest for one in self.chronicle.earlier)

    def _broken_off(self, phase: Phase) -> bool:
        """The service stops: this is no end, the candidate is tried anew."""
        return phase == "cancelled" and self._stopping.is_set()

    def _dismiss(self, way: _Way) -> None:
        if way.candidate is not None:
            way.candidate.close()
            way.candidate = None

    def _reply(self, offer: Offer, phase: Phase) -> None:
        if offer.asked is not None and not offer.asked.done():
            if phase in ("refused", "rolled_back", "inconclusive"):
                reason = self.progress.reason if self.progress is not None else phase
                offer.asked.set_exception(BundleError(reason))
            else:
                offer.asked.set_result(phase)

    def _turned_away(self, name: str, entry: Entry | None, reason: str) -> None:
        self._tell(Progress.of(name, entry or Entry(), "refused", reason))

    def _say(self, way: _Way) -> None:
        entry, now = way.offer.entry, way.swap
        told = Progress.of(way.offer.files.manifest.name, entry, now.phase, now.reason)
        self._tell(told._replace(shadow=now.shadow, soaked=now.after.readings, gate=way.gate.line))

    def _tell(self, progress: Progress) -> None:
        self.progress = progress
        if progress.phase in swap.ENDINGS and not self._broken_off(progress.phase):
            self.chronicle.end(Ended(time.time(), progress))
        self._changed(progress)
