"""The autoencoder of a shipped bundle, fitted on: found in the graph, moved, judged, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from service import bundle as edge
from service.errors import BundleError
from training import bundle as writing
from training import data, refit
from training.__main__ import MODELS
from training.anomaly import GROUPS, Autoencoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.training

WINDOWS = 240


@pytest.fixture(scope="module")
def files() -> edge.Files:
    return edge.read(MODELS)


@pytest.fixture(scope="module")
def eye(files: edge.Files) -> refit.Eye:
    return refit.Eye(files.graphs["anomaly"], files.manifest.graphs["anomaly"])


@pytest.fixture(scope="module")
def seen(eye: refit.Eye) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of sound machines of the twin."""
    return eye.look(writing.window_feeds(data.windows(WINDOWS, seed=77, healthy_share=1.0)))


def machine(seen: tuple[NDArray[np.float32], NDArray[np.float32]], eye: refit.Eye, habit: float) -> refit.Heard:
    """One machine whose features keep to a habit, in deviations of all machines', with a fifth of their spread."""
    rng = np.random.default_rng(3)
    raw, excess = seen
    own = raw.mean(axis=0) + 0.2 * (raw - raw.mean(axis=0))
    lean = habit * rng.choice((-1.0, 1.0), raw.shape[1]) / eye.constants["scale"]
    return refit.Heard((own + lean).astype(np.float32), excess, np.arange(len(raw)) / len(raw))


def test_the_constants_found_in_the_graph_give_its_score(files: edge.Files, eye: refit.Eye) -> None:
    feeds = writing.window_feeds(data.windows(32, seed=5, healthy_share=0.5))
    raw, excess = (torch.from_numpy(values) for values in eye.look(feeds))
    model = Autoencoder()
    names = ("encoder.0", "encoder.2", "decoder.0", "decoder.2")
    state = model.state_dict()
    for at, name in enumerate(names):
        for offset, kind in enumerate(("weight", "bias")):
            state[f"{name}.{kind}"] = torch.from_numpy(eye.constants[f"weights.{2 * at + offset}"].copy())
    for name in ("mean", "scale", "membership", "usual"):
        state[name] = torch.from_numpy(eye.constants[name].copy())
    model.load_state_dict(state)
    with torch.no_grad():
        mine = torch.clamp((raw - model.mean) * model.scale, -6.0, 6.0)
        total = (model.error(mine, excess) / model.usual).sum(dim=1).numpy()
    told = edge.Bundle(files).run("anomaly", feeds)["anomaly"]
    ratio = total / told
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert len(GROUPS) / 4 < ratio[0] < 4 * len(GROUPS)


def test_constants_put_back_unchanged_leave_every_answer_as_it_was(files: edge.Files, eye: refit.Eye) -> None:
    same = {name: values for name, values in eye.constants.items() if name.startswith("weights.") or name == "mean"}
    again = refit.refitted(files, same)
    feeds = writing.window_feeds(data.windows(8, seed=6, healthy_share=0.5))
    for graph in ("anomaly", "vibration"):
        before, after = (edge.Bundle(one).run(graph, feeds) for one in (files, again))
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_a_machine_with_habits_of_its_own_is_learnt_and_nothing_else_of_the_bundle_changes(
    files: edge.Files, eye: refit.Eye, seen: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    verdict = refit.refit(eye, [machine(seen, eye, habit=0.5)])
    assert verdict.kept, verdict.why
    assert verdict.figures["oddness"] < 0.7 * verdict.figures["oddness_shipped"]
    assert verdict.figures["faults"] >= verdict.figures["faults_shipped"]
    again = refit.refit(eye, [machine(seen, eye, habit=0.5)])
    for name, values in verdict.constants.items():
        np.testing.assert_array_equal(values, again.constants[name], err_msg=name)
    own = refit.refitted(files, verdict.constants)
    assert {name for name in own.graphs if own.graphs[name] != files.graphs[name]} == {"anomaly", "vibration"}
    feeds = writing.window_feeds(data.windows(8, seed=6, healthy_share=0.5))
    before, after = (edge.Bundle(one).run("vibration", feeds) for one in (files, own))
    np.testing.assert_array_equal(after["probability"], before["probability"])
    assert not np.allclose(after["anomaly"], before["anomaly"])


def test_an_offset_moves_only_so_far(eye: refit.Eye, seen: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    verdict = refit.refit(eye, [machine(seen, eye, habit=5.0)])
    moved = verdict.constants.get("mean", eye.constants["mean"]) - eye.constants["mean"]
    assert np.abs(moved * eye.constants["scale"]).max() <= refit.FARTHEST + 1e-4


def test_a_machine_that_changes_while_it_is_learnt_is_not_learnt(
    eye: refit.Eye, seen: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    one, other = machine(seen, eye, habit=1.2), machine(seen, eye, habit=0.0)
    late = one.time >= refit.STOP
    raw = np.where(late[:, None], other.raw, one.raw)
    verdict = refit.refit(eye, [one._replace(raw=raw)])
    assert not verdict.kept
    assert not verdict.constants
    assert "no less odd" in verdict.why or "stand out less" in verdict.why


def test_few_windows_leave_the_shipped_weights(
    eye: refit.Eye, seen: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    few = refit.LEAST
    verdict = refit.refit(eye, [refit.Heard(seen[0][:few], seen[1][:few], np.arange(few) / few)])
    assert not verdict.kept
    assert verdict.why == f"{round(refit.FIT * few)} windows are too few, {few} are the least"


def test_a_graph_of_another_make_is_refused() -> None:
    tensor = helper.make_tensor_value_info("anomaly", onnx.TensorProto.FLOAT, ["batch"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["anomaly"])], "other", [], [tensor])
    with pytest.raises(BundleError, match="train a bundle of this version"):
        refit.core_of(graph)
