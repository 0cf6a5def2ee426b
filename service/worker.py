"""One turn after another: take what has arrived, step, publish, save, acknowledge.

Order of effects: step, publish health (telemetry, a repetition does no harm), commit states and alerts in one
transaction, which a few turns may share (``service.group``) and which goes on beside the next ones
(``service.commits``), publish alerts from the outbox, acknowledge the readings.
A power cut anywhere leads to a repetition that the core recognises, never to a loss. The worker alone touches the
memory; the broker's thread fills the inbox and leaves notes there.

A motor counts as heard when one of its readings is accepted: a sensor that repeats itself says nothing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from service import cloudevent, monitor
from service.commits import Commits
from service.contract import codec, topics
from service.contract.codec import Refused
from service.contract.messages import MAX_PAYLOAD_BYTES, Alert, Health, Reading
from service.inbox import Acknowledged, Repaired
from service.journal import Journal
from service.memory import Memory
from service.motor import with_filters_of
from service.presence import Presence
from service.quarantine import step_around
from service.steady import Steady
from service.store import Changes, Restored, Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.historian import Historian
    from service.inbox import Inbox
    from service.live import Live
    from service.metrics import Metrics
    from service.monitor import FleetState, Models, StepResult
    from service.mqtt import Link
    from service.notices.routes import Routes
    from service.rollout import Rollout
    from service.settings import Settings
    from service.voice import Voice
    from service.watchdog import Watchdog
    from service.wire import Delivery

_log = logging.getLogger(__name__)

_TURN_S = 0.5
_STRAYS_WITHIN_S = 10.0
_LISTEN_S = 0.1  # how often the fleet is gone through for motors that have fallen silent
_REPEATED = ("duplicate", "out_of_order")


class Worker:
    """What follows from a batch of deliveries, in order."""

    def __init__(
        self,
        settings: Settings,
        rollout: Rollout,
        watchdog: Watchdog,
        link: Link,
        inbox: Inbox,
        voice: Voice,
        live: Live,
        historian: Historian,
        notices: Routes,
        metrics: Metrics,
    ) -> None:
        self._batch = settings.inbox.batch
        self._rollout = rollout
        self._watchdog = watchdog
        self._judging = rollout.models
        self._watched = watchdog.watched(rollout.models)
        self._before_swap: tuple[Models, FleetState] | None = None
        self._steady = Steady()
        self._link = link
        self._inbox = inbox
        self._voice = voice
        self._live = live
        self._historian = historian
        self._notices = notices
        self._metrics = metrics
        self._policy = settings.policy.core()
        self._presence = Presence(settings.policy.silence_factor)
        births = {motor: table.birth(motor) for motor, table in settings.motors.items()}
        self.memory = Memory(births, cloudevent.headers(settings.node, wanted=settings.mqtt.cloudevents))
        self.journal = Journal(Store(settings.data_dir), metrics, self.memory.everything)
        self.commits = Commits(self.journal, self.memory.outbox, link, metrics, inbox.wake)
        self._welcomed = False
        self._unsaid: set[str] = set()
        self._strays_until_s = self._listen_at_s = 0.0
        self.inference_fault: str | None = None
        """Why no reading of the last batch could be judged; None while readings can be."""

    def begin(self) -> None:
        """Read back what was stored; raises ``InUse`` or ``NewerSchema``."""
        self._introduce_all()
        self.journal.begin(self._adopt, time.monotonic())
        self.memory.outbox.committed(self.memory.outbox.last)

    def turn(self) -> int:
        """Take what has arrived (waiting a little for the first), let everything follow; how much it was."""
        commits, since_s = self.commits, time.monotonic()
        patience_s = commits.patience_s(since_s, _TURN_S)
        deliveries = self._inbox.take(self._batch, patience_s)
        now_s = time.monotonic()
        self._heed_notes(commits.changes, now_s)
        if deliveries:
            self._handle(deliveries, commits.changes)
        commits.add(deliveries, now_s)
        if now_s >= self._listen_at_s:
            self._listen_at_s = now_s + _LISTEN_S
            for motor in self._presence.fallen_silent(now_s):
                self._announce(motor, "silent")
        commits.proceed(time.monotonic(), idle=not deliveries and now_s - since_s >= patience_s)
        if 0.0 < self._strays_until_s < now_s:
            self._strays_until_s = 0.0
            self._link.unsubscribe(topics.EVERY_ALERT)
        return len(deliveries)

    def finish(self) -> None:
        """Commit what the last moments brought and close the store."""
        self._heed_notes(self.commits.changes, time.monotonic())
        self.commits.finish()

    def _handle(self, deliveries: Sequence[Delivery], changes: Changes) -> None:
        metrics, clock = self._metrics, time.perf_counter
        started = clock()
        metrics.stage["wait"].observe(started - deliveries[0].received_s)
        readings: list[Reading] = []
        origins: list[Delivery] = []
        for delivery in deliveries:
            try:
                reading = self._understood(delivery, changes)
            except Refused as refused:
                self._refuse(delivery, refused)
                continue
            if reading is not None:
                readings.append(reading)
                origins.append(delivery)
        decoded = clock()
        metrics.stage["decode"].observe(decoded - started)
        if not readings:
            return
        now_ts_s, moment = time.time(), self._steady.now()
        models, profiles = self._rollout.models, self.memory.registry.profiles
        if models is not self._judging:
            self._take_up(models)
        before, watched = self.memory.state, self._watched

        def step(state: FleetState, some: Sequence[Reading]) -> StepResult:
            with self._watchdog.over(some):
                return monitor.step(
                    state, some, profiles, watched, now_ts_s=now_ts_s, policy=self._policy, moment=moment
                )

        result, poisons = step_around(step, before, readings)
        stepped = clock()
        self._rollout.tap.put(
            models,
            before,
            readings,
            profiles,
            result,
            failures=len(result.failures) + len(poisons),
            step_s=stepped - decoded,
            now_ts_s=now_ts_s,
            moment=moment,
        )
        metrics.stage["step"].observe(stepped - decoded)
        metrics.batch.observe(len(readings))
        for poison in poisons:
            self._refuse(origins[poison.index], _unprocessable(poison.error))
        for refusal in result.refusals:
            self._refuse(origins[refusal.index], refusal.refused)
        for signal, count in result.masked.items():
            metrics.masked[signal].inc(count)
        metrics.doubted.inc(result.doubted)
        metrics.resets.inc(len(result.resets))
        self._note_failures(result, [poison.error for poison in poisons])
        answered = [readings[index] for index in result.taken]
        with self._link.burst():
            self._publish(result.health, [origins[index] for index in result.taken], now_ts_s)
        metrics.stage["publish"].observe(clock() - stepped)
        self.memory.take(result, changes)
        self._count_alerts(result.alerts)
        self._live.update([(health, now_ts_s) for health in result.health], result.alerts)
        self._historian.take(result.health, answered, now_ts_s)

    def _take_up(self, models: Models) -> None:
        """Another bundle runs from now on; where it is the old one that comes back, its filters' states do too."""
        old, state = self._judging, self.memory.state
        if self._before_swap is not None and self._before_swap[0] is models:
            self.memory.state = with_filters_of(state, self._before_swap[1], models.manifest.health.schema_id)
        changes_schema = old.manifest.health.schema_id != models.manifest.health.schema_id
        self._before_swap = (old, state) if changes_schema else None
        self._judging = models
        self._watched = self._watchdog.take_up(models)

    def _understood(self, delivery: Delivery, changes: Changes) -> Reading | None:
        """The reading in a delivery; None for the other kinds, which take effect here. Raises ``Refused``."""
        parsed = topics.parse_motor(delivery.topic)
        if parsed is None or not topics.is_id(parsed[0]):
            remedy = f"publish to {topics.every_motor('reading')} with an id of letters, digits, '_', '.', '-'"
            raise Refused("topic", "topic", "no motor is named by this topic", remedy)
        motor, kind = parsed
        if delivery.size > MAX_PAYLOAD_BYTES:
            detail = f"{delivery.size} bytes exceed {MAX_PAYLOAD_BYTES}"
            raise Refused("oversized", "payload", detail, "send shorter windows, or CBOR with packed samples")
        if kind == "birth":
            self._birth(motor, delivery.payload, changes)
            return None
        if kind != "reading":
            self._end_stray(delivery, changes)
            return None
        reading = codec.decode_reading(delivery.payload)
        if reading.motor != motor:
            detail = f"{reading.motor} stands in the payload, {motor} in the topic"
            raise Refused("topic", "motor", detail, "publish on the motor's own topic")
        return reading

    def _birth(self, motor: str, payload: bytes, changes: Changes) -> None:
        announced = self.memory.registry.announce(motor, payload)
        if announced is None:
            return
        changes.births[motor] = payload or None
        if announced.profile is None:
            self._retire(motor, "the motor was taken out of service (empty birth message)", changes)
            return
        self._metrics.births.inc()
        self._introduce(announced.profile)

    def _retire(self, motor: str, reason: str, changes: Changes) -> None:
        alerts = self.memory.retire(motor, time.time(), reason, changes)
        self._count_alerts(alerts)
        self._live.update([], alerts)
        self._live.retire(motor)
        self._historian.retire(motor)
        self._presence.forget(motor)
        self._voice.forget(motor)
        _log.info("%s is retired: %s", motor, reason)

    def _end_stray(self, delivery: Delivery, changes: Changes) -> None:
        """End an alert that the broker retains for a motor of ours and that we do not hold (a lost database)."""
        if not delivery.retain or not delivery.payload:
            return
        try:
            alert = Alert.model_validate_json(delivery.payload)
        except ValidationError:
            _log.warning("what is retained on %s is not an alert; it is left alone", delivery.topic)
            return
        known = alert.motor in self.memory.registry.profiles
        if alert.state == "clear" or not known or self.memory.held(alert):
            return
        reason = "the edge no longer holds this alert; it opens anew if the cause persists"
        ended = alert.model_copy(update={"state": "clear", "revision": alert.revision + 1, "reason": reason})
        self.memory.queue([ended], changes)
        self._count_alerts([ended])

    def _refuse(self, delivery: Delivery, refused: Refused) -> None:
        if refused.reason in _REPEATED and (delivery.dup or delivery.retain):
            self._metrics.redelivered.inc()
            return
        self._metrics.rejected[refused.reason].inc()
        self._voice.rejection(delivery.topic, refused)

    def _note_failures(self, result: StepResult, raised: Sequence[Exception]) -> None:
        errors = [*raised, *(failure.error for failure in result.failures)]
        if result.health:
            self.inference_fault = None
        if not errors:
            return
        self._metrics.step_failures.inc(len(errors))
        if not result.health:
            if self.inference_fault is None:
                _log.error("no reading of a batch could be judged", exc_info=errors[0])
            self.inference_fault = f"readings cannot be judged: {errors[0]}"

    def _publish(self, healths: Sequence[Health], origins: Sequence[Delivery], now_ts_s: float) -> None:
        memory, presence, clock, now_s = self.memory, self._presence, time.perf_counter, time.monotonic()
        latencies_s: list[float] = []
        for health, origin in zip(healths, origins, strict=True):
            motor = health.motor
            payload = codec.encode_health(health)
            memory.healths[motor] = payload
            if not self._voice.health(motor, payload):
                self._unsaid.add(motor)
            memory.heard_ts_s[motor] = now_ts_s
            latencies_s.append(clock() - origin.received_s)
            if not presence.expects(motor):
                self._introduce(monitor.generic_profile(motor))
            if not origin.retain and presence.heard(motor, now_s):
                self._announce(motor, "online")
        self._metrics.answered(latencies_s, healths)

    def _announce(self, motor: str, state: Literal["online", "silent"]) -> None:
        self._voice.availability(motor, state)
        self._live.availability(motor, state)

    def _introduce(self, profile: monitor.Profile) -> None:
        self._presence.expect(profile.motor, profile.interval_s, time.monotonic())
        self._live.introduce(profile)
        self._voice.introduce(profile)

    def _introduce_all(self) -> None:
        for profile in self.memory.registry.profiles.values():
            self._introduce(profile)

    def _adopt(self, restored: Restored) -> Changes:
        """Take up what the store held; motors that nobody knows any more leave."""
        memory = self.memory
        self._metrics.states_lost.inc(memory.adopt(restored))
        self._introduce_all()
        changes = Changes()
        for motor in sorted(memory.state.keys() - memory.registry.profiles.keys()):
            if self._policy.unknown_motor == "generic":
                self._introduce(monitor.generic_profile(motor))
            else:
                self._retire(motor, "nobody describes the motor any more", changes)
        healths = []
        for motor, payload in memory.healths.items():
            try:
                healths.append((Health.model_validate_json(payload), memory.heard_ts_s[motor]))
            except ValidationError:
                _log.warning("the stored health of %s cannot be read; it comes anew with the next reading", motor)
        standing = monitor.open_alerts(memory.state)
        self._live.update(healths, standing)
        self._historian.heed(standing)
        self._notices.reconcile(standing)
        return changes

    def _heed_notes(self, changes: Changes, now_s: float) -> None:
        while self._inbox.notes:
            note = self._inbox.notes.popleft()
            if isinstance(note, Acknowledged):
                number = self.memory.outbox.acknowledged(note.token, accepted=note.accepted)
                if number is not None:
                    changes.outbox[number] = None
            elif isinstance(note, Repaired):
                self.memory.take(monitor.relearn(self.memory.state, note.motor), changes)
            else:
                self._welcome(changes, now_s, forgotten=not note.kept)

    def _welcome(self, changes: Changes, now_s: float, *, forgotten: bool) -> None:
        """A session stands: say what the broker may not know any more."""
        memory = self.memory
        self._voice.node("online")
        self._metrics.connections.inc()
        memory.outbox.reconnected(self._link.generation)
        for motor, state in self._presence.states().items():
            self._voice.availability(motor, state)
        kept = self._welcomed and not forgotten
        self._voice.welcome()
        for seen in self._live.motors():
            self._voice.introduce(seen.profile)
        for motor in self._unsaid if kept else memory.healths:
            if motor in memory.healths:
                self._voice.health(motor, memory.healths[motor])
        self._unsaid.clear()
        self._welcomed = True
        if kept:
            return
        waiting = memory.outbox.topics()
        standing = monitor.open_alerts(memory.state)
        memory.queue((a for a in standing if topics.alert(a.motor, a.condition) not in waiting), changes)
        self._link.subscribe(topics.EVERY_ALERT)
        self._strays_until_s = now_s + _STRAYS_WITHIN_S

    def _count_alerts(self, alerts: Sequence[Alert]) -> None:
        self._historian.heed(alerts)
        self._notices.heed(alerts)
        for alert in alerts:
            self._metrics.alerts[alert.condition, alert.state].inc()


def _unprocessable(error: Exception) -> Refused:
    detail = f"the models fail on it: {type(error).__name__}: {error}"
    return Refused("unprocessable", "payload", detail, "keep the payload and report it; other readings go on")
