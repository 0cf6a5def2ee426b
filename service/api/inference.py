"""The Open Inference Protocol v2 over REST: what the models are, and an answer for whoever brings tensors of their own.

Health, metadata and inference of the protocol, with its binary tensor extension: ``Inference-Header-Content-Length``
says where the raw tensors begin. Models are the bundle's graphs, their version is the bundle's. Errors have the
protocol's form, ``{"error": TEXT}``. Motors come first: see ``turnstile``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation
from starlette.responses import Response

from service.api import tensors
from service.api.answers import answer, mistake
from service.api.tensors import DATATYPES, Question, Refused, Tensor, Verdict
from service.api.turnstile import Busy, Turnstile
from service.contract.manifest import GraphName
from service.errors import InferenceError
from service.version import VERSION

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.contract.manifest import TensorSpec
    from service.monitor import Models
    from service.runtime import Runtime

HEAD_LENGTH = "inference-header-content-length"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Mistake(_Part):
    """The protocol's error."""

    error: str


class Server(_Part):
    """Who answers."""

    name: str
    version: str
    extensions: tuple[str, ...]


class Model(_Part):
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    platform: Literal["onnxruntime_onnx"] = "onnxruntime_onnx"
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


Named = Annotated[GraphName, Path(description="a graph of the bundle that runs")]
HeadLength = Annotated[str, Header(alias=HEAD_LENGTH, pattern=r"^[0-9]{0,9}$")]
_REFUSED: dict[int | str, dict[str, Any]] = {status: {"model": Mistake} for status in (400, 404)}
_BUSY: dict[int | str, dict[str, Any]] = {status: {"model": Mistake} for status in (413, 503)}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema that refers to nothing: FastAPI does not know the types of a body that it does not parse."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(part, definitions) for key, part in schema.items() if key != "$defs"}


_QUESTION = Question.model_json_schema()
_BODY = {
    "required": True,
    "content": {"application/json": {"schema": _inlined(_QUESTION, _QUESTION.get("$defs", {}))}},
}


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes."""
    _server(app, runtime)
    _models(app, runtime)
    _infer(app, runtime)


def _server(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/v2", response_model=Server)
    def server() -> Response:
        return answer(Server(name="motortwin", version=VERSION, extensions=("binary_tensor_data", "model_repository")))

    @app.get("/v2/health/live", response_class=Response, responses={503: {"model": Mistake}})
    def live() -> Response:
        return Response() if runtime.alive else mistake(503, "; ".join(runtime.condition().reasons))

    @app.get("/v2/health/ready", response_class=Response, responses={503: {"model": Mistake}})
    def ready() -> Response:
        condition = runtime.condition()
        return Response() if condition.status != "unready" else mistake(503, "; ".join(condition.reasons))


def _route(app: FastAPI, path: str, method: str, act: Any, **more: Any) -> None:
    """Declare a route twice: for the bundle that runs, and for whoever insists on its version."""
    extra = more.pop("openapi_extra", {})
    responses = _REFUSED | more.pop("responses", {})
    for kind, middle, parameters in (("latest", "", []), ("version", "/versions/{version}", [_VERSION])):
        app.add_api_route(
            f"/v2/models/{{model}}{middle}{path}",
            act,
            methods=[method],
            operation_id=f"{act.__name__}_{kind}",
            responses=responses,
            openapi_extra=extra | ({"parameters": parameters} if parameters else {}),
            **more,
        )


def _models(app: FastAPI, runtime: Runtime) -> None:
    def metadata(request: Request, model: Named) -> Response:
        found = _found(runtime, request, model)
        return found if isinstance(found, Response) else answer(_described(found, model))

    def ready(request: Request, model: Named) -> Response:
        found = _found(runtime, request, model)
        return found if isinstance(found, Response) else Response()

    _route(app, "", "GET", metadata, response_model=Model)
    _route(app, "/ready", "GET", ready, response_class=Response)


def _infer(app: FastAPI, runtime: Runtime) -> None:
    turnstile = Turnstile()

    async def infer(request: Request, model: Named, head_length: HeadLength = "") -> Response:
        found = _found(runtime, request, model)
        if isinstance(found, Response):
            return found
        body = await request.body()
        length = int(head_length) if head_length else None
        try:
            return await run_in_threadpool(_judged, found, model, body, length, turnstile)
        except Refused as refused:
            return mistake(400, str(refused))
        except Busy as busy:
            late = mistake(503, str(busy))
            late.headers["retry-after"] = "1"
            return late

    _route(app, "/infer", "POST", infer, response_model=Verdict, responses=_BUSY, openapi_extra={"requestBody": _BODY})


def _found(runtime: Runtime, request: Request, model: GraphName) -> Models | Response:
    """The bundle that has this model in this version, or why there is none."""
    models = runtime.models
    manifest = models.manifest
    version = request.path_params.get("version")
    if model not in manifest.graphs:
        return mistake(404, f"model: {model} is not in this bundle; there are {', '.join(manifest.graphs)}")
    if version not in {None, str(manifest.version)}:
        return mistake(404, f"version: this one does not run; the bundle's is {manifest.version}")
    return models


def _described(models: Models, model: GraphName) -> Model:
    spec = models.manifest.graphs[model]

    def listed(named: dict[str, TensorSpec]) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(
                name=name,
                datatype=DATATYPES[tensor.dtype],
                shape=tuple(-1 if size == "batch" else size for size in tensor.shape),
            )
            for name, tensor in named.items()
        )

    version = str(models.manifest.version)
    return Model(name=model, versions=(version,), inputs=listed(spec.inputs), outputs=listed(spec.outputs))


def _judged(models: Models, model: GraphName, body: bytes, head_length: int | None, turnstile: Turnstile) -> Response:
    spec = models.manifest.graphs[model]
    question, tail = tensors.parsed(body, head_length)
    feeds, names = tensors.feeds(question, tail, spec), tensors.wanted(question, spec)
    try:
        with turnstile.through():
            outputs = models.run(model, feeds)
    except InferenceError as error:
        raise Refused(f"{error}; send values as a motor would") from error
    head, raw = tensors.told(outputs, names, model, str(models.manifest.version), question.id)
    if not raw:
        return Response(head, media_type="application/json")
    return Response(head + raw, media_type="application/octet-stream", headers={HEAD_LENGTH: str(len(head))})
