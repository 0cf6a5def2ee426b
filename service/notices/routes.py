"""All routes: what the worker hands alerts to, what readiness and metrics ask."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from service.contract.faults import ANOMALY
from service.contract.messages import Alert
from service.notices.mail import Mail
from service.notices.notice import Notice, Origin
from service.notices.route import Route
from service.notices.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from service.live import Live
    from service.metrics import Metrics
    from service.notices.options import MailSettings, WebhookSettings
    from service.notices.outcome import Outcome, Teller
    from service.settings import Settings

FOLDER = "notices"


class Routes:
    """Each route the settings name. ``heed`` and ``reconcile`` belong to the worker and never wait."""

    def __init__(self, settings: Settings, live: Live, metrics: Metrics) -> None:
        self._live = live
        self._routes = [
            Route(name, options, teller, settings.data_dir / FOLDER, metrics.notices[form])
            for name, form, options, teller in _tellers(settings)
        ]

    @property
    def faults(self) -> list[str]:
        """What does not get through, for a person."""
        return [fault for route in self._routes if (fault := route.fault) is not None]

    @property
    def waiting(self) -> int:
        """Messages that have not been told."""
        return sum(route.waiting for route in self._routes)

    def start(self) -> None:
        """Begin to tell."""
        for route in self._routes:
            route.start()

    def stop(self) -> None:
        """Keep what waits and end."""
        for route in self._routes:
            route.stop()

    def heed(self, alerts: Iterable[Alert]) -> None:
        """Alert messages, in order."""
        if self._routes:
            notices = self._named(alerts)
            for route in self._routes:
                route.hand_over(notices)

    def reconcile(self, standing: Iterable[Alert]) -> None:
        """After a start: what is open now."""
        notices = self._named(standing)
        for route in self._routes:
            route.reconcile(notices)

    def _named(self, alerts: Iterable[Alert]) -> list[Notice]:
        notices = []
        for alert in alerts:
            seen = self._live.motor(alert.motor)
            notices.append(Notice(alert, "" if seen is None else seen.profile.name))
        return notices


def tried(settings: Settings) -> Iterator[tuple[str, Outcome]]:
    """Tell a made-up alert on every route, once and now: each route's name and how that ended."""
    now_ts_s = time.time()
    opened = Alert(
        id=f"trial:{ANOMALY}:{int(1000 * now_ts_s)}",
        motor="trial",
        condition=ANOMALY,
        state="open",
        revision=0,
        opened_ts_s=now_ts_s,
        ts_s=now_ts_s,
        reason="This is a trial of the way that alerts take. No motor is concerned.",
        model="0" * 12,
    )
    ended = opened.model_copy(update={"state": "clear", "revision": 1})
    for name, form, _, teller in _tellers(settings):
        outcome = teller.tell([Notice(opened, "Trial")])
        if form == "alertmanager" and outcome.result == "delivered":
            outcome = teller.tell([Notice(ended, "Trial")])
        yield f"{name} ({teller.place})", outcome


def _tellers(settings: Settings) -> Iterator[tuple[str, str, WebhookSettings | MailSettings, Teller]]:
    """Name, format, settings and teller of every route."""
    origin = Origin(settings.node, settings.http.public_url)
    for name, options in settings.webhooks.items():
        yield f"webhook-{name}", options.format, options, Webhook(options, origin)
    if settings.mail.on:
        yield "mail", "mail", settings.mail, Mail(settings.mail, origin)
