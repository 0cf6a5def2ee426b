"""What an evaluation leads to: figures with intervals and targets, tables, plots, and the words that belong to them."""

from __future__ import annotations

import base64
import io
import math
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matplotlib.figure import Figure as Canvas

if TYPE_CHECKING:
    from pathlib import Path

    from service.bundle import Bundle

_TARGET = re.compile(r"(>=|<=|=) ?(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?")
_COMPARE = {">=": operator.ge, "<=": operator.le, "=": operator.eq}


@dataclass(frozen=True, slots=True)
class Options:
    """What every protocol is given.

    Attributes:
        data: folder of the public data sets.
        bundle: the shipped bundle, proven.
        seeds: repetitions of whatever is random.
        tiny: far fewer repetitions and shorter runs, to see that everything runs; the figures mean nothing then.
    """

    data: Path
    bundle: Bundle
    seeds: int = 5
    tiny: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        key: flat key in ``evaluation.json``.
        value: the number; NaN where it is undefined.
        lo: lower end of its interval, None where it has none.
        hi: upper end.
        target: like ``>= 0.85``, ``<= 12`` or ``= 0.87..0.93``; empty where it only stands for comparison.
        what: what is counted, and on what.
    """

    key: str
    value: float
    lo: float | None = None
    hi: float | None = None
    target: str = ""
    what: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        match = _TARGET.fullmatch(self.target)
        if match is None:
            return None
        if match[3]:
            return float(match[2]) <= self.value <= float(match[3])
        return bool(_COMPARE[match[1]](self.value, float(match[2])))

    def entries(self) -> dict[str, float | None]:
        """Flat entries for ``evaluation.json``; what is not finite is null, as JSON has no other word for it."""
        pairs = {self.key: self.value, f"{self.key}.lo": self.lo, f"{self.key}.hi": self.hi}
        return {
            key: float(f"{value:.6g}") if math.isfinite(value) else None
            for key, value in pairs.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head, both ready to print."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture as PNG."""

    title: str
    png: bytes

    @property
    def uri(self) -> str:
        """For the ``src`` of an image, so that the page stands alone."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True)
class Section:
    """One protocol's outcome.

    Attributes:
        title: heading.
        protocol: what was split how, before what was fitted; plain sentences.
        figures: keys and controls, in order.
        tables: for the page.
        plots: for the page.
        caveats: where the figures fall short of what they seem to say.
    """

    title: str
    protocol: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    caveats: tuple[str, ...] = field(default=())


def canvas(width: float = 6.4, height: float = 3.6) -> Canvas:
    """An empty picture that touches no global state; size in inches."""
    return Canvas(figsize=(width, height), dpi=96, layout="constrained")


def plot(title: str, drawn: Canvas) -> Plot:
    """The drawn picture; without a time stamp, so that the same figures give the same bytes."""
    out = io.BytesIO()
    drawn.savefig(out, format="png", metadata={"Software": None})
    return Plot(title, out.getvalue())
