"""Answers in the API's one form."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from service.api.shield import failure


def answer(document: Any, status: int = 200) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(to_json(document), status, media_type="application/json", headers={"cache-control": "no-store"})


def mistake(status: int, text: str) -> Response:
    """An error in the form of the Open Inference Protocol."""
    return answer({"error": text}, status)


def unknown_motor() -> Response:
    """Nobody has introduced a motor of this id."""
    remedy = "publish a retained birth message for it, or add it to the edge's TOML"
    return failure(404, "unknown_motor", "no motor has this id", remedy)
