"""Which bundle runs, what was offered, which ran before; and going back to one of those."""

from __future__ import annotations

from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Header
from starlette.responses import Response  # noqa: TC002 - FastAPI reads annotations at run time

from service.api import access, documents
from service.api.answers import answer
from service.api.shield import failure
from service.errors import EdgeError, NotOffered, StoreError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.runtime import Runtime

_PATIENCE_S = 60.0  # golden vectors on a slow machine
_CHANGING: dict[int | str, dict[str, Any]] = {
    status: {"model": documents.Failure} for status in (401, 403, 404, 409, 503, 504)
}


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes."""

    @app.get("/v1/model", response_model=documents.Model)
    def model() -> Response:
        return answer(_model(runtime))

    @app.post("/v1/model/back", response_model=documents.Model, responses=_CHANGING)
    def back(
        wanted: Annotated[documents.Back, Body()],
        authorization: Annotated[str | None, Header(max_length=512)] = None,
    ) -> Response:
        refused = access.refusal(authorization, runtime.settings.http, runtime.metrics)
        return refused or _gone_back(runtime, wanted.digest)


def _gone_back(runtime: Runtime, digest: str) -> Response:
    if runtime.rollout.fault is not None:
        return failure(503, "no_ledger", runtime.rollout.fault, "see /health/ready; the edge tries again by itself")
    try:
        runtime.rollout.go_back(digest).result(_PATIENCE_S)
    except NotOffered as error:
        return failure(404, "unknown_bundle", str(error), "take a digest from there")
    except StoreError as error:
        return failure(503, "no_ledger", str(error), "the bundle that ran goes on; make room or mend the disk")
    except EdgeError as error:
        return failure(409, "not_now", str(error), "see GET /v1/model")
    except Late:
        return failure(504, "late", "the edge is busy with another bundle", "see GET /v1/model and ask again")
    return answer(_model(runtime))


def _model(runtime: Runtime) -> documents.Model:
    models, rollout = runtime.models, runtime.rollout
    manifest, progress = models.manifest, rollout.progress
    return documents.Model(
        name=manifest.name,
        version=manifest.version,
        digest=models.digest,
        classes=tuple(manifest.classes),
        window_samples=manifest.window.samples,
        window_min_samples=manifest.window.min_samples,
        fs_hz=manifest.window.fs_hz,
        training=manifest.training,
        metrics=manifest.metrics,
        release=rollout.entry.release,
        gate=rollout.gate,
        candidate=None if progress is None else documents.Candidate.of(progress),
        drift=_fleet_drift(runtime),
        ended=tuple(
            documents.Ended(ts_s=one.ts_s, bundle=documents.Candidate.of(one.progress))
            for one in reversed(rollout.chronicle.ended)
        ),
        earlier=tuple(
            documents.Earlier(
                name=one.name,
                version=one.entry.version,
                release=one.entry.release,
                digest=str(one.entry.digest),
                left_ts_s=one.left_ts_s,
            )
            for one in reversed(rollout.earlier)
        ),
    )


def _fleet_drift(runtime: Runtime) -> documents.FleetDrift:
    by_status, scores = runtime.drifting()
    motors = {str(status): count for status, count in by_status.items()}
    sketch = runtime.models.manifest.sketch
    if sketch is None:
        return documents.FleetDrift(motors=motors, score={})
    return documents.FleetDrift(
        motors=motors,
        score={name: round(score, 3) for name, score in scores.items()},
        block_s=sketch.block_s,
        learning_blocks=sketch.learning_blocks,
        false_alarm_h=sketch.false_alarm_h,
    )
