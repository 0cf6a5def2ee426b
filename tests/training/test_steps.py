"""The steps of a training: what they keep, what they take up again, and what they refuse, by the real commands."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service import bundle as edge
from training import atomic, bundle, data, shards, train
from training.__main__ import MODELS, main
from training.features import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.training

ROOM_BYTES = 100_000
"""Less than a chunk of training data and than a graph."""


@pytest.fixture
def work(trained: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of what the steps of a training of 2048 windows left."""
    shutil.copytree(trained[0].parent / "work", tmp_path / "work")
    return tmp_path / "work"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow past ``ROOM_BYTES``: a real write fails in its middle, as where no room is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_prepared_stays_and_what_is_torn_is_made_again(
    work: Path, trained: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, torn = work / "data" / "00000.npz", work / "data" / "00001.npz"
    made_ns, before = whole.stat().st_mtime_ns, torn.read_bytes()
    torn.write_bytes(before[: len(before) // 2])
    (work / "data" / ".00001.npz.part").write_bytes(before[:100])  # as a power cut leaves it
    (work / "prepared.json").unlink()
    assert main(["prepare", "--work", str(work), "--windows", "2048", "--workers", "2"]) == 0
    assert "2048 of" in capsys.readouterr().out
    assert names(work / "data") == ["00000.npz", "00001.npz"]
    assert whole.stat().st_mtime_ns == made_ns
    assert torn.read_bytes() == before
    assert (work / "prepared.json").read_bytes() == (trained[0].parent / "work" / "prepared.json").read_bytes()


def test_a_chunk_is_believed_under_its_own_recipe_number_and_digest_only(tmp_path: Path) -> None:
    arrays = {"features": np.arange(12.0, dtype=np.float32).reshape(3, 4), "motor": np.arange(3)}
    mine, other = (shards.recipe(seed=seed, healthy_share=0.35) for seed in (1, 2))
    shards.write(tmp_path, 4, mine, arrays)
    kept = shards.read(tmp_path, 4, mine)
    assert kept is not None
    assert all(np.array_equal(kept[name], arrays[name]) for name in arrays)
    assert shards.read(tmp_path, 4, other) is None
    path = tmp_path / "00004.npz"
    shutil.copy(path, tmp_path / "00005.npz")
    assert shards.read(tmp_path, 5, mine) is None
    altered = bytearray(path.read_bytes())
    altered[altered.index(np.float32(5.0).tobytes())] ^= 1
    path.write_bytes(altered)
    assert shards.read(tmp_path, 4, mine) is None
    assert shards.read(tmp_path, 6, mine) is None


def test_a_recipe_knows_every_module_that_the_data_are_made_by() -> None:
    code = (
        "import sys, training.data; print(*(m.split('.')[1] for m in sys.modules if m.startswith('training.')));"
        "print(*(m for m in sys.modules if m.startswith('service.') and not m.startswith('service.contract')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, edges = done.stdout.split("\n")[:2]
    assert set(ours.split()) == set(shards.SOURCES)
    assert edges == ""


def test_a_full_disk_is_one_line_and_leaves_nothing_half(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "data" / "00001.npz").unlink()
    with full_disk():
        assert main(["prepare", "--work", str(work), "--windows", "2048", "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert "00001.npz: cannot be written" in error
    assert "make room or name another place" in error
    assert error.count("\n") == 1
    assert names(work / "data") == ["00000.npz"]


def test_a_bundle_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "old").write_text("old")
    with full_disk(), pytest.raises(atomic.WriteError, match="models: cannot be written"):
        bundle.place(folder, edge.read(MODELS).contents())
    assert names(tmp_path) == ["models"]
    assert names(folder) == ["old"]


@pytest.mark.parametrize(
    ("command", "lost", "said"),
    [
        ("fit", "prepared.json", "holds no prepared data; python -m training prepare --work"),
        ("export", "weights.npz", "holds no weights; python -m training fit --work"),
        ("bundle", "graphs", "holds no graphs; python -m training export --work"),
    ],
)
def test_a_step_whose_forerunner_is_missing_or_damaged_names_it(
    command: str, lost: str, said: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "models")] if command == "bundle" else []
    path = work / lost
    damaged = path / "health.onnx" if path.is_dir() else path
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert main([command, "--work", str(work), *out]) == 2
    error = capsys.readouterr().err
    assert said.rpartition("; ")[2] in error
    assert error.count("\n") == 1
    path.rename(tmp_path / "elsewhere")
    assert main([command, "--work", str(work), *out]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_data_of_another_twin_are_not_fitted_to(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = work / "prepared.json"
    told.write_text(told.read_text().replace('"data_sha256": "', '"data_sha256": "0'))
    assert main(["fit", "--work", str(work)]) == 2
    assert "prepared by another version of the twin; python -m training prepare" in capsys.readouterr().err


def test_a_class_without_a_window_is_named() -> None:
    severity = np.ones((3, len(train.CLASSES)), dtype=np.float32)
    severity[0] = 0.0
    full = data.Table(np.zeros((3, len(NAMES)), dtype=np.float32), severity, np.arange(3))
    train.refuse_empty(data.Split(full, full, full))
    lacking = data.Table(full.features, np.where(np.arange(len(train.CLASSES)) == 1, 0.0, severity), full.motor)
    with pytest.raises(ValueError, match=f"none of {train.CLASSES[1]} is left to calibrate; make more windows"):
        train.refuse_empty(data.Split(full, lacking, full))
    sick = full.rows(~full.healthy)
    with pytest.raises(ValueError, match="none of healthy is left to fit"):
        train.refuse_empty(data.Split(sick, full, full))
