"""Physics declared as data: every parameter carries its unit, default, allowed range, spread over machines and source.

A physical model is a frozen dataclass whose fields are made by ``parameter``. A field holds a scalar or one value per
machine, shape ``(n,)``, so the same equations serve one motor and ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import DataclassInstance

Values = NDArray[np.float64]
"""One value per machine, shape ``(n,)``, or a scalar array of shape ``()``."""

Law = Literal["uniform", "log"]
_KEY = "parameter"
_Model = TypeVar("_Model")


class OutOfRangeError(ValueError):
    """A physical parameter outside what the model allows; the text names the field and the range."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What is known of one parameter besides its value."""

    default: float
    unit: str
    low: float
    high: float
    spread: tuple[float, float]
    law: Law
    source: str


def parameter(
    default: float,
    unit: str,
    *,
    limits: tuple[float, float],
    spread: tuple[float, float] | None = None,
    law: Law = "uniform",
    source: str,
) -> Any:
    """A dataclass field.

    Args:
        default: value of a nominal machine.
        unit: SI or the unit in the name; "1" where dimensionless.
        limits: values outside are refused.
        spread: range over a population of machines; None keeps the default for all.
        law: how the spread is drawn, uniform or uniform in the logarithm.
        source: where value and range come from.
    """
    low, high = limits
    about = Parameter(default, unit, low, high, spread or (default, default), law, source)
    return field(default_factory=lambda: np.array(default, dtype=np.float64), metadata={_KEY: about})


def parameters(model: type[DataclassInstance]) -> Iterator[tuple[str, Parameter]]:
    """Name and description of every declared parameter of a model, in order."""
    for item in fields(model):
        if _KEY in item.metadata:
            yield item.name, item.metadata[_KEY]


def draw(model: type[_Model], rng: np.random.Generator, count: int, **given: Values) -> _Model:
    """``count`` machines of a model: each parameter from its spread, except the given ones."""
    values: dict[str, Values] = {}
    for name, about in parameters(cast("type[DataclassInstance]", model)):
        low, high = about.spread
        if name in given:
            values[name] = np.asarray(given[name], dtype=np.float64)
        elif low == high:
            values[name] = np.full(count, about.default)
        elif about.law == "log":
            values[name] = np.exp(rng.uniform(np.log(low), np.log(high), count))
        else:
            values[name] = rng.uniform(low, high, count)
    return model(**values)


def nominal(model: type[_Model], count: int, **given: float) -> _Model:
    """``count`` equal machines of a model: the defaults, except the given values."""
    declared = parameters(cast("type[DataclassInstance]", model))
    return model(**{name: np.full(count, given.get(name, about.default)) for name, about in declared})


def check(model: DataclassInstance) -> None:
    """Every parameter inside its limits; raises ``OutOfRangeError`` with one line that names field, value and range."""
    for name, about in parameters(type(model)):
        value = np.asarray(getattr(model, name), dtype=np.float64)
        bad = ~((value >= about.low) & (value <= about.high))
        if bad.any():
            worst = float(value[bad].flat[0])
            raise OutOfRangeError(
                f"{type(model).__name__}.{name}={worst:g} {about.unit}: must lie within {about.low:g}..{about.high:g}"
            )


def take(model: _Model, index: Any) -> _Model:
    """The machines at ``index`` of a model, nested models included; scalars serve every machine and stay."""
    if not is_dataclass(model) or isinstance(model, type):
        raise TypeError(f"{model!r} is not a model")
    # A copy without __post_init__: the values were checked when the model was made.
    part = object.__new__(type(model))
    for f in fields(model):
        object.__setattr__(part, f.name, _taken(getattr(model, f.name), index))
    return cast("_Model", part)


def _taken(value: Any, index: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value[index] if value.ndim else value
    if is_dataclass(value):
        return take(value, index)
    if isinstance(value, dict):
        return {key: _taken(item, index) for key, item in value.items()}
    return value
