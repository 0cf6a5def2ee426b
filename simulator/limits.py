"""What tables of pydantic fields declare for a key, for messages that name it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def declared(model: type[BaseModel], loc: Sequence[int | str]) -> str | None:
    """Like "within 0..1" or "above 0" for the key at ``loc`` below ``model``; None where nothing is declared."""
    *path, name = loc
    table = _table(model, path)
    if table is None or name not in table.model_fields:
        return None
    bounds: dict[str, float] = {}
    for item in _kinds(table.model_fields[str(name)]):
        for edge in ("ge", "gt", "le", "lt"):
            value = getattr(item, edge, None)
            if isinstance(value, int | float):
                bounds[edge] = value
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None:
        edges = [f"{low:.12g}" + " (exclusive)" * ("gt" in bounds), f"{high:.12g}" + " (exclusive)" * ("lt" in bounds)]
        return f"within {'..'.join(edges)}"
    if low is not None:
        return f"above {low:.12g}" if "gt" in bounds else f"at least {low:.12g}"
    if high is not None:
        return f"below {high:.12g}" if "lt" in bounds else f"at most {high:.12g}"
    return None


def meant(model: type[BaseModel], loc: Sequence[int | str]) -> str | None:
    """The key of its table that an unknown one at ``loc`` resembles most; None where none does."""
    *path, name = loc
    table = _table(model, path)
    close = get_close_matches(str(name), table.model_fields, n=1) if table is not None else []
    return close[0] if close else None


def _table(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel] | None:
    """The table at a path."""
    table: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if table is None or part not in table.model_fields:
            return None
        kinds = _kinds(table.model_fields[part])
        table = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return table


def _kinds(kind: Any) -> Iterator[Any]:
    """A type, what it is made of, and its annotations, however deep."""
    yield kind
    if isinstance(kind, FieldInfo):
        yield from kind.metadata
        yield from _kinds(kind.annotation)
    for part in get_args(kind):
        yield from _kinds(part)
