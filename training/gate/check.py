"""One question about the candidate with a limit and an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A question that is answered yes or no.

    Attributes:
        name: like ``latency_p95_ratio``.
        passed: None where it could not be asked; ``found`` says why.
        found: what was found, in words or as a figure.
        limit: what would still pass.
        value: the figure, where there is one.
    """

    name: str
    passed: bool | None
    found: str
    limit: str
    value: float | None = None
