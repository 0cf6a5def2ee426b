"""The real training, tiny: what it writes, what it says, and what it leaves alone when something is wrong."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from service import bundle as edge
from service.contract.faults import BEARING_FAULTS, Fault
from service.contract.manifest import Manifest
from service.errors import BundleError
from training import anomaly, atomic, bundle, classifier, data, health, stage
from training.__main__ import main
from training.classifier import CLASSES
from training.features import INDEX, NAMES, Features
from training.score import FAR

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.training


def test_the_edge_accepts_what_training_wrote(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    loaded = edge.load(folder, prove=True)
    assert loaded.manifest.classes == CLASSES
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "anomaly.onnx",
        "classifier.onnx",
        "vibration.onnx",
        "health.onnx",
        "golden.npz",
        "MODEL_CARD.md",
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) < bundle.LIMIT_BYTES


def test_held_out_figures_are_told_and_kept(trained: tuple[Path, list[str]]) -> None:
    folder, lines = trained
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    told = "\n".join(lines)
    for fault in CLASSES:
        assert fault in told
        assert f"twin.{fault}.false_rate" in manifest.metrics
    assert "twin.healthy.anomaly_rate" in manifest.metrics
    assert manifest.metrics[FAR] >= 1.0


def test_golden_vectors_hold_missing_values_and_short_windows(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    with np.load(folder / "golden.npz") as vectors:
        assert np.isnan(vectors["classifier.operating"]).any()
        assert np.isnan(vectors["health.severity"]).any()
        assert np.isnan(vectors["health.state"]).any()
        assert np.isfinite(vectors["health.state_next"]).all()


@pytest.fixture(scope="module")
def both(trained: tuple[Path, list[str]]) -> tuple[bundle.Models, edge.Bundle]:
    """The modules from their weights, and what the edge made of them."""
    folder, _ = trained
    network, autoencoder, _ = stage.load_weights(folder.parent / "work")
    models = bundle.Models(
        anomaly.Anomaly(Features(), autoencoder).eval(),
        classifier.Classifier(Features(), network).eval(),
        health.Health().eval(),
    )
    return models, edge.load(folder)


@pytest.mark.parametrize("graph", ["anomaly", "classifier", "health"])
def test_torch_and_runtime_agree_on_new_windows(graph: str, both: tuple[bundle.Models, edge.Bundle]) -> None:
    models, loaded = both
    sample = data.windows(64, seed=2, healthy_share=0.3)
    feeds = bundle.health_feeds(sample) if graph == "health" else bundle.window_feeds(sample)
    found = loaded.run(graph, feeds)  # type: ignore[arg-type]
    with torch.no_grad():
        wanted = getattr(models, graph)(*(torch.from_numpy(np.ascontiguousarray(v)) for v in feeds.values()))
    for (name, got), target in zip(found.items(), wanted, strict=True):
        assert np.allclose(got, target.numpy(), rtol=1e-4, atol=1e-4, equal_nan=True), name


def test_the_merged_graph_says_what_the_two_say(both: tuple[bundle.Models, edge.Bundle]) -> None:
    _, loaded = both
    feeds = bundle.window_feeds(data.windows(64, seed=3, healthy_share=0.3))
    together = loaded.run("vibration", feeds)  # type: ignore[arg-type]
    apart = loaded.run("anomaly", feeds) | loaded.run("classifier", feeds)  # type: ignore[arg-type]
    assert together.keys() == apart.keys()
    for name, got in together.items():
        assert np.allclose(got, apart[name], rtol=1e-4, atol=1e-4), name


def test_the_steps_one_by_one_give_the_bytes_of_the_whole(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = trained
    again, work = tmp_path / "models", str(tmp_path / "work")
    assert main(["prepare", "--work", work, "--windows", "2048", "--workers", "1"]) == 0
    assert main(["fit", "--work", work, "--epochs", "4", "--golden", "6"]) == 0
    assert main(["export", "--work", work]) == 0
    assert main(["bundle", "--work", work, "--out", str(again)]) == 0
    assert {path.name for path in again.iterdir()} == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    for path in (folder.parent / "work").rglob("*.*"):
        assert (tmp_path / "work" / path.relative_to(folder.parent / "work")).read_bytes() == path.read_bytes()


def test_a_reader_never_finds_half_a_bundle_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whole").write_text(name)
    (tmp_path / "a").rename(folder)
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add((folder / "whole").read_text())

    reader = ThreadPoolExecutor(1)
    looking = reader.submit(look)
    deadline, rounds = time.monotonic() + 20.0, 0
    while rounds < 500 or (len(seen) < 2 and time.monotonic() < deadline):  # a busy machine lets nobody look for long
        atomic.replaced(folder, tmp_path / "b", tmp_path / "old")
        rounds += 1
    done.set()
    looking.result()
    reader.shutdown()
    assert seen == {"a", "b"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "models"]


def test_a_bundle_that_the_edge_refuses_leaves_the_old_one_alone(
    trained: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(trained[0], folder)
    before = (folder / "manifest.json").read_bytes()

    def refuse(_folder: Path, *, prove: bool) -> None:
        raise BundleError(f"refused, prove={prove}")

    monkeypatch.setattr(edge, "load", refuse)
    told, graphs = stage.load_graphs(trained[0].parent / "work")
    with pytest.raises(BundleError, match="refused"):
        bundle.write(folder, graphs, alarms=told.alarms, seed=1, training={}, metrics={})
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_without_geometry_no_bearing_fault_has_any_probability() -> None:
    torch.manual_seed(0)
    network = classifier.Network().eval()
    features = torch.randn(64, len(NAMES))
    features[:, INDEX["has_bearing"]], features[:, INDEX["has_order"]] = 0.0, 1.0
    features[:, INDEX["turns"]] = float(np.log10(30.0))  # looseness needs some
    probability, _ = network(features)
    assert (probability[:, :4] == 0.0).all()
    assert (probability[:, 4:] > 0.0).all()


def test_in_few_turns_there_is_no_telling_looseness() -> None:
    torch.manual_seed(0)
    network = classifier.Network().eval()
    features = torch.randn(64, len(NAMES))
    features[:, INDEX["has_bearing"]] = features[:, INDEX["has_order"]] = 1.0
    features[:, INDEX["turns"]] = float(np.log10(3.0))
    column = classifier.CLASSES.index(Fault.LOOSENESS)
    probability, _ = network(features)
    assert (probability[:, column] == 0.0).all()
    assert (np.delete(probability.detach().numpy(), column, axis=1) > 0.0).all()


def test_in_which_of_the_bands_of_one_width_a_defect_rings_makes_no_difference() -> None:
    generator = torch.Generator().manual_seed(8)
    network = classifier.Network().eval()
    network.standardise(torch.randn(256, len(NAMES), generator=generator))
    features = torch.randn(32, len(NAMES), generator=generator)
    features[:, [INDEX["has_bearing"], INDEX["has_order"]]] = 1.0
    other = features.clone()
    for kind in (name.removesuffix("narrow_1") for name in NAMES if name.endswith("narrow_1")):
        one, two = INDEX[f"{kind}narrow_1"], INDEX[f"{kind}narrow_3"]
        other[:, [one, two]] = features[:, [two, one]]
    bearing = [CLASSES.index(fault) for fault in BEARING_FAULTS]
    probability, _ = network(features)
    swapped, _ = network(other)
    assert torch.allclose(probability[:, bearing], swapped[:, bearing], atol=1e-6)
    assert probability[:, bearing].std() > 0.01


def test_contributions_add_up_to_one_and_follow_the_odd_group() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    healthy = torch.randn(2048, len(NAMES), generator=generator)
    healthy[:, [INDEX[level] for level in anomaly.BEYOND]] *= 0.3
    model = anomaly.fit(healthy, epochs=5, generator=generator)
    anomaly.calibrate(model, healthy, np.arange(2048) // 4, false_alarm_rate=0.01)
    odd = 0.1 * healthy[:32]  # nothing else stands out
    impacts = next(group for group in anomaly.COLUMNS if group.name == "impacts")
    odd[:, [INDEX[name] for name in impacts.features]] += 30.0
    score, contribution = model(odd)
    assert torch.allclose(contribution.sum(dim=1), torch.ones(32), atol=1e-4)
    assert (score > 1.0).all()
    names = [group.name for group in anomaly.COLUMNS]
    assert (contribution.argmax(dim=1) == names.index("impacts")).all()
    # the same impacts beside a bearing's line are put down to that line
    for name in NAMES:
        if name.startswith("comb_bpfo_"):
            odd[:, INDEX[name]] += 30.0
    blamed = model(odd)[1]
    assert (blamed.argmax(dim=1) == names.index("bpfo")).all()
    assert (blamed[:, names.index("impacts")] < 0.1 * contribution[:, names.index("impacts")]).all()
    for level, beyond in anomaly.BEYOND.items():
        loud = healthy[:32].clone()
        loud[:, INDEX[level]] = torch.linspace(beyond - 0.2, beyond + 0.2, 32)
        score, contribution = model(loud)
        quiet, _ = model(healthy[:32])
        assert torch.equal(score[:16], quiet[:16])
        assert (score[17:] > 10.0).all()
        assert (contribution[17:].argmax(dim=1) == names.index("levels")).all()


def test_an_impossible_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["--windows", "1024", "--epochs", "1", "--out", str(tmp_path / "file" / "models")]
    assert main(["train", *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
