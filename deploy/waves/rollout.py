"""Wave after wave.

What a wave's tag pointed at is written down before it is moved, so that whoever goes on after a crash can put it back.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from deploy.agent.content import PullError
from deploy.agent.journal import written
from deploy.waves.verdict import Verdict, judged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.agent.content import Manifest
    from deploy.waves.fleet import Fleet
    from deploy.waves.plan import Plan, Wave
    from deploy.waves.tags import Tags

LOOK_S = 0.5


class Rollout:
    """One release over all waves.

    Args:
        plan: the waves.
        tags: where they point.
        fleet: what the sites say.
        folder: for what was there before.
        say: told of every step, one line.
    """

    def __init__(self, plan: Plan, tags: Tags, fleet: Fleet, folder: Path, say: Callable[[str], None]) -> None:
        self._plan, self._tags, self._fleet, self._folder, self._say = plan, tags, fleet, folder, say

    def run(self, sequence: int) -> bool:
        """Whether every wave is through; raises ``PullError`` or ``OSError``."""
        release = self._tags.at(str(sequence))
        if release is None:
            raise PullError(f"the registry has no release {sequence}")
        before = self._before(sequence)
        for wave in self._plan.waves:
            verdict = self._wave(wave, release)
            self._say(f"{wave.name}: {verdict.what}: {verdict.reason}")
            if verdict.what != "through":
                self._back(wave, before[wave.name])
                return False
        return True

    def _before(self, sequence: int) -> dict[str, str]:
        """Digests that the waves' tags point at, as they were when this release began; empty where nothing was."""
        path = self._folder / f"{sequence}.json"
        found: dict[str, str] = {}
        if path.exists():
            found = json.loads(path.read_bytes())
        missing = [wave.name for wave in self._plan.waves if wave.name not in found]
        for name in missing:
            manifest = self._tags.at(name)
            found[name] = manifest.digest if manifest else ""
        if missing:
            self._folder.mkdir(parents=True, exist_ok=True)
            written(path, json.dumps(found).encode())
        return found

    def _wave(self, wave: Wave, release: Manifest) -> Verdict:
        self._tags.move(wave.name, release)
        self._say(f"{wave.name}: begun")
        begun_s = time.monotonic()
        while True:
            verdict = judged(wave, self._fleet.told(), release.digest, time.monotonic() - begun_s)
            if verdict.what != "wait":
                return verdict
            time.sleep(LOOK_S)

    def _back(self, wave: Wave, digest: str) -> None:
        before = self._tags.at(digest) if digest else None
        if before is None:
            self._say(f"{wave.name}: had no release before; sites that have not looked yet may still take this one")
            return
        self._tags.move(wave.name, before)
        self._say(f"{wave.name}: its tag points where it did before")
