"""Going back by hand to what ran before, and what is remembered of offers over a restart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from service.bundle import Bundle, load, read
from service.chronicle import ASKED_KEPT, EARLIER_KEPT, ENDED_KEPT, Asked, Chronicle, Earlier, Ended, Progress
from service.errors import BundleError, NotOffered, StoreError
from service.ledger import Entry, Ledger, Record
from service.opening import Own, first
from service.retreat import Back, Retreat
from service.signature import Trust
from tests.service.swap.conftest import QUICK, Line, with_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.monitor import Models
    from tests.service.swap.conftest import Press


def committed(it: Line, press: Press, version: int, **parts: Any) -> str:
    it.told.clear()
    press(version, to=it.ledger.incoming / f"v{version}", **parts)
    done = it.wait("committed", "refused", "rolled_back")
    assert done.phase == "committed", done.reason
    return str(done.digest)


def reopened(it: Line | Place) -> Ledger:
    ledger = Ledger(it.ledger.folder.parent)
    ledger.open()
    return ledger


def test_a_committed_bundle_is_left_for_the_one_before_which_runs_after_a_restart_too(
    line: Callable[..., Line], press: Press, installed: Path
) -> None:
    it = line()
    two = committed(it, press, 2)
    three = committed(it, press, 3)
    assert [one.entry.version for one in it.rollout.earlier] == [1, 2]
    it.told.clear()
    assert it.rollout.go_back(two[:12]).result(20.0).digest == two
    assert (it.rollout.models.digest, it.rollout.entry.version) == (two, 2)
    (left,) = it.told
    assert (left.version, left.phase) == (3, "rolled_back")
    assert f"gone back to tiny version 2, digest {two[:12]}, by hand" in left.reason
    # what was left does not come back by itself, and can be gone forward to
    assert [one.entry.version for one in it.rollout.earlier] == [1, 3]
    shutil.copytree(it.ledger.kept(three), it.ledger.incoming / "three-again")
    assert "refused before" in it.wait("refused").reason
    it.close()
    assert it.lost == 0
    models, entry, *_ = first(installed, reopened(it), press.trust)
    assert (models.digest, entry.version) == (two, 2)


class Place:
    """A ledger with bundles that ran one after the other; the last of them runs."""

    def __init__(self, folder: Path, press: Press, installed: Path, versions: range) -> None:
        self.ledger = Ledger(folder)
        self.ledger.open()
        self.chronicle = Chronicle(self.ledger.folder)
        self.installed = installed
        self.trust = press.trust
        self.running = load(installed)
        self.entry = Entry(version=1, digest=self.running.digest)
        self.own = Own(installed, self.entry)
        for version in versions:
            files = read(with_report(press(version), press.key))
            entry = Entry(version=version, digest=files.digest)
            self.ledger.keep(files.digest, files.contents())
            self.ledger.write(Record(active=entry, highest=entry))
            self.chronicle.leave(Earlier(name="tiny", entry=self.entry, left_ts_s=float(version)), entered=entry)
            self.running, self.entry = Bundle(files), entry
        self.retreat = Retreat(self.ledger, self.chronicle, self.trust, self.own)

    def go_back(self, digest: str | None, on_its_way: str | None = None) -> Back | None:
        """What the rollout does with a request; raises what it is answered with."""
        asked = self.retreat.ask(str(digest))
        back = self.retreat.next(self.entry, self.running, on_its_way)
        if back is None:
            asked.result(0.0)
        else:
            self.running, self.entry = back.models, back.entry
        return back

    def after_a_restart(self) -> int:
        """The version that the service would start with."""
        return first(self.installed, reopened(self), self.trust)[1].version

    @property
    def targets(self) -> list[int]:
        """Versions to go back to."""
        return [one.entry.version for one in self.retreat.targets]


@pytest.fixture
def place(tmp_path: Path, press: Press, installed: Path) -> Place:
    return Place(tmp_path, press, installed, range(2, 4))


def test_the_installations_own_bundle_can_be_gone_back_to_and_forward_again(place: Place) -> None:
    three = place.entry.digest
    place.go_back(place.own.entry.digest)
    assert (place.entry.version, place.after_a_restart()) == (1, 1)
    assert place.targets == [2, 3]
    place.go_back(three)
    assert (place.entry.version, place.after_a_restart()) == (3, 3)


def test_what_cannot_be_gone_back_to_is_said_and_nothing_changes(place: Place) -> None:
    before = place.ledger.record
    two = str(place.retreat.targets[-1].entry.digest)
    with pytest.raises(NotOffered, match="of none that ran here"):
        place.go_back("0" * 12)
    with pytest.raises(BundleError, match="runs already"):
        place.go_back(place.entry.digest)
    with pytest.raises(BundleError, match="four is on its way; call it off first"):
        place.go_back(two, on_its_way="four")
    (place.ledger.kept(two) / "health.onnx").write_bytes(b"rotten")
    with pytest.raises(BundleError, match=r"health\.onnx: sha256 is"):
        place.go_back(two)
    shutil.rmtree(place.ledger.kept(two))
    with pytest.raises(NotOffered):
        place.go_back(two)
    assert place.ledger.record == before
    assert place.entry.version == 3


def test_a_key_that_is_no_longer_trusted_keeps_a_bundle_from_coming_back(place: Place) -> None:
    stranger = Retreat(place.ledger, place.chronicle, Trust(), place.own)
    asked = stranger.ask(str(place.retreat.targets[-1].entry.digest))
    assert stranger.next(place.entry, place.running, None) is None
    with pytest.raises(BundleError, match="not trusted"):
        asked.result(0.0)


def test_a_disk_that_takes_no_record_leaves_what_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.ledger.os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        place.go_back(place.retreat.targets[-1].entry.digest)
    assert place.after_a_restart() == 3


def test_a_bundle_that_the_installation_outranks_is_not_offered_to_go_back_to(place: Place) -> None:
    upgraded = Own(place.installed, Entry(version=3, digest="9" * 64))
    assert place.targets == [1, 2]
    assert Retreat(place.ledger, place.chronicle, place.trust, upgraded).targets == ()


def test_few_bundles_are_kept_and_their_reports_with_them(tmp_path: Path, press: Press, installed: Path) -> None:
    place = Place(tmp_path, press, installed, range(2, EARLIER_KEPT + 5))
    assert place.targets == [4, 5, 6]
    back = place.go_back(place.retreat.targets[0].entry.digest)
    assert back is not None
    assert back.gate.report is not None
    assert back.gate.report.candidate == place.entry.digest
    # the one that is left takes the place of the one that is entered
    assert place.targets == [5, 6, 7]
    kept = {path.name for path in (place.ledger.folder / "kept").iterdir()}
    assert kept == {place.entry.digest, *(one.entry.digest for one in place.retreat.targets)}


def test_what_became_of_offers_is_known_after_a_restart(line: Callable[..., Line], press: Press) -> None:
    it = line()
    committed(it, press, 2)
    press(1, to=it.ledger.incoming / "old", change=lambda manifest: manifest.update(seed=3))
    refused = it.wait("refused")
    it.close()
    again = line(models=it.rollout.models, start=False)
    again.rollout.start()
    again.rollout.go_back("0" * 12).exception(20.0)  # by then it has begun
    assert [one.progress.phase for one in again.rollout.chronicle.ended] == ["committed", "refused"]
    assert again.rollout.progress == refused


def test_a_bundle_that_was_asked_for_is_tried_again_after_a_restart_of_the_service(
    line: Callable[..., Line], press: Press
) -> None:
    it = line(rules=replace(QUICK, soak_s=60.0))
    press(2, to=it.ledger.offered / "mine")
    press(3, to=it.ledger.offered / "next")
    assert it.rollout.request("mine").result(20.0) == "shadow"
    it.rollout.request("next")
    it.wait("soak")
    it.close()
    assert it.told[-1].phase == "cancelled"
    content = json.loads((it.ledger.folder / "chronicle.json").read_text())
    assert [one["name"] for one in content["asked"]] == ["mine", "next"]
    assert content["ended"] == []
    again = line()
    assert again.wait("committed").version == 2
    again.told.clear()
    assert again.wait("committed").version == 3
    assert not list(again.ledger.offered.iterdir())
    again.close()
    assert Chronicle(again.ledger.folder).asked == ()


@pytest.mark.parametrize("how", ["altered", "another", "gone", "died"])
def test_what_is_tried_again_is_checked_again(
    how: str, line: Callable[..., Line], press: Press, running: Models
) -> None:
    it = line(start=False)
    folder = press(2, to=it.ledger.offered / "mine")
    chronicle = Chronicle(it.ledger.folder)
    digest = read(folder).digest
    chronicle.ask((Asked(name="mine", digest=digest),))
    if how == "altered":
        (folder / "health.onnx").write_bytes(b"rotten")
    elif how == "another":
        shutil.rmtree(folder)
        press(3, to=folder)
    elif how == "gone":
        shutil.rmtree(folder)
    else:
        entry = Entry(version=2, digest=digest)
        it.ledger.write(it.ledger.record.refusing(entry, "the service died while it was on probation"))
    it.start()
    words = {
        "altered": "health.onnx: sha256 is",
        "another": "is another bundle than the one that was asked for",
        "gone": "no bundle is offered as 'mine'",
        "died": "it was refused before (the service died",
    }
    assert words[how] in it.wait("refused", "committed").reason
    assert it.rollout.models is running


def test_a_chronicle_is_bounded_and_one_that_is_damaged_costs_the_past_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chronicle = Chronicle(tmp_path)
    for number in range(2 * ENDED_KEPT):
        told = Progress.of("n" * 5000, Entry(version=number), "refused", "r" * 50_000)
        chronicle.end(Ended(float(number), told))
    chronicle.ask(tuple(Asked(name=f"m{number}") for number in range(100)))
    again = Chronicle(tmp_path)
    again.read()
    assert again.ended == chronicle.ended
    assert [one.progress.version for one in again.ended] == list(range(ENDED_KEPT, 2 * ENDED_KEPT))
    assert len(again.asked) == ASKED_KEPT
    for raw in (b"{rotten", b'{"format": 9}', b" " * 300_000):
        (tmp_path / "chronicle.json").write_bytes(raw)
        fresh = Chronicle(tmp_path)
        fresh.read()
        assert (fresh.asked, fresh.ended, fresh.earlier) == ((), (), ())
        assert (tmp_path / "chronicle.json.corrupt").read_bytes() == raw
    assert "is damaged and moved aside" in caplog.text
    blocked = Chronicle(tmp_path / "nowhere")
    blocked.end(Ended(1.0, told))
    assert "cannot be written" in caplog.text
    assert len(blocked.ended) == 1
