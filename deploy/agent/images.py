"""The lane of images: the edge's container is made anew of a new image, watched, and kept or taken back.

::

    fetched ──> replacing ──> soaking ──> keeping ──> installed
                    │            │
                    └────────────┴──> restoring ──> rolled_back

Each stage is written down before it begins and may be repeated, so whoever dies in one goes on with it. Readings wait
in the broker meanwhile; what the edge has learnt lies in its volume and is taken up by whichever container runs.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from deploy.agent import soak, spool
from deploy.agent.edge import EdgeSilent
from deploy.agent.engine import EngineError, EngineSilent
from deploy.agent.journal import remembered

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.agent.content import Source
    from deploy.agent.edge import Edge
    from deploy.agent.engine import Engine
    from deploy.agent.journal import Bad, Journal, Wanted
    from deploy.agent.soak import Rules

_LOOK_S = 0.1
_MAX_UNREADY = 3
"""Looks in a row; one alone may be a page that took too long."""
_MAX_RESTARTS = 3
_KEPT = 2
"""Images: the one in use and the one before."""


class Images:
    """Brings images of the edge.

    Args:
        source: where they come from.
        engine: where they run.
        edge: the service, whichever container it is in.
        journal: what is certain.
        folder: for an image on its way.
        rules: when a new container is good enough.
    """

    def __init__(
        self, source: Source, engine: Engine, edge: Edge, journal: Journal, folder: Path, rules: Rules
    ) -> None:
        self._source, self._engine, self._edge = source, engine, edge
        self._journal, self._folder, self._rules = journal, folder, rules
        self._begun_s: float | None = None
        self._ready_at_s: float | None = None
        self._unready = 0

    def step(self, wanted: Wanted) -> None:
        """As far as it goes; waits for no more than a container's start."""
        if not self._journal.record.stage:
            self._fetch(wanted)
        if self._journal.record.stage == "replacing":
            self._replace(wanted)
        if self._journal.record.stage == "soaking":
            self._soak()
        if self._journal.record.stage == "keeping":
            self._keep(wanted)
        if self._journal.record.stage == "restoring":
            self._restore(wanted)

    def _fetch(self, wanted: Wanted) -> None:
        record = self._journal.record
        digest = wanted.image.rsplit("@", 1)[1]
        if digest in record.failed:
            self._end(wanted, "failed", f"this image failed here before: {record.failed[digest]}")
            return
        try:
            image = spool.fetch(self._source, "edge", digest, self._folder, self._engine.processor())
        except spool.Foreign as error:
            self._end(wanted, "failed", str(error))
            return
        tag = _tag(wanted.sequence)
        found = self._engine.load(spool.archive(image, tag), tag, image.diff_ids)
        try:
            baseline = self._edge.samples()
        except EdgeSilent:  # a dead edge may be replaced too
            baseline = {}
        self._begun_s, self._ready_at_s, self._unready = None, None, 0
        self._journal.change(
            state="installing",
            stage="replacing",
            image=found,
            previous=(self._engine.standing() or {}).get("Image", ""),
            baseline=baseline,
            gap_s=None,
            back_s=None,
        )
        shutil.rmtree(self._folder)

    def _replace(self, wanted: Wanted) -> None:
        self._begun_s = self._begun_s or time.monotonic()
        try:
            self._engine.replace(self._journal.record.image, wanted.release)
        except EngineSilent:  # says nothing of the image
            raise
        except EngineError as error:
            self._journal.change(stage="restoring", reason=str(error))
            return
        self._journal.change(stage="soaking")

    def _soak(self) -> None:
        if self._ready_at_s is None:
            if not self._became_ready():
                why = self._standing() or f"not ready within {self._rules.ready_s:g} s: {self._edge.ready()}"
                self._journal.change(stage="restoring", reason=why)
                return
            if self._begun_s is not None:
                self._journal.change(gap_s=round(time.monotonic() - self._begun_s, 2))
        fault = self._standing()
        self._unready = self._unready + 1 if self._edge.ready() else 0
        if not fault and self._unready >= _MAX_UNREADY:
            fault = f"it is not ready any more: {self._edge.ready()}"
        if fault:
            self._journal.change(stage="restoring", reason=fault)
            return
        if self._unready:
            return
        elapsed_s = time.monotonic() - (self._ready_at_s or 0.0)
        verdict = soak.judged(self._journal.record.baseline, self._edge.samples(), elapsed_s, self._rules)
        if verdict.what != "wait":
            stage = "keeping" if verdict.what == "keep" else "restoring"
            self._journal.change(stage=stage, reason=verdict.reason)

    def _keep(self, wanted: Wanted) -> None:
        self._engine.keep()
        kept = (*self._journal.record.kept, wanted.sequence)
        for sequence in kept[:-_KEPT]:
            self._engine.forget(_tag(sequence))
        self._journal.change(
            state="installed",
            reason="",
            desired=None,
            release=wanted.release,
            stage="",
            baseline={},
            kept=kept[-_KEPT:],
        )

    def _restore(self, wanted: Wanted) -> None:
        begun_s = time.monotonic()
        self._engine.restore(wanted.release, self._journal.record.previous)
        while self._edge.ready() and time.monotonic() < begun_s + self._rules.ready_s:
            time.sleep(_LOOK_S)
        self._engine.forget(_tag(wanted.sequence))
        record = self._journal.record
        digest = wanted.image.rsplit("@", 1)[1]
        ended = record.model_copy(
            update={
                "failed": remembered(record.failed, digest, record.reason),
                "back_s": round(time.monotonic() - begun_s, 2),
                "stage": "",
                "baseline": {},
            }
        )
        self._journal.write(ended.refusing(wanted.release, "rolled_back", record.reason))

    def _standing(self) -> str:
        """What is wrong with the container; empty where it runs as it should."""
        found = self._engine.standing()
        if found is None:
            return "its container is gone"
        state = found["State"]
        if not state["Running"] or found["RestartCount"]:
            return f"its container ended with status {state['ExitCode']}"
        return ""

    def _became_ready(self) -> bool:
        until_s = time.monotonic() + self._rules.ready_s
        while self._edge.ready() or self._standing():
            found = self._engine.standing()
            over = found is None or found["State"]["Status"] == "exited" or found["RestartCount"] >= _MAX_RESTARTS
            if over or time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_S)
        self._ready_at_s = time.monotonic()
        return True

    def _end(self, wanted: Wanted, state: Bad, reason: str) -> None:
        self._journal.write(self._journal.record.refusing(wanted.release, state, reason))


def _tag(sequence: int) -> str:
    return f"motortwin/edge:release-{sequence}"
