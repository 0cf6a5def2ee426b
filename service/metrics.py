"""Every Prometheus metric of the edge, in one place, in a registry of its own.

Labels are bounded: reasons, conditions, signals and stages are vocabularies; a motor's id is never a label. Children
are looked up once, here, so that counting costs no look-up on the way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector

from service.contract.faults import CONDITIONS
from service.contract.messages import Reason
from service.contract.signals import OPERATING
from service.contract.sketch import CHANNELS
from service.drift import STATUSES
from service.inbox import ShedReason
from service.notices.options import FORMATS
from service.senses import FLAT_SIGNALS
from service.swap import ENDINGS
from service.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.contract.messages import Health

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGES = ("wait", "decode", "step", "publish", "commit")
MOTOR_STATES = ("ok", "warning", "alarm", "unheard")
ALERT_STATES = ("open", "update", "clear")
NOTICE_RESULTS = ("delivered", "repeated", "failed", "refused", "queue_full", "too_old")
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NIS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# a counter's creation time doubles the series and nobody asks for it
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics as attributes; mappings are keyed by the label's value."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.readings = Counter("motortwin_readings", "Readings accepted and answered.", registry=self.registry)
        self.redelivered = Counter(
            "motortwin_redelivered", "Readings the broker sent again and we already had.", registry=self.registry
        )
        self.births = Counter("motortwin_births", "Birth messages accepted.", registry=self.registry)
        self.rejected = self._counters("motortwin_rejected", "Payloads refused, by reason.", "reason", get_args(Reason))
        self.masked = self._counters(
            "motortwin_masked", "Implausible scalar values left out, by signal.", "signal", OPERATING
        )
        self._sensors()
        self.shed = self._counters(
            "motortwin_shed", "Readings displaced unread by newer ones, by reason.", "reason", get_args(ShedReason)
        )
        alerts = Counter(
            "motortwin_alerts",
            "Alert messages, by condition and state.",
            ["condition", "state"],
            registry=self.registry,
        )
        self.alerts = {(c, s): alerts.labels(c, s) for c in CONDITIONS for s in ALERT_STATES}
        self.alerts_open = self._gauges("motortwin_alerts_open", "Open alerts, by condition.", "condition", CONDITIONS)
        self.motors = self._gauges("motortwin_motors", "Known motors, by state.", "state", MOTOR_STATES)
        self.motors_silent = self._gauge("motortwin_motors_silent", "Motors whose sensor has gone silent.")
        notices = Counter(
            "motortwin_notices",
            "Alerts told to people, by format and how that ended; failed is tried again, the last three are lost.",
            ["format", "result"],
            registry=self.registry,
        )
        self.notices = {form: {result: notices.labels(form, result) for result in NOTICE_RESULTS} for form in FORMATS}
        self.notices_waiting = self._gauge("motortwin_notices_waiting", "Alerts that people have yet to be told.")
        self.sparkplug = self._counters(
            "motortwin_sparkplug",
            "Sparkplug messages sent or lost, rebirths asked for, commands refused.",
            "result",
            ("sent", "lost", "rebirth", "refused"),
        )
        self.batch = Histogram(
            "motortwin_batch_readings", "Readings taken by one step.", buckets=_ROWS, registry=self.registry
        )
        stages = Histogram(
            "motortwin_stage_seconds",
            "Time of one batch in one stage (wait: of its oldest reading, in the queue).",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stage = {stage: stages.labels(stage) for stage in STAGES}
        self.latency = Tally(
            "motortwin_latency_seconds",
            "From a reading's arrival to the hand-over of its health to the broker link.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.nis = Tally(
            "motortwin_filter_nis",
            "Normalised innovation squared of the health filter, one a reading.",
            buckets=_NIS,
            registry=self.registry,
        )
        self.input_age = self._gauge(
            "motortwin_input_age_seconds", "Since a reading was last answered; before the first, since the start."
        )
        self._answered_s = time.monotonic()
        self.input_age.set_function(lambda: time.monotonic() - self._answered_s)
        self.inbox_depth = self._gauge("motortwin_inbox_messages", "Messages that wait for the worker.")
        self.outbox_depth = self._gauge("motortwin_outbox_alerts", "Alerts that the broker has not acknowledged.")
        self.outbox_age = self._gauge(
            "motortwin_outbox_age_seconds", "How long the oldest of them has waited, since the start at most."
        )
        self.connected = self._gauge("motortwin_mqtt_connected", "1 while the session with the broker stands.")
        self.connections = Counter(
            "motortwin_mqtt_connections", "Sessions with the broker that have stood.", registry=self.registry
        )
        self.store_up = self._gauge("motortwin_store_up", "1 while what is learnt is saved.")
        self.store_failures = Counter(
            "motortwin_store_failures", "Commits or openings that failed.", registry=self.registry
        )
        self.store_moved_aside = Counter(
            "motortwin_store_moved_aside", "Damaged databases moved aside.", registry=self.registry
        )
        self.states_lost = Counter(
            "motortwin_states_lost", "Stored motor states that could not be read back.", registry=self.registry
        )
        self.historian_up = self._gauge("motortwin_historian_up", "1 while history is kept.")
        self.historian_bytes = self._gauge("motortwin_historian_bytes", "Bytes of history in use.")
        self.historian_failures = Counter(
            "motortwin_historian_failures", "History that could not be opened or written.", registry=self.registry
        )
        self.historian_dropped = Counter(
            "motortwin_historian_dropped", "Entries that history could not take in time.", registry=self.registry
        )
        self.step_failures = Counter("motortwin_step_failures", "Steps that raised.", registry=self.registry)
        self.streams = self._gauge("motortwin_streams", "Pages that are served live.")
        self.streams_dropped = Counter(
            "motortwin_streams_dropped", "Live pages dropped because they did not keep up.", registry=self.registry
        )
        self.tokens_refused = Counter(
            "motortwin_http_tokens_refused", "Requests for a change with a wrong token.", registry=self.registry
        )
        self.http_limited = self._counters(
            "motortwin_http_limited", "Requests of clients that ask too often or guess.", "reason", ("rate", "token")
        )
        self.doubted = Counter(
            "motortwin_time_doubted", "Readings whose time stamps no witness confirmed.", registry=self.registry
        )
        self.resets = Counter(
            "motortwin_filter_resets", "Filters of known motors that started afresh.", registry=self.registry
        )
        self.swaps = self._counters(
            "motortwin_swaps", "Bundles offered at run time, by how that ended.", "result", ENDINGS
        )
        self.swap_phase = self._gauges(
            "motortwin_swap_phase", "1 while a candidate is in the phase.", "phase", ("trial", "shadow", "soak")
        )
        self.model = Info("motortwin_model", "The model bundle in use.", registry=self.registry)
        self.build = Info("motortwin_build", "The service.", registry=self.registry)

    def _sensors(self) -> None:
        """What sensors leave out, and how their levels move."""
        self.flat = self._counters(
            "motortwin_flat", "Values left out because their sensor stands still, by signal.", "signal", FLAT_SIGNALS
        )
        self.missing = self._counters(
            "motortwin_missing",
            "Readings without this signal: never sent, implausible or flat.",
            "signal",
            (*OPERATING, "accel_m_s2"),
        )
        self.drift_motors = self._gauges(
            "motortwin_drift_motors", "Motors by what is known of the drift of their inputs.", "status", STATUSES
        )
        self.drift_score = self._gauges(
            "motortwin_drift_score",
            "Highest evidence in the fleet that a signal's level has moved, a logarithm.",
            "signal",
            CHANNELS,
        )
        self.drift_threshold = self._gauge(
            "motortwin_drift_threshold", "Of the drift score; infinite where the bundle holds no sketch."
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _counters(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
        family = Counter(name, text, [label], registry=self.registry)
        return {value: family.labels(value) for value in values}

    def _gauges(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Gauge]:
        family = Gauge(name, text, [label], registry=self.registry)
        return {value: family.labels(value) for value in values}

    def answered(self, latencies_s: Sequence[float], healths: Sequence[Health]) -> None:
        """Count what readings told: how long each answer took, the filter's surprise, sensors that said nothing."""
        if not healths:
            return
        self.readings.inc(len(healths))
        self.latency.observe(latencies_s)
        self.nis.observe([health.nis for health in healths if health.nis is not None])
        for health in healths:
            for signal in health.missing:
                self.missing[signal].inc()
            for signal in health.flat:
                self.flat[signal].inc()
        self._answered_s = time.monotonic()

    def on_scrape(
        self,
        *,
        inbox: Callable[[], float],
        outbox: Callable[[], float],
        outbox_age: Callable[[], float],
        connected: Callable[[], float],
    ) -> None:
        """Gauges that are read when they are asked for."""
        self.inbox_depth.set_function(inbox)
        self.outbox_depth.set_function(outbox)
        self.outbox_age.set_function(outbox_age)
        self.connected.set_function(connected)
