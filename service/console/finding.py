"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        about: what was looked at.
        verdict: ``warn`` works but not for ever or not as it should; ``skip`` could not be looked at from here.
        text: what was found.
        remedy: what to do; empty where nothing is to be done.
    """

    about: str
    verdict: Verdict
    text: str
    remedy: str = ""
