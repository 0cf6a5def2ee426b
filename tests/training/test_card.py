"""The model card: of the manifest alone, verified by the edge, and honest about where the models fail."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service import bundle as edge
from service.contract.manifest import Manifest
from service.errors import BundleError
from training import card
from training.__main__ import main
from training.train import by_motor

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.training


def test_the_card_names_data_figures_with_intervals_and_the_worst_faults(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    manifest = edge.load(folder).manifest
    told = (folder / card.FILE).read_text()
    assert manifest.training["data_sha256"] in told
    assert "commit: unknown" in told
    assert "--windows 2048" in told
    _, worst = min((manifest.metrics[f"twin.{fault}.recall"], fault) for fault in manifest.classes)
    assert f"- {worst.replace('_', ' ')} is named in" in told
    for name in ("recall", "precision", "false_rate"):
        for fault in manifest.classes:
            key = f"twin.{fault}.{name}"
            if key in manifest.metrics:
                low, high = manifest.metrics[f"{key}.lo"], manifest.metrics[f"{key}.hi"]
                assert low <= manifest.metrics[key] <= high
                assert f"({low:.4f}-{high:.4f})" in told


def test_a_card_that_somebody_improved_is_refused_and_written_anew(
    trained: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(trained[0], folder)
    (folder / card.FILE).write_text("never fails")
    with pytest.raises(BundleError, match=card.FILE):
        edge.load(folder)
    shutil.copytree(trained[0], folder, dirs_exist_ok=True)
    before = edge.load(folder).digest
    assert main(["card", "--models", str(folder)]) == 0
    assert edge.load(folder).digest == before


def test_a_bundle_without_a_card_loads_and_gets_one(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(trained[0], folder)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    old = manifest.model_copy(update={"card": None, "metrics": {}, "training": {}})
    (folder / "manifest.json").write_text(old.model_dump_json(exclude_none=True))
    (folder / card.FILE).unlink()
    assert edge.load(folder).manifest.card is None
    assert main(["card", "--models", str(folder)]) == 0
    assert "does not say with what arguments" in (folder / card.FILE).read_text()
    assert set(edge.read(folder).contents()) == {path.name for path in folder.iterdir()}


def test_windows_of_one_motor_count_as_one_draw() -> None:
    rng = np.random.default_rng(0)
    hit = np.repeat(rng.random(200) < 0.5, 4)
    every = np.ones(800, dtype=bool)
    alike, apart = (by_motor(hit, every, motor) for motor in (np.repeat(np.arange(200), 4), np.arange(800)))
    assert alike.value == apart.value
    assert (alike.hi - alike.lo) / (apart.hi - apart.lo) == pytest.approx(2.0, rel=0.02)
    none = by_motor(~every, every, np.repeat(np.arange(200), 4))
    assert none.lo == 0.0
    assert 0.015 < none.hi < 0.025


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--windows", "0"], "--windows 0: must be 1 at least"),
        (["--golden", "0"], "--golden 0: must be 2 at least"),
        (["--epochs", "0"], "--epochs 0"),
        (["--workers", "0"], "--workers 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--false-alarms", "nan"], "--false-alarms nan"),
        (["--commit", "main"], "git rev-parse HEAD"),
    ],
)
def test_impossible_arguments_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--out", str(tmp_path / "models"), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "models").exists()
