"""What the historian holds, asked over HTTP: a motor's history, its last window, alerts and notes, money."""

from __future__ import annotations

import csv
import io
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Header, Path, Query
from starlette.responses import Response, StreamingResponse

from service import money, vibration
from service.api import access, documents
from service.api.answers import answer, unknown_motor
from service.api.shield import failure
from service.contract.faults import ANOMALY
from service.contract.topics import ID_PATTERN
from service.errors import StoreError
from service.historian import Note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from service.archive import Row
    from service.live import Seen
    from service.runtime import Runtime

_LINES_AT_ONCE = 500

MotorId = Annotated[str, Path(pattern=ID_PATTERN)]
AlertId = Annotated[str, Path(max_length=160)]
FromTs = Annotated[float | None, Query(alias="from", ge=-1e12, le=1e12, allow_inf_nan=False, description="Unix s")]
ToTs = Annotated[float | None, Query(alias="to", ge=-1e12, le=1e12, allow_inf_nan=False, description="Unix s")]
Step = Annotated[float | None, Query(gt=0, le=1e9, allow_inf_nan=False, description="seconds a point")]
_UNKEPT: dict[int | str, dict[str, Any]] = {503: {"model": documents.Failure}}
_CHANGING: dict[int | str, dict[str, Any]] = {
    status: {"model": documents.Failure} for status in (400, 401, 403, 404, 503)
}


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes."""
    _history(app, runtime)
    _alerts(app, runtime)
    _notes(app, runtime)

    @app.get("/v1/money", response_model=documents.Money, responses=_UNKEPT)
    def sums() -> Response:
        at_risk = {alert.motor for alert in runtime.live.alerts(cleared=False) if alert.condition != ANOMALY}
        try:
            repaired = runtime.historian.archive.repaired()
        except sqlite3.Error as error:
            return unkept(error)
        return answer(money.reckon(at_risk, repaired, runtime.settings.money))


def _history(app: FastAPI, runtime: Runtime) -> None:
    archive, windows = runtime.historian.archive, runtime.historian.windows

    @app.get("/v1/motors/{motor}/history", response_model=documents.History, responses=_UNKEPT)
    def history(motor: MotorId, start: FromTs = None, end: ToTs = None, step: Step = None) -> Response:
        try:
            series = archive.series(motor, start, end, step)
        except sqlite3.Error as error:
            return unkept(error)
        return answer({"motor": motor, **series._asdict()})

    @app.get("/v1/motors/{motor}/history.csv", response_class=StreamingResponse, responses=_UNKEPT)
    def export(motor: MotorId, start: FromTs = None, end: ToTs = None) -> Response:
        rows = archive.rows(motor, start, end)
        try:
            header, first = next(rows), next(rows, None)
        except sqlite3.Error as error:
            return unkept(error)
        headers = {"content-disposition": f'attachment; filename="{motor}.csv"', "cache-control": "no-store"}
        lines = _lines(header, [] if first is None else [first], rows)
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)

    @app.get("/v1/motors/{motor}/window", response_model=documents.Window)
    def window(motor: MotorId) -> Response:
        seen = runtime.live.motor(motor)
        if seen is None:
            return unknown_motor()
        kept = windows.get(motor)
        picture = None if kept is None else vibration.portrait(kept.reading)
        if kept is None or picture is None:
            remedy = "wait for the motor's next reading with accel_m_s2"
            return failure(404, "no_window", "no vibration of this motor is at hand since the edge started", remedy)
        reading, before = kept
        speed_rpm, measured = _speed(reading.speed_rpm, seen)
        return answer(
            {
                "motor": motor,
                "ts_s": reading.ts_s,
                "speed_rpm": speed_rpm,
                "speed_measured": measured,
                "speed_before_rpm": None if before is None else before.rpm,
                "steady": vibration.steady(kept),
                "marks_hz": _marks_hz(seen, speed_rpm),
                **picture,
            }
        )


def _alerts(app: FastAPI, runtime: Runtime) -> None:
    archive = runtime.historian.archive

    @app.get("/v1/motors/{motor}/alerts", response_model=documents.PastAlerts, responses=_UNKEPT)
    def past(motor: MotorId, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Response:
        try:
            alerts = archive.alerts(motor, limit)
            notes = archive.notes([alert["id"] for alert in alerts])
        except sqlite3.Error as error:
            return unkept(error)
        seen = runtime.live.motor(motor)
        complete(alerts, notes, {alert.id for alert in seen.alerts.values()} if seen is not None else set())
        return answer({"alerts": alerts})


def _notes(app: FastAPI, runtime: Runtime) -> None:
    @app.post("/v1/alerts/{alert}/notes", status_code=201, response_model=documents.SavedNote, responses=_CHANGING)
    def note(
        alert: AlertId,
        said: Annotated[documents.NewNote, Body()],
        authorization: Annotated[str | None, Header(max_length=512)] = None,
    ) -> Response:
        refused = access.refusal(authorization, runtime.settings.http, runtime.metrics)
        if refused is not None:
            return refused
        try:
            # one of the last second may not be written yet; the historian writes it before the note
            young = any(standing.id == alert for standing in runtime.live.alerts(cleared=True))
            if not young and not runtime.historian.archive.has_alert(alert):
                return failure(404, "unknown_alert", "no alert has this id", "take the id from the motor's alerts")
            saved = Note(alert, said.kind, said.by, said.text, time.time())
            runtime.historian.say(saved)
        except (StoreError, sqlite3.Error) as error:
            return unkept(error)
        runtime.live.note(saved)
        if saved.kind == "repaired":
            runtime.repaired(alert.split(":")[0])
        return answer(saved, 201)


def complete(alerts: list[dict[str, Any]], notes: list[dict[str, Any]], standing: set[str]) -> None:
    """Put to each alert what was said of it, and its end where that was missed."""
    for alert in alerts:
        alert["notes"] = [note for note in notes if note["alert"] == alert["id"]]
        if alert["state"] != "clear" and alert["id"] not in standing:
            alert |= {"state": "clear", "reason": f"{alert['reason']} (its end was not recorded)"}


def unkept(error: Exception) -> Response:
    """History cannot be asked at present."""
    remedy = "see /health/ready; the edge tries again by itself"
    return failure(503, "no_history", f"history cannot be used: {error}", remedy)


def _lines(header: Row, first: list[Row], rest: Iterator[Row]) -> Iterator[bytes]:
    """CSV (RFC 4180), some hundred lines a piece."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(first)
    for count, row in enumerate(rest, start=1):
        writer.writerow(row)
        if count % _LINES_AT_ONCE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _speed(measured_rpm: float | None, seen: Seen) -> tuple[float | None, bool]:
    """The shaft's speed, the rated one where it is not measured."""
    if measured_rpm is not None:
        return measured_rpm, True
    return seen.nameplate()["rated_speed_rpm"], False


def _marks_hz(seen: Seen, speed_rpm: float | None) -> dict[str, float]:
    """Characteristic frequencies of the bearing and the shaft at this speed; a defective ball strikes at 2 BSF."""
    if not speed_rpm or not math.isfinite(speed_rpm):
        return {}
    shaft_hz = speed_rpm / 60.0
    plate = seen.nameplate()
    orders = {name: plate[name] for name in ("bpfo", "bpfi", "bsf", "ftf")}
    return {"shaft": shaft_hz, **{name: order * shaft_hz for name, order in orders.items() if order is not None}}
