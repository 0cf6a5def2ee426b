"""What is answered where."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Header
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from service import metrics, vibration
from service.api import documents, inference, model, past, reports, repository
from service.api.answers import answer, mistake, unknown_motor
from service.api.shield import Shield, failure, is_protocol
from service.api.stream import Streams
from service.version import VERSION

if TYPE_CHECKING:
    from starlette.requests import Request

    from service.runtime import Runtime

PAGE = Path(__file__).parent.parent / "page"
_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
_REMEDIES = {
    400: "send JSON as /openapi.json describes it",
    404: "see /openapi.json for what there is",
    405: "see /openapi.json for what this address takes",
}


def create(runtime: Runtime) -> FastAPI:
    """The application over a running edge; ``app.state.streams`` is what to close before the server stops."""
    app = FastAPI(
        title="motortwin edge",
        version=VERSION,
        docs_url=None,  # its page would come from another host
        redoc_url=None,
        responses={404: {"model": documents.Failure}},
    )
    app.add_middleware(Shield, settings=runtime.settings.http, metrics=runtime.metrics)
    streams = Streams(runtime.live, runtime.metrics, runtime.settings.http.max_streams)
    app.state.streams = streams
    _errors(app)
    _health(app, runtime)
    _fleet(app, runtime, streams)
    past.add(app, runtime)
    reports.add(app, runtime)
    model.add(app, runtime)
    repository.add(app, runtime)
    inference.add(app, runtime)

    @app.get("/metrics", include_in_schema=False)
    def exposition() -> Response:
        return Response(runtime.exposition(), headers={"content-type": metrics.CONTENT_TYPE})

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        status = error.status_code
        remedy = _REMEDIES.get(status, "correct the request")
        if is_protocol(request.url.path):
            told = mistake(status, f"{error.detail}; {remedy}")
        else:
            told = failure(status, _CODES.get(status, f"http_{status}"), str(error.detail), remedy)
        if status == 405:
            told.headers["allow"] = ", ".join(_allowed(app, request))
        return told

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if is_protocol(request.url.path):
            status = 404 if where == "path.model" else 400
            return mistake(status, f"{where}: {first['msg']}; see /openapi.json for types and ranges")
        return failure(422, "invalid", f"{where}: {first['msg']}", "see /openapi.json for types and ranges")

    @app.exception_handler(Exception)
    async def broken(request: Request, _error: Exception) -> Response:
        if is_protocol(request.url.path):
            return mistake(500, "the service failed on this request; report it, the log holds the cause")
        return failure(500, "internal", "the service failed on this request", "report it; the log holds the cause")


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """What an address takes; a route of its own for each method would name only its own."""
    here = (route for route in app.routes if isinstance(route, Route) and route.path_regex.match(request.url.path))
    return sorted({method for route in here for method in route.methods or ()})


def _health(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/health/live", response_model=documents.Liveness, responses={503: {"model": documents.Liveness}})
    def live() -> Response:
        if runtime.alive:
            return answer(documents.Liveness(status="live"))
        return answer(documents.Liveness(status="dead", reasons=runtime.condition().reasons), 503)

    @app.get("/health/ready", response_model=documents.Readiness, responses={503: {"model": documents.Readiness}})
    def ready() -> Response:
        condition = runtime.condition()
        readiness = documents.Readiness(
            status=condition.status,
            reasons=condition.reasons,
            mqtt_protocol=runtime.link.protocol,
            version=VERSION,
        )
        return answer(readiness, 503 if condition.status == "unready" else 200)


def _fleet(app: FastAPI, runtime: Runtime, streams: Streams) -> None:
    live = runtime.live

    @app.get("/v1/motors", response_model=documents.Motors)
    def motors() -> Response:
        return answer({"motors": [seen.document() for seen in live.motors()]})

    @app.get("/v1/motors/{motor}", response_model=documents.MotorDetail)
    def motor(motor: str) -> Response:
        seen = live.motor(motor)
        if seen is None:
            return unknown_motor()
        power_w = seen.profile.rated_power_w
        detail = {
            "nameplate": seen.nameplate(),
            "rated_power_w": None if math.isnan(power_w) else power_w,
            "zones_mm_s": vibration.zones_mm_s(power_w),
            "filter": runtime.filter_state(motor),
            "drift": _drift(runtime, motor),
            "open_alerts": list(seen.alerts.values()),
        }
        return answer(seen.document() | detail)

    @app.get("/v1/alerts", response_model=documents.Alerts)
    def alerts(*, cleared: bool = False) -> Response:
        found = live.alerts(cleared=cleared)
        try:
            notes = runtime.historian.archive.notes([alert.id for alert in found])
        except sqlite3.Error:  # counted and told by the historian itself; what stands is answered all the same
            notes = []
        return answer({"alerts": found, "notes": notes})

    @app.get("/v1/site", response_model=documents.Site)
    def site() -> Response:
        settings = runtime.settings
        changes = settings.http.token is not None or settings.http.token_file is not None
        return answer({"node": settings.node, "version": VERSION, "changes": changes})

    @app.get("/v1/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> Response:
        return streams.open(last_event_id)


def _drift(runtime: Runtime, motor: str) -> documents.Drift:
    status, channels = runtime.drift_of(motor)
    signals = {
        name: documents.DriftChannel(score=one.score, learnt=one.learnt, unlike=one.unlike)
        for name, one in channels.items()
    }
    return documents.Drift(status=status, signals=signals)
