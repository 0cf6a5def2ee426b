"""The whole way of a candidate: real graphs, real processes, live readings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.monitor import Models


def seconds(line: Any) -> float:
    """What the filter of the first motor has counted."""
    return float(np.frombuffer(line.state["m0"].x)[1])


def test_a_better_bundle_comes_into_use_without_a_reading_lost_and_keeps_the_filters_state(
    line: Callable[..., Any], press: Any, running: Models
) -> None:
    it = line()
    press(2, to=it.ledger.incoming / "next")
    done = it.wait("committed", "rolled_back", "refused")
    assert done.phase == "committed", done.reason
    assert it.phases() == ["trial", "shadow", "soak", "committed"]
    it.close()
    assert it.lost == 0
    assert it.resets == 0
    turns = len(it.judged)
    assert {count for _, count in it.judged} == {len(it.profiles)}
    digests = [digest for digest, _ in it.judged]
    assert digests == sorted(digests, key=[running.digest, it.rollout.models.digest].index)
    assert seconds(it) == pytest.approx(60.0 * (turns - 1))
    assert not (it.ledger.incoming / "next").exists()
    record = json.loads((it.ledger.folder / "ledger.json").read_text())
    assert record["active"] == record["highest"] == {"release": 0, "version": 2, "digest": done.digest}
    assert record["soaking"] is None
    assert (it.ledger.kept(done.digest) / "manifest.json").exists()
