"""Reports for the shift book, asked over HTTP."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from service import money, report
from service.api import documents
from service.api.answers import unknown_motor
from service.api.past import complete, unkept
from service.contract.faults import ANOMALY
from service.contract.topics import ID_PATTERN

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.runtime import Runtime

_HOUR_S = 3600.0
_ALERTS = 500

Hours = Annotated[float, Query(gt=0, le=87_660, allow_inf_nan=False, description="how far back")]
MotorId = Annotated[str, Path(pattern=ID_PATTERN)]
_PAGES: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}, 503: {"model": documents.Failure}}


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes."""
    archive, live, settings = runtime.historian.archive, runtime.live, runtime.settings

    @app.get("/v1/report", response_class=Response, responses=_PAGES)
    def fleet(hours: Hours = 24.0) -> Response:
        standing = live.alerts(cleared=False)
        ids = {alert.id for alert in standing}
        try:
            alerts = archive.recent(time.time() - hours * _HOUR_S, sorted(ids), _ALERTS)
            complete(alerts, archive.notes([alert["id"] for alert in alerts]), ids)
            repaired = archive.repaired()
        except sqlite3.Error as error:
            return unkept(error)
        at_risk = {alert.motor for alert in standing if alert.condition != ANOMALY}
        sums = money.reckon(at_risk, repaired, settings.money)
        return _page(
            report.of_fleet(settings.node, _model(runtime), live.motors(), alerts, sums, f"last {hours:g} hours")
        )

    @app.get("/v1/motors/{motor}/report", response_class=Response, responses=_PAGES)
    def one(motor: MotorId, hours: Annotated[Hours | None, Query()] = None) -> Response:
        seen = live.motor(motor)
        if seen is None:
            return unknown_motor()
        try:
            newest_ts_s = time.time() if seen.health is None else seen.health.ts_s
            past = archive.series(motor, None if hours is None else newest_ts_s - hours * _HOUR_S, None, None)
            alerts = archive.alerts(motor, _ALERTS)
            notes = archive.notes([alert["id"] for alert in alerts])
            complete(alerts, notes, {alert.id for alert in seen.alerts.values()})
        except sqlite3.Error as error:
            return unkept(error)
        span = "everything kept" if hours is None else f"last {hours:g} hours"
        return _page(report.of_motor(settings.node, _model(runtime), seen, seen.nameplate(), past, alerts, span))


def _model(runtime: Runtime) -> str:
    manifest = runtime.models.manifest
    return f"{manifest.name} {manifest.version} ({runtime.models.digest[:12]})"


def _page(text: str) -> Response:
    headers = {"content-security-policy": report.POLICY, "cache-control": "no-store"}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)
