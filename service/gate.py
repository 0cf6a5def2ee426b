"""What the training's gate said of a bundle: ``gate.json`` beside it, for people. No decision hangs on it.

The gate judges a bundle by its digest, so its report cannot stand in the manifest. It has a signature of its own,
``gate.json.sig``, in the form of ``bundle.sig`` (``service.signature``), and names the bundle that it judged.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.bundle import GATE_FILE
from service.errors import BundleError

if TYPE_CHECKING:
    from service.bundle import Files
    from service.signature import Trust

Word = Annotated[str, Field(max_length=400)]


class _Part(BaseModel):
    # a later gate may say more
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Figure(_Part):
    """One figure of candidate and champion; ``lo`` and ``hi`` are the change's interval, None what is no number."""

    name: Word
    what: Word
    better: Literal["higher", "lower"]
    units: int
    champion: float | None
    candidate: float | None
    change: float | None
    lo: float | None
    hi: float | None
    verdict: Literal["worse", "same", "better", "poor"]


class Question(_Part):
    """A question with a limit; ``passed`` None: it could not be asked, ``found`` says why."""

    name: Word
    passed: bool | None
    found: Word
    limit: Word


class Report(_Part):
    """The gate's report."""

    schema_version: Literal[1]
    verdict: Literal["passed", "refused"]
    candidate: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    champion: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    tiny: Annotated[bool, Field(description="far too little was replayed for the verdict to mean anything")]
    refused: Annotated[tuple[Word, ...], Field(max_length=400)]
    replay: dict[Word, int | float | Word] = {}
    checks: Annotated[tuple[Question, ...], Field(max_length=100)]
    slices: Annotated[tuple[Figure, ...], Field(max_length=300)]
    absent: Annotated[tuple[Word, ...], Field(max_length=100)] = ()


class Gate(_Part):
    """A bundle's report, or in one sentence why there is none that can be believed."""

    report: Report | None
    reason: str

    @property
    def line(self) -> str:
        """The verdict in a line, for a bundle that does not run yet; or why there is none."""
        report = self.report
        if report is None:
            return self.reason
        told = Counter(one.verdict for one in report.slices)
        against = f"against champion {report.champion[:12]}" if report.champion else "without a champion"
        worse = told["worse"] + told["poor"]
        counts = f"of {len(report.slices)} figures {told['better']} better, {told['same']} the same, {worse} worse"
        said = f"{report.verdict} {against}: {counts}"
        return f"{said}; of a tiny replay, it means nothing" if report.tiny else said


ABSENT = Gate(report=None, reason="no report of a gate came with this bundle: nothing says that it was compared")


def read(files: Files, trust: Trust | None) -> Gate:
    """The report beside a bundle, if it is about this very bundle and one we trust vouches for it.

    Args:
        files: the bundle.
        trust: whose reports are believed; None for the installation's own bundle, whose folder is part of it.
    """
    raw = files.gate
    if raw is None:
        return ABSENT
    try:
        if trust is not None:
            trust.check_gate(raw, files.gate_signature)
        report = Report.model_validate_json(raw)
    except ValidationError as error:
        return Gate(report=None, reason=f"{GATE_FILE}: {_first(error)}; run the gate of this version")
    except BundleError as error:
        return Gate(report=None, reason=str(error))
    if report.candidate != files.digest:
        about = f"{GATE_FILE}: is about bundle {report.candidate[:12]}, this is {files.digest[:12]}"
        return Gate(report=None, reason=f"{about}; run the gate on this one")
    return Gate(report=report, reason="")


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "content"
    return f"{where}: {first['msg'][:200]}"
