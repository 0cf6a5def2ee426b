"""The gate as a whole: who passes, who is refused and why, and what it leaves for others to read."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import service.gate
from training.__main__ import main
from training.gate import cost, windows
from training.gate.run import Args, gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.gate.report import Report

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("no_recordings")]


@pytest.fixture
def no_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTOR_DATA", str(tmp_path / "none"))


def judged(candidate: Path, champion: Path, out: Path) -> Report:
    return gate(Args(candidate, champion, out, tiny=True), lambda _: None)


def test_the_champion_passes_against_itself(champion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", str(champion), str(champion), "--tiny", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "gate passed" in said[-1]
    assert any("1024 of 1024 windows" in line for line in said)
    assert any("left out: cwru: absent" in line for line in said)
    found = json.loads((tmp_path / "gate.json").read_text())
    assert found["verdict"] == "passed"
    assert found["candidate"] == found["champion"]
    assert found["tiny"] is True
    assert {one["verdict"] for one in found["slices"]} == {"same"}
    names = {one["name"] for one in found["slices"]}
    assert names >= {
        "inner_race.recall",
        "overload.false_naming",
        "ball.missed",
        "missed",
        "false_alarms_per_motor_day",
    }
    asked = {one["name"]: one["passed"] for one in found["checks"]}
    assert asked["latency_p95_ratio"] is asked["memory_ratio"] is asked["size_ratio"] is True
    assert asked["retrain_reproduces"] is None
    # the edge shows it
    shown = service.gate.Report.model_validate(found)
    assert [one.name for one in shown.slices] == [one["name"] for one in found["slices"]]
    page = (tmp_path / "gate.md").read_text()
    assert page.startswith("## Gate: passed")
    assert all(name in page for name in names)


def test_noise_on_the_weights_is_refused_by_fault(
    champion: Path, flaw: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(flaw("noisy")), str(champion), "--tiny", "--out", str(tmp_path)]) == 1
    assert "gate refused" in capsys.readouterr().out.splitlines()[-1]
    found = json.loads((tmp_path / "gate.json").read_text())
    assert found["verdict"] == "refused"
    worse = {one["name"] for one in found["slices"] if one["verdict"] == "worse"}
    assert worse == set(found["refused"])
    assert {name.split(".")[1] for name in worse if "." in name} >= {"recall"}
    page = (tmp_path / "gate.md").read_text()
    assert page.startswith("## Gate: refused")
    assert all(f"**{name}**" in page for name in worse)


def test_losing_one_fault_is_refused_by_that_fault_alone(
    champion: Path, flaw: Callable[[str], Path], tmp_path: Path
) -> None:
    found = judged(flaw("forgetful"), champion, tmp_path)
    assert "cage.recall" in found.refused
    assert {name for name in found.refused if name.endswith((".recall", ".false_naming"))} == {"cage.recall"}


def test_answers_that_are_no_numbers_are_refused(champion: Path, flaw: Callable[[str], Path], tmp_path: Path) -> None:
    found = judged(flaw("not_a_number"), champion, tmp_path)
    assert {"meaningless_windows", "withheld_readings", "severity.error"} <= set(found.refused)
    document = json.loads((tmp_path / "gate.json").read_text())  # strict JSON: what is no number is null
    assert "severity.error" in document["refused"]


def test_a_slow_candidate_is_refused_before_any_replay(
    champion: Path, flaw: Callable[[str], Path], tmp_path: Path
) -> None:
    found = judged(flaw("slow"), champion, tmp_path)
    assert found.refused == ["latency_p95_ratio"]
    assert found.slices == []
    assert found.absent == ["the replay: the candidate is refused without it"]


def test_a_candidate_that_hangs_is_given_up(
    champion: Path, flaw: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "TIMEOUT_S", 0.05)
    found = cost.latency(champion, flaw("slow"))
    assert found.passed is False
    assert found.found == "did not finish within 0.05 s"


def test_a_heavy_bundle_is_refused(champion: Path, tmp_path: Path) -> None:
    shutil.copytree(champion, tmp_path / "heavy")
    whole = sum(file.stat().st_size for file in champion.iterdir())
    (tmp_path / "heavy" / "golden.npz").write_bytes(bytes(2 * whole))
    found = cost.size(champion, tmp_path / "heavy")
    assert found.passed is False
    assert found.value is not None
    assert found.value > cost.SIZE


@pytest.mark.parametrize("damage", ["absent", "cut short"])
def test_a_candidate_that_the_edge_would_not_load_is_refused_with_its_reason(
    champion: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "candidate"
    if damage != "absent":
        shutil.copytree(champion, folder)
        raw = (folder / "classifier.onnx").read_bytes()
        (folder / "classifier.onnx").write_bytes(raw[: len(raw) // 2])
    found = judged(folder, champion, tmp_path / "out")
    assert found.refused == ["loads"]
    assert "candidate" in json.loads((tmp_path / "out" / "gate.json").read_text())
    assert not found.passed


def test_without_a_champion_there_is_no_verdict(
    champion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["gate", str(champion), str(tmp_path / "nobody"), "--tiny", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("gate: manifest.json")
    assert not out.exists()


def test_a_bundle_trained_on_the_replays_seed_is_refused(champion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "candidate"
    shutil.copytree(champion, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["seed"] = windows.SEED // 100_003
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert judged(folder, champion, tmp_path / "out").refused == ["replay_held_apart"]


def test_the_replay_is_frozen_and_no_windows_that_training_draws() -> None:
    first, again = windows.parts(1024), windows.parts(1024)
    assert windows.digest(first) == windows.digest(again)
    assert len(np.unique(np.concatenate([part.motor for part in first]))) == 256


def test_a_retraining_gives_the_same_digest_and_agrees_with_torch(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = trained
    found = gate(Args(folder, folder, tmp_path, retrain=True, tiny=True), lambda _: None)
    asked = {one.name: one for one in found.checks}
    assert asked["retrain_reproduces"].passed is True
    assert asked["torch_parity_replay"].passed is True
    assert asked["torch_parity_golden"].value is not None
    assert found.passed


def test_a_bundle_that_nobody_can_make_again_is_refused_where_that_is_asked(champion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "candidate"
    shutil.copytree(champion, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training"].pop("argument.epochs", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = gate(Args(folder, champion, tmp_path / "out", retrain=True, tiny=True), lambda _: None)
    assert found.refused == ["retrain_reproduces"]
