"""The verdict as a document for programs, ``gate.json``, and as Markdown for people, ``gate.md``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from training.gate.check import Check
    from training.gate.slice import Judged

JSON_FILE, PAGE_FILE = "gate.json", "gate.md"
SCHEMA = 1
_WORDS = {True: "passed", False: "**failed**", None: "not asked"}


@dataclass(slots=True)
class Report:
    """What was asked and answered so far.

    Attributes:
        candidate: digest of the bundle that is judged, empty where it could not be read.
        champion: digest of the bundle that it must not be worse than.
        tiny: far too little was replayed for the verdict to mean anything.
        replay: what was replayed, in figures.
        checks: questions with a limit.
        slices: figures compared.
        absent: what was left out, and why.
    """

    candidate: str
    champion: str
    tiny: bool
    replay: dict[str, int | float | str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    slices: list[Judged] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[str]:
        """Names of what stands in the candidate's way."""
        return [c.name for c in self.checks if c.passed is False] + [s.name for s in self.slices if not s.passed]

    @property
    def passed(self) -> bool:
        """Whether the candidate may go on. Nothing compared is nothing proven."""
        return bool(self.slices) and not self.refused

    def document(self) -> dict[str, Any]:
        """As JSON has it; what is not finite is null."""
        return {
            "schema_version": SCHEMA,
            "verdict": "passed" if self.passed else "refused",
            "candidate": self.candidate,
            "champion": self.champion,
            "tiny": self.tiny,
            "refused": self.refused,
            "replay": self.replay,
            "checks": [_finite(asdict(one)) for one in self.checks],
            "slices": [_finite(asdict(one)) for one in self.slices],
            "absent": self.absent,
        }

    def page(self) -> str:
        """As Markdown: the verdict, what is against it, then everything."""
        who = f"`{self.candidate[:12] or 'unreadable'}` against `{self.champion[:12]}`"
        lines = [f"## Gate: {'passed' if self.passed else 'refused'}, {who}", ""]
        if self.tiny:
            lines += ["Tiny replay: it shows that the gate runs; its verdict means nothing.", ""]
        for check in self.checks:
            if check.passed is False:
                lines.append(f"- **{check.name}**: {_cell(check.found)}; wanted {check.limit}")
        lines += [
            f"- **{one.name}**: {_number(one.champion)} to {_number(one.candidate)}, change {_signed(one.change)} "
            f"[{_signed(one.lo)}, {_signed(one.hi)}], margin {_number(one.margin)}"
            + (f"; limit whatever the champion does {_number(one.limit)}" if one.verdict == "poor" else "")
            for one in self.slices
            if not one.passed
        ]
        better = [one.name for one in self.slices if one.verdict == "better"]
        if better:
            lines.append(f"- better: {', '.join(better)}")
        lines += [f"- left out: {_cell(text)}" for text in self.absent]
        if self.replay:
            lines += ["", "Replayed: " + ", ".join(f"{key} {value}" for key, value in self.replay.items()) + "."]
        lines += ["", "<details><summary>Everything that was asked</summary>", ""]
        lines += ["| question | answer | found | wanted |", "|---|---|---|---|"]
        lines += [f"| {c.name} | {_WORDS[c.passed]} | {_cell(c.found)} | {c.limit} |" for c in self.checks]
        if self.slices:
            lines += ["", "| figure | better | champion | candidate | change | interval | limit | units | verdict |"]
            lines += ["|---|---|---|---|---|---|---|---|---|"]
        lines += [
            f"| {s.name} | {s.better} | {_number(s.champion)} | {_number(s.candidate)} | {_signed(s.change)} | "
            f"{_signed(s.lo)} to {_signed(s.hi)} | {_number(s.limit)} | {s.units} | "
            f"{s.verdict if s.passed else f'**{s.verdict}**'} |"
            for s in self.slices
        ]
        lines += [
            "",
            "Intervals: 95 % for all figures together, whole motors or bearings resampled.",
            "",
            "</details>",
            "",
        ]
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Both files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_FILE).write_text(json.dumps(self.document(), indent=1, allow_nan=False) + "\n")
        (folder / PAGE_FILE).write_text(self.page())


def _finite(pairs: dict[str, Any]) -> dict[str, Any]:
    return {
        key: (float(f"{value:.6g}") if math.isfinite(value) else None) if isinstance(value, float) else value
        for key, value in pairs.items()
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+.4f}" if abs(value) < 10.0 else f"{value:+.1f}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
