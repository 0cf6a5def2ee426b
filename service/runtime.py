"""Threads and their owner: the broker link, the worker, and what can be said of their condition.

=============  ===========================================================================
thread         does
=============  ===========================================================================
mqtt           owns the socket; puts deliveries into the inbox and leaves notes there
rollout        tries new bundles (``service.rollout``); changes which one runs
watchdog       gives the process up when a step takes too long (``service.watchdog``)
worker         takes turns (``service.worker``); owns the memory
commit         writes a group of turns into the store (``service.commits``)
historian      writes what the worker hands over (``service.historian``)
sparkplug      reads ``Live`` and tells Sparkplug hosts, with an mqtt thread of its own
notices ...    one for each route that alerts take to people (``service.notices``)
main           the API's event loop; reads ``Live`` and metrics, changes nothing
=============  ===========================================================================

There is no lock beyond the inbox's and ``Live``'s.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from service import drift
from service.contract import topics
from service.contract.messages import MAX_PAYLOAD_BYTES
from service.flight import Flight
from service.historian import Historian
from service.homeassistant.discovery import Discovery
from service.inbox import Acknowledged, Connected, Inbox, Repaired
from service.live import Live
from service.metrics import Metrics
from service.mqtt import Link
from service.notices.routes import Routes
from service.rollout import Rollout, plan_of
from service.sparkplug.bridge import Bridge
from service.version import VERSION
from service.voice import Voice, node_availability
from service.watchdog import Watchdog, heartbeat
from service.wire import Delivery, Listener, Token, Will
from service.worker import Worker

if TYPE_CHECKING:
    from service.chronicle import Progress
    from service.monitor import Models
    from service.opening import Opened
    from service.settings import Settings

_log = logging.getLogger(__name__)

_MIB = 1_048_576
_WEDGED_S = 30.0
_DRAIN_S = 3.0
_LAST_WORDS_S = 1.0


@dataclass(frozen=True, slots=True)
class Condition:
    """How the service is: ``unready`` has never worked or cannot now, ``degraded`` works with something missing."""

    status: Literal["ready", "degraded", "unready"]
    reasons: tuple[str, ...]


class Runtime:
    """The running edge without its API."""

    def __init__(self, settings: Settings, opened: Opened) -> None:
        self.settings = settings
        self.live = Live()
        self.metrics = Metrics()
        self.rollout = Rollout(
            opened.ledger,
            opened.trust,
            plan_of(settings.swap),
            settings.policy.core(),
            opened.models,
            opened.entry,
            opened.gate,
            opened.own,
            self._rolled,
            opened.fault,
        )
        self._watchdog = Watchdog(Flight(settings.data_dir, opened.models.digest), settings.watchdog.run_s, heartbeat())
        will = Will(
            topics.node(settings.node, "availability"),
            lambda: node_availability(settings.node, "offline", self._model()),
        )
        # births first: a motor is known before its readings come
        filters = (topics.every_motor("birth"), topics.every_motor("reading"))
        self.link = Link(settings.mqtt, f"motortwin-{settings.node}", filters, will)
        inbox = settings.inbox
        self.inbox = Inbox(
            inbox.max_readings, inbox.max_mib * _MIB, inbox.patience_s, self.link.resume, gather_s=inbox.gather_s
        )
        discovery = Discovery(self.link, settings.homeassistant, settings.node, settings.http.public_url)
        self._voice = Voice(self.link, settings.node, self._model, discovery)
        self.historian = Historian(settings.data_dir, settings.historian, self.metrics)
        self.notices = Routes(settings, self.live, self.metrics)
        self._worker = Worker(
            settings,
            self.rollout,
            self._watchdog,
            self.link,
            self.inbox,
            self._voice,
            self.live,
            self.historian,
            self.notices,
            self.metrics,
        )
        on = settings.sparkplug.on
        self._sparkplug = Bridge(settings, self.live, self.metrics, self._model) if on else None
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._stopping = threading.Event()
        self._beat_s = time.monotonic()
        self._crash: str | None = None
        self._tell_model()
        self.metrics.build.info({"version": VERSION})
        outbox = self._worker.memory.outbox
        self.metrics.on_scrape(
            inbox=lambda: float(len(self.inbox)),
            outbox=lambda: float(len(outbox)),
            outbox_age=lambda: outbox.age_s(time.monotonic()),
            connected=lambda: float(self.link.connected),
        )

    def start(self) -> None:
        """Read what was stored and begin; raises ``InUse`` or ``NewerSchema``."""
        self._worker.begin()
        self.historian.start()
        self.notices.start()
        if self._sparkplug is not None:
            self._sparkplug.start()
        self._beat_s = time.monotonic()
        self._thread.start()
        self._watchdog.start()
        self.rollout.start()
        self.link.listen(
            Listener(
                room=lambda: self.inbox.room(time.monotonic()),
                delivered=self._delivered,
                connected=lambda kept: self.inbox.leave(Connected(kept)),
                acknowledged=lambda token, accepted: self._acknowledged(token, accepted=accepted),
                lost=self.inbox.wake,
            )
        )

    def stop(self) -> bool:
        """Finish what has arrived, save, say goodbye; True when that succeeded in time."""
        self._stopping.set()
        self.rollout.stop()
        self.inbox.wake()
        self._thread.join(_DRAIN_S + _LAST_WORDS_S + 2.0)
        finished = not self._thread.is_alive() and self._crash is None
        if self._sparkplug is not None:
            self._sparkplug.stop()
        self._voice.node("offline")
        self.link.close()
        if not self._thread.is_alive():
            self._worker.finish()
        self.historian.stop()
        self.notices.stop()
        self._watchdog.stop()
        return finished

    @property
    def alive(self) -> bool:
        """False when the worker has died or does not come back from a turn."""
        return self._thread.is_alive() and time.monotonic() - self._beat_s < _WEDGED_S

    def condition(self) -> Condition:
        """Whether the service can do its work, and what is amiss in words that name the remedy."""
        fatal: list[str] = []
        amiss: list[str] = []
        if not self.alive:
            fatal.append(self._crash or f"the worker has not come back for {_WEDGED_S:.0f} s; restart the service")
        if self._worker.inference_fault is not None:
            fatal.append(self._worker.inference_fault)
        fault = self.link.fault
        if fault is not None:
            (amiss if self.link.connections else fatal).append(fault)
        if self.rollout.fault is not None:
            amiss.append(self.rollout.fault)
        if self._worker.journal.fault is not None:
            amiss.append(f"nothing is saved: {self._worker.journal.fault}")
        if self.historian.fault is not None:
            amiss.append(f"no history is kept: {self.historian.fault}")
        amiss.extend(self.notices.faults)
        if self._sparkplug is not None and self._sparkplug.fault is not None:
            amiss.append(self._sparkplug.fault)
        refused = self._worker.memory.outbox.refused
        if refused:
            amiss.append(f"the broker refuses {refused} alerts: allow this client to publish them")
        status: Literal["ready", "degraded", "unready"] = "unready" if fatal else "degraded" if amiss else "ready"
        return Condition(status, (*fatal, *amiss))

    def repaired(self, motor: str) -> None:
        """A person has said so: what the motor's levels are held against is learnt anew."""
        self.inbox.leave(Repaired(motor))

    def filter_state(self, motor: str) -> dict[str, float]:
        """What the health filter holds of a motor, by the manifest's names; empty for a motor it does not know."""
        state, spec = self._worker.memory.state.get(motor), self.models.manifest.health
        if state is None or state.schema_id != spec.schema_id:
            return {}
        return dict(zip(spec.state_names, np.frombuffer(state.x).tolist(), strict=True))

    def drift_of(self, motor: str) -> tuple[drift.Status, dict[str, drift.Channel]]:
        """What is known of the drift of a motor's inputs, and of each of its channels."""
        rules, state = drift.rules_of(self.models), self._worker.memory.state.get(motor)
        channels = {} if rules is None or state is None else rules.channels(state.drift)
        return drift.status_of(channels, sketched=rules is not None), channels

    def drifting(self) -> tuple[dict[drift.Status, int], dict[str, float]]:
        """Motors by status of their drift, and the highest score of each channel, 1 at the threshold."""
        rules, state = drift.rules_of(self.models), self._worker.memory.state
        if rules is None:
            return dict.fromkeys(drift.STATUSES, 0) | {"unknown": len(state)}, {}
        return rules.census(motor.drift for motor in state.values())

    def exposition(self) -> bytes:
        """The metrics as text, with the fleet counted now."""
        by_state, by_condition, silent = self.live.counts()
        for state, gauge in self.metrics.motors.items():
            gauge.set(by_state.get(state, 0))
        for condition, gauge in self.metrics.alerts_open.items():
            gauge.set(by_condition.get(condition, 0))
        self.metrics.motors_silent.set(silent)
        by_status, scores = self.drifting()
        rules = drift.rules_of(self.models)
        threshold = math.inf if rules is None else rules.threshold
        self.metrics.drift_threshold.set(threshold)
        for status, count in by_status.items():
            self.metrics.drift_motors[status].set(count)
        for signal, gauge in self.metrics.drift_score.items():
            gauge.set(scores[signal] * threshold if scores else 0.0)
        self.metrics.notices_waiting.set(self.notices.waiting)
        return self.metrics.exposition()

    @property
    def models(self) -> Models:
        """The bundle that runs now."""
        return self.rollout.models

    def _model(self) -> str:
        return self.rollout.models.digest[:12]

    def _tell_model(self) -> None:
        manifest = self.models.manifest
        self.metrics.model.info({"name": manifest.name, "version": str(manifest.version), "digest": self._model()})

    def _rolled(self, progress: Progress) -> None:
        """A candidate went a step further; called by the rollout's thread."""
        for phase, gauge in self.metrics.swap_phase.items():
            gauge.set(phase == progress.phase)
        for ending, counter in self.metrics.swaps.items():
            if ending == progress.phase:
                counter.inc()
        self._tell_model()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._beat_s = time.monotonic()
                self._worker.turn()
            self._drain()
        except Exception as error:  # noqa: BLE001 - the last stop of a thread: nothing above could tell
            # the process stays up to tell why; liveness is false and the supervisor restarts it
            self._crash = f"the worker died: {type(error).__name__}: {error}; restart the service"
            _log.critical("the worker died", exc_info=error)

    def _drain(self) -> None:
        """Let what has arrived take effect, then wait a little for the broker to take the last alerts."""
        deadline = time.monotonic() + _DRAIN_S
        waiting = len(self.inbox)  # what comes meanwhile stays with the broker
        while waiting > 0 and time.monotonic() < deadline:
            waiting -= self._worker.turn()
        self._worker.commits.settle()
        deadline = time.monotonic() + _LAST_WORDS_S
        while len(self._worker.memory.outbox) and self.link.connected and time.monotonic() < deadline:
            self._worker.turn()

    def _delivered(self, delivery: Delivery) -> None:
        if delivery.size > MAX_PAYLOAD_BYTES:
            delivery.payload = b""
        for shed, reason in self.inbox.put(delivery, time.monotonic()):
            self.metrics.shed[reason].inc()
            if shed.token is not None:
                self.link.acknowledge([shed.token])

    def _acknowledged(self, token: Token, *, accepted: bool) -> None:
        self.inbox.leave(Acknowledged(token, accepted))
