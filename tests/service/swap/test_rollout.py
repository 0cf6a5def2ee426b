"""The whole way of a candidate: real graphs, real processes, live readings."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.chronicle import Chronicle
from service.errors import BundleError
from service.ledger import Ledger, Record
from service.offers import Offers
from service.opening import DIED, first
from service.signature import Trust
from service.swap import Rules
from tests.service.core.conftest import GRAPHS
from tests.service.swap.conftest import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def test_a_candidate_that_hangs_on_a_live_reading_is_refused_and_nobody_waits_for_it(
    line: Callable[..., Any], press: Any, spinning_anomaly: str, running: Models
) -> None:
    it = line()
    # every reading spins: the shadow takes a sample of the traffic, and which one is the scheduler's choice
    it.fields = lambda _: {"x": {22: 2e9}}
    press(2, texts={"anomaly": spinning_anomaly}, to=it.ledger.incoming / "next")
    done = it.wait("refused", "committed")
    assert it.phases() == ["trial", "shadow", "refused"]
    assert "did not answer in time" in done.reason
    before = len(it.judged)
    it.wait("refused")
    it.close()
    assert it.lost == 0
    assert len(it.judged) > before or before > 100
    assert {digest for digest, _ in it.judged} == {running.digest}
    assert (it.ledger.folder / "refused" / "next" / "reason.txt").read_text().startswith("refused: the trial process")


def louder(name: str, output: str, by: float) -> dict[str, str]:
    """A graph whose output is too large by so much."""
    *before, last = GRAPHS[name].replace(f"{output} = ", "plain = ").partition("\n}")[0].splitlines()
    assert "plain = " in "".join([*before, last])
    more = f"    by = Constant <value = float {{{by}}}> ()\n    {output} = Add (plain, by)\n}}"
    return {name: "\n".join([*before, last, more])}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (louder("classifier", "severity", 0.5), ""),
        (louder("anomaly", "anomaly", 2.0), "disagrees with the running models on 100.0%"),
    ],
)
def test_a_candidate_that_judges_otherwise_is_refused_in_the_shadow(
    texts: dict[str, str], reason: str, line: Callable[..., Any], press: Any
) -> None:
    it = line()
    it.fields = lambda turn: {"anomaly": 0.1 + 0.0001 * turn}
    press(2, texts=texts, to=it.ledger.incoming / "next")
    done = it.wait("refused", "committed")
    assert (done.phase == "refused") == bool(reason)
    assert reason in done.reason


def test_a_candidate_that_fails_on_its_probation_gives_way_at_once(
    line: Callable[..., Any], press: Any, running: Models
) -> None:
    it = line(rules=replace(QUICK, soak_s=20.0))
    press(2, to=it.ledger.incoming / "next")
    it.wait("soak")
    it.fields = lambda _: {"x": {20: -1.0}}
    done = it.wait("rolled_back")
    assert "failed on" in done.reason
    assert it.rollout.models is running
    it.fields = lambda _: {}
    it.close()
    assert it.lost == 0
    assert json.loads((it.ledger.folder / "ledger.json").read_text())["active"] is None
    assert it.ledger.record.highest.version == 0
    assert not list((it.ledger.folder / "kept").iterdir())


def test_a_filter_whose_schema_changed_is_reset_and_told(
    line: Callable[..., Any], press: Any, caplog: pytest.LogCaptureFixture
) -> None:
    it = line()
    press(2, change=lambda manifest: manifest["health"].update(schema_id="another-1"), to=it.ledger.incoming / "next")
    assert it.wait("committed", "refused", "rolled_back").phase == "committed"
    it.close()
    assert it.resets == len(it.profiles)
    assert it.lost == 0
    assert seconds(it) < 60.0 * (len(it.judged) - 1)
    assert "every motor's filter starts afresh" in caplog.text


def test_too_few_readings_leave_the_old_models(line: Callable[..., Any], press: Any, running: Models) -> None:
    it = line(rules=Rules(min_readings=10_000_000, shadow_max_s=1.0))
    press(2, to=it.ledger.incoming / "next")
    done = it.wait("inconclusive", "committed")
    assert "of 10000000 readings came in 1 s of shadow" in done.reason
    assert it.rollout.models is running
    # the same bundle may be offered again later
    press(2, to=it.ledger.incoming / "again")
    it.wait("shadow")


def test_an_older_version_is_refused_unless_it_is_released_anew(line: Callable[..., Any], press: Any) -> None:
    it = line()
    press(5, to=it.ledger.incoming / "five")
    it.wait("committed")
    press(4, to=it.ledger.incoming / "four")
    done = it.wait("refused")
    assert "release 0 version 4 does not exceed release 0 version 5" in done.reason
    it.told.clear()
    press(5, change=lambda manifest: manifest.update(seed=8), to=it.ledger.incoming / "five-otherwise")
    assert "release 0 version 5 does not exceed release 0 version 5" in it.wait("refused").reason
    it.told.clear()
    press(4, release=1, to=it.ledger.incoming / "four-anew")
    assert it.wait("committed", "refused", "rolled_back")[1:3] == (4, 1)
    assert it.told[-1].phase == "committed"
    press(9, to=it.ledger.incoming / "nine")
    assert "does not exceed release 1 version 4" in it.wait("refused").reason


@pytest.mark.parametrize("how", ["unsigned", "stranger", "altered", "manifest", "golden"])
def test_what_nobody_vouches_for_never_gets_a_process(
    how: str, line: Callable[..., Any], press: Any, running: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.offers.PATIENT_LOOKS", 1)
    it = line(start=False)
    folder = press(2, signed=how != "unsigned", key=Ed25519PrivateKey.generate() if how == "stranger" else None)
    target = {"altered": "health.onnx", "manifest": "manifest.json", "golden": "golden.npz"}.get(how)
    if target is not None:
        raw = (folder / target).read_bytes()
        (folder / target).write_bytes(
            raw.replace(b'"version": 2', b'"version": 3') if how == "manifest" else raw + b" "
        )
    folder.rename(it.ledger.incoming / "next")
    it.start()
    done = it.wait("refused")
    assert it.phases() == ["refused"]
    words = {
        "unsigned": "signatures are required",
        "stranger": "not trusted",
        "altered": "health.onnx: sha256 is",
        "manifest": "does not fit this manifest",
        "golden": "golden.npz: sha256 is",
    }
    assert words[how] in done.reason
    assert it.rollout.models is running
    assert words[how] in (it.ledger.folder / "refused" / "next" / "reason.txt").read_text()


def test_a_folder_that_is_being_copied_is_never_looked_at(line: Callable[..., Any], press: Any) -> None:
    it = line()
    whole = press(2)
    half = it.ledger.incoming / "slow.part"
    half.mkdir()
    crawling = it.ledger.incoming / "crawling"
    crawling.mkdir()
    names = sorted(path.name for path in whole.iterdir())
    for name in names:
        for folder in (half, crawling):
            (folder / name).write_bytes((whole / name).read_bytes())
        time.sleep(0.7)
    assert it.told == [] or it.told[0].phase == "trial"
    half.rename(it.ledger.incoming / "slow")
    assert it.wait("committed", "refused", "rolled_back").phase == "committed"
    assert "refused" not in it.phases()


def test_a_bundle_is_taken_by_name_when_it_is_asked_for(line: Callable[..., Any], press: Any) -> None:
    it = line()
    press(2, to=it.ledger.offered / "mine")
    assert it.rollout.request("mine").result(timeout=20.0) == "shadow"
    it.wait("committed")
    for name in ("nobody", "../incoming", "", "a/b", "\0"):
        with pytest.raises(BundleError, match="no bundle is offered as"):
            it.rollout.request(name).result(timeout=20.0)
    assert it.rollout.call_off() is False


def test_a_candidate_can_be_called_off_at_any_time(line: Callable[..., Any], press: Any, running: Models) -> None:
    it = line(rules=replace(QUICK, soak_s=60.0))
    press(2, to=it.ledger.incoming / "next")
    it.wait("soak")
    assert it.rollout.models is not running
    assert it.rollout.call_off()
    assert it.wait("cancelled").reason == "it was called off"
    assert it.rollout.models is running


def test_a_service_that_stops_during_a_soak_tries_again_after_its_start(
    line: Callable[..., Any], press: Any, installed: Path
) -> None:
    it = line(rules=replace(QUICK, soak_s=60.0))
    press(2, to=it.ledger.incoming / "next")
    it.wait("soak")
    it.close()
    assert it.told[-1].phase == "cancelled"
    ledger = Ledger(it.ledger.folder.parent)
    ledger.open()
    assert ledger.record.soaking is None
    models, entry, *_ = first(installed, ledger, press.trust)
    assert entry.version == 1
    again = line(models=models)
    assert again.wait("committed").version == 2


def test_a_service_that_dies_during_a_soak_starts_with_the_old_bundle_and_never_tries_that_one_again(
    line: Callable[..., Any], press: Any, installed: Path
) -> None:
    it = line(rules=replace(QUICK, soak_s=60.0))
    press(2, to=it.ledger.incoming / "next")
    it.wait("soak")
    # what the disk holds now is what a power cut would leave
    shutil.copytree(it.ledger.folder.parent, it.ledger.folder.parent.with_name("after"))
    ledger = Ledger(it.ledger.folder.parent.with_name("after"))
    ledger.open()
    assert ledger.record.soaking is not None
    models, entry, *_ = first(installed, ledger, press.trust)
    assert entry.version == 1
    assert DIED in next(iter(ledger.record.refused.values()))
    offers = Offers(ledger, Chronicle(ledger.folder), press.trust, lambda *told: refused.append(told))
    refused: list[Any] = []
    for _ in range(2):
        assert offers.next(entry, models.digest) is None
    assert "it was refused before" in refused[0][2]
    assert not (ledger.incoming / "next").exists()


def test_after_a_restart_the_accepted_bundle_runs_and_its_rank_still_counts(
    line: Callable[..., Any], press: Any, installed: Path
) -> None:
    it = line()
    press(7, release=2, to=it.ledger.incoming / "next")
    digest = it.wait("committed").digest
    it.close()
    ledger = Ledger(it.ledger.folder.parent)
    ledger.open()
    models, entry, *_ = first(installed, ledger, press.trust)
    assert (models.digest, entry.rank) == (digest, (2, 7))
    # no longer trusted, or damaged: the installation's own
    assert first(installed, ledger, Trust())[1].version == 1
    (ledger.kept(digest) / "health.onnx").write_bytes(b"rotten")
    assert first(installed, ledger, press.trust)[1].version == 1
    # an installation that was upgraded past it runs its own
    upgraded = press(1, release=3)
    assert first(upgraded, ledger, press.trust)[1].rank == (3, 1)


def test_a_disk_that_takes_no_record_leaves_the_old_models(
    line: Callable[..., Any], press: Any, running: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    it = line()
    monkeypatch.setattr("service.ledger.os.fsync", full)
    press(2, to=it.ledger.incoming / "next")
    done = it.wait("inconclusive", "committed")
    assert "No space left on device" in done.reason
    assert it.rollout.models is running


def test_a_ledger_that_cannot_be_read_is_moved_aside_and_starts_anew(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.open()
    (ledger.folder / "ledger.json").write_bytes(b"{rotten")
    ledger.open()
    assert ledger.record == Record()
    assert (ledger.folder / "ledger.json.corrupt").read_bytes() == b"{rotten"
