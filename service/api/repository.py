"""The model repository extension of the Open Inference Protocol: which bundles there are, try one, call one off.

``load`` answers when the bundle has passed its trial (signature, digests, golden vectors) and is in the shadow; the
rest of its way stands in ``GET /v1/model``. Errors have the protocol's form, ``{"error": TEXT}``.
"""

from __future__ import annotations

import itertools
import json
from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from service.api import access
from service.api.answers import answer, mistake
from service.api.inference import Mistake
from service.contract.topics import ID_PATTERN
from service.errors import EdgeError, NotOffered
from service.swap import ENDINGS

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.runtime import Runtime

_GRACE_S = 15.0  # for what waits before the trial begins

BundleName = Annotated[str, Path(pattern=ID_PATTERN, description="name of a folder in bundles/offered")]
Authorization = Annotated[str | None, Header(max_length=1024)]


class Indexed(BaseModel):
    """One bundle in the repository; ``READY`` is the one that runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes."""
    _index(app, runtime)
    rollout = runtime.rollout
    refused: dict[int | str, dict[str, object]] = {
        status: {"model": Mistake} for status in (400, 401, 403, 404, 409, 503, 504)
    }

    def load(name: BundleName, authorization: Authorization = None) -> Response:
        denied = _denied(authorization, runtime)
        if denied is not None:
            return denied
        return _tried(runtime, name)

    def unload(name: BundleName, authorization: Authorization = None) -> Response:
        denied = _denied(authorization, runtime)
        if denied is not None:
            return denied
        told = rollout.progress
        if told is None or told.name != name or not rollout.call_off():
            return mistake(409, f"no bundle {name} is on its way; the one that runs is replaced, never unloaded")
        return Response(status_code=200)

    for act, method in itertools.product((load, unload), ("POST", "PUT")):
        app.add_api_route(
            f"/v2/repository/models/{{name}}/{act.__name__}",
            act,
            methods=[method],
            response_class=Response,
            responses=refused,
            operation_id=f"{act.__name__}_by_{method.lower()}",
        )


def _tried(runtime: Runtime, name: str) -> Response:
    """Waits for a bundle's trial."""
    if runtime.rollout.fault is not None:
        return mistake(503, runtime.rollout.fault)
    try:
        phase = runtime.rollout.request(name).result(runtime.settings.swap.trial_s + _GRACE_S)
    except NotOffered as error:
        return mistake(404, str(error))
    except EdgeError as error:
        return mistake(400, str(error))
    except Late:
        return mistake(504, "another bundle is on its way; see GET /v1/model and ask again")
    return mistake(409, "the trial was broken off") if phase in ENDINGS else Response(status_code=200)


def _index(app: FastAPI, runtime: Runtime) -> None:
    @app.post("/v2/repository/index", response_model=tuple[Indexed, ...])
    def index() -> Response:
        manifest = runtime.models.manifest
        found = [Indexed(name=manifest.name, version=str(manifest.version), state="READY", reason="")]
        told = runtime.rollout.progress
        if told is not None and told.phase != "committed":
            state: Literal["LOADING", "UNAVAILABLE"] = "UNAVAILABLE" if told.phase in ENDINGS else "LOADING"
            reason = f"{told.phase}: {told.reason}" if told.reason else told.phase
            found.append(Indexed(name=told.name, version=str(told.version), state=state, reason=reason))
        return answer([one.model_dump() for one in found])


def _denied(authorization: str | None, runtime: Runtime) -> Response | None:
    denied = access.refusal(authorization, runtime.settings.http, runtime.metrics)
    if denied is None:
        return None
    problem = json.loads(bytes(denied.body))["error"]
    told = mistake(denied.status_code, f"{problem['message']}; {problem['remedy']}")
    told.headers.update({k: v for k, v in denied.headers.items() if k == "www-authenticate"})
    return told
