"""The running service as the agent sees it: its folder for new bundles, and ``/v1/model``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.request
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from deploy.agent.journal import sync
from deploy.agent.soak import samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.agent.journal import Wanted

SIGNATURE_FILE = "bundle.sig"
TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 1 << 20


class EdgeSilent(Exception):  # noqa: N818 - says what it is
    """The service does not answer (yet)."""


class NotTheBundle(Exception):  # noqa: N818 - says what it is
    """The image carries something else than its release says."""


class Outcome(NamedTuple):
    """What became of a bundle; ``under_way`` and ``unknown`` are no end."""

    what: Literal["installed", "failed", "rolled_back", "under_way", "unknown"]
    reason: str = ""


class Edge:
    """One service.

    Args:
        url: where it answers.
        data: its data folder.
    """

    def __init__(self, url: str, data: Path) -> None:
        self._url = url.rstrip("/")
        self._bundles = data / "bundles"

    def running(self) -> str:
        """Digest of the bundle in use; raises ``EdgeSilent``."""
        return str(self._model()["digest"])

    def ready(self) -> str:
        """Why it is not ready; empty where it is."""
        try:
            with urllib.request.urlopen(f"{self._url}/v2/health/ready", timeout=TIMEOUT_S):  # noqa: S310 - ours
                return ""
        except OSError as error:
            return str(error)

    def samples(self) -> dict[str, float]:
        """What ``/metrics`` says of the counters that a soak judges by; raises ``EdgeSilent``."""
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours
                return samples(answer.read(_MAX_ANSWER_BYTES).decode())
        except (OSError, ValueError) as error:
            raise EdgeSilent(f"{self._url}: {error}") from error

    def hand_over(self, wanted: Wanted, files: Mapping[str, bytes]) -> None:
        """Puts the bundle where the service looks, whole or not at all; raises ``NotTheBundle`` or ``OSError``.

        The service checks every file of it, and its signature by keys of its own.
        """
        digest = hashlib.sha256(files.get("manifest.json", b"")).hexdigest()
        if digest != wanted.bundle:
            raise NotTheBundle(f"the image carries bundle {digest[:12]}, the release names {wanted.bundle[:12]}")
        if SIGNATURE_FILE not in files:
            # the service would wait for it: somebody may be copying by hand
            raise NotTheBundle(f"the image's bundle has no {SIGNATURE_FILE}; sign it")
        target = self._bundles / "incoming" / _name(wanted)
        part = target.with_name(f".{target.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, raw in files.items():
            with (part / name).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        sync(part)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
        sync(target.parent)

    def outcome(self, wanted: Wanted) -> Outcome:
        """What the service says of a bundle, or has left in its folders; raises ``EdgeSilent``."""
        model = self._model()
        candidate = model.get("candidate") or {}
        if candidate.get("digest") == wanted.bundle and candidate.get("release") == wanted.sequence:
            phase, reason = candidate.get("phase"), str(candidate.get("reason", ""))
            if phase == "rolled_back":
                return Outcome("rolled_back", reason)
            if phase != "committed":
                over = phase in ("refused", "inconclusive", "cancelled")
                return Outcome("failed", f"{phase}: {reason}") if over else Outcome("under_way", str(phase))
        if model["digest"] == wanted.bundle:
            return Outcome("installed")
        told = self._bundles / "refused" / _name(wanted) / "reason.txt"
        if told.exists():
            return Outcome("failed", told.read_text(encoding="utf-8", errors="replace").strip()[:300])
        waits = (self._bundles / "incoming" / _name(wanted)).exists()
        return Outcome("under_way", "waits") if waits else Outcome("unknown")

    def _model(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self._url}/v1/model", timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours
                document = json.loads(answer.read(_MAX_ANSWER_BYTES))
                return {"digest": document["digest"], "candidate": document["candidate"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EdgeSilent(f"{self._url}: {error}") from error


def _name(wanted: Wanted) -> str:
    return f"release-{wanted.sequence}"
