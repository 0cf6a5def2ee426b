"""All routes: what the worker hands alerts to, what readiness and metrics ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.notices.mail import Mail
from service.notices.notice import Notice, Origin
from service.notices.route import Route
from service.notices.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.contract.messages import Alert
    from service.live import Live
    from service.metrics import Metrics
    from service.settings import Settings

FOLDER = "notices"


class Routes:
    """Each route the settings name. ``heed`` and ``reconcile`` belong to the worker and never wait."""

    def __init__(self, settings: Settings, live: Live, metrics: Metrics) -> None:
        self._live = live
        origin, folder = Origin(settings.node, settings.http.public_url), settings.data_dir / FOLDER
        self._routes = [
            Route(f"webhook-{name}", options, Webhook(options, origin), folder, metrics.notices[options.format])
            for name, options in settings.webhooks.items()
        ]
        if settings.mail.on:
            self._routes.append(
                Route("mail", settings.mail, Mail(settings.mail, origin), folder, metrics.notices["mail"])
            )

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
