"""Bundles that misbehave, each in a real process: the service's own is never touched."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from service.bundle import load, read
from service.candidate import Candidate, Limits, Lost
from service.errors import BundleError, InferenceError
from tests.service.core.conftest import GRAPHS, SAMPLES, golden_vectors, onnx_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = Path("/proc")
LIMITS = Limits(start_s=20.0, run_s=2.0, cpu_s=10)


def rows(count: int, **at: float) -> dict[str, np.ndarray]:
    samples = np.zeros((count, SAMPLES), np.float32)
    for place, value in at.items():
        samples[:, int(place[1:])] = value
    return {
        "accel_m_s2": samples,
        "samples": np.full(count, SAMPLES, np.float32),
        "fs_hz": np.full(count, 12_000, np.float32),
        "operating": np.full((count, 6), np.nan, np.float32),
        "nameplate": np.full((count, 9), np.nan, np.float32),
    }


def test_a_candidate_proves_itself_and_answers_as_it_would_in_our_own_process(installed: Path) -> None:
    ours = load(installed)
    with Candidate(read(installed), LIMITS) as candidate:
        proven = candidate.prove()
        assert 0.0 < proven.batch_s < 1.0
        assert 10.0 < proven.peak_mib < LIMITS.memory_mib
        feeds = rows(5, x0=0.3, x1=0.7)
        told, expected = candidate.run("classifier", feeds), ours.run("classifier", feeds)
        assert told.keys() == expected.keys()
        for name, array in told.items():
            np.testing.assert_array_equal(array, expected[name])
        assert candidate.run_s > 0.0
        with pytest.raises(InferenceError, match=r"anomaly\.onnx: failed at batch 1"):
            candidate.run("anomaly", rows(1, x21=2.0))
        assert candidate.run("anomaly", rows(1))["anomaly"].shape == (1,)


def test_a_graph_that_runs_for_minutes_is_ended_in_time_and_the_candidate_with_it(
    press: Any, spinning_anomaly: str
) -> None:
    files = read(press(2, texts={"anomaly": spinning_anomaly}))
    with Candidate(files, LIMITS) as candidate:
        candidate.prove()
        started = time.monotonic()
        with pytest.raises(Lost, match="did not answer in time"):
            candidate.run("anomaly", rows(1, x22=2e9))
        assert time.monotonic() - started < LIMITS.run_s + 1.0
        with pytest.raises(Lost):
            candidate.run("anomaly", rows(1))


def test_a_graph_that_runs_for_minutes_on_its_golden_vectors_never_gets_further(
    press: Any, spinning_anomaly: str
) -> None:
    files = read(press(2, texts={"anomaly": spinning_anomaly}, vectors=_spinning_vectors()))
    started = time.monotonic()
    with Candidate(files, Limits(start_s=4.0, run_s=1.0, cpu_s=60)) as candidate, pytest.raises(Lost, match="in time"):
        candidate.prove()
    assert time.monotonic() - started < 6.0


def test_the_kernel_ends_a_graph_past_its_cpu_seconds_even_if_nobody_watches(press: Any, spinning_anomaly: str) -> None:
    files = read(press(2, texts={"anomaly": spinning_anomaly}, vectors=_spinning_vectors()))
    with Candidate(files, Limits(start_s=30.0, cpu_s=1)) as candidate, pytest.raises(Lost, match="ended by SIGXCPU"):
        candidate.prove()


def _spinning_vectors() -> dict[str, np.ndarray]:
    vectors = golden_vectors({name: onnx_bytes(text) for name, text in GRAPHS.items()})
    vectors["anomaly.accel_m_s2"][:, 22] = 2e9
    return vectors


def test_a_graph_that_takes_all_memory_takes_its_own_process_only(press: Any) -> None:
    # one sample decides how large a square becomes
    hungry = GRAPHS["anomaly"].replace(
        "float zero = {0.0},", "float zero = {0.0}, float huge = {100000.0}, float unit = {1.0},"
    )
    hungry = hungry.replace(
        "    anomaly = Add (sum, looked)",
        """    over = Sub (root, unit)
    above = Relu (over)
    scaled = Mul (above, huge)
    side = Add (scaled, unit)
    most = ReduceMax <keepdims = 1> (side)
    edge = Cast <to = 7> (most)
    shape = Concat <axis = 0> (edge, edge)
    block = ConstantOfShape (shape)
    crumb = ReduceMax <keepdims = 0> (block)
    summed = Add (sum, looked)
    anomaly = Add (summed, crumb)""",
    )
    with Candidate(read(press(2, texts={"anomaly": hungry})), LIMITS) as candidate:
        candidate.prove()
        with pytest.raises(InferenceError, match="failed at batch 1"):  # 40 GB
            candidate.run("anomaly", rows(1, x20=2.0))
        assert candidate.run("anomaly", rows(1))["anomaly"].shape == (1,)


def test_golden_vectors_that_deviate_are_told_in_the_bundles_own_words(press: Any) -> None:
    wrong = {"health.health": np.array([0.5, 0.5, 0.5])}
    with Candidate(read(press(2, vectors=wrong)), LIMITS) as candidate, pytest.raises(BundleError) as caught:
        candidate.prove()
    assert "health.health deviates on this machine" in str(caught.value)
    assert not isinstance(caught.value, Lost)


def test_a_process_that_is_killed_is_lost_and_says_how(installed: Path) -> None:
    with Candidate(read(installed), LIMITS) as candidate:
        candidate.prove()
        os.kill(candidate._process.pid, 11)
        with pytest.raises(Lost, match="ended by SIGSEGV"):
            candidate.run("anomaly", rows(1))


def test_closing_leaves_no_process_and_no_descriptor(installed: Path) -> None:
    files = read(installed)
    before = len(list((PROC / "self" / "fd").iterdir()))
    for _ in range(3):
        with Candidate(files, LIMITS) as candidate:
            process = candidate._process
        assert process.returncode is not None
    assert len(list((PROC / "self" / "fd").iterdir())) == before


def test_the_process_inherits_no_secrets(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    with Candidate(read(installed), LIMITS) as candidate:
        candidate.prove()
        environment = (PROC / str(candidate._process.pid) / "environ").read_bytes()
    assert b"hunter2" not in environment
    assert b"OMP_NUM_THREADS=1" in environment


def test_the_process_is_less_urgent_than_the_service_from_its_start(installed: Path) -> None:
    with Candidate(read(installed), LIMITS) as candidate:
        ours, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, candidate._process.pid))
        assert its == min(ours + 10, 19)


def test_the_process_can_write_no_file_and_gain_no_privilege(installed: Path) -> None:
    with Candidate(read(installed), LIMITS) as candidate:
        candidate.prove()
        adjusted = int((PROC / str(candidate._process.pid) / "oom_score_adj").read_text())
        limits = (PROC / str(candidate._process.pid) / "limits").read_text()
        status = (PROC / str(candidate._process.pid) / "status").read_text()
    assert "Max file size             0 " in limits
    assert "Max core file size        0 " in limits
    assert f"Max address space         {LIMITS.memory_mib * 2**20} " in limits
    assert adjusted == 1000
    assert "NoNewPrivs:\t1" in status


def test_what_was_verified_is_what_is_tried(press: Any) -> None:
    folder = press(2)
    files = read(folder)
    for path in folder.iterdir():
        path.write_bytes(b"replaced after it was verified")
    with Candidate(files, LIMITS) as candidate:
        assert candidate.prove().batch_s > 0.0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m["graphs"]["health"].update(file="../health.onnx"), "graphs.health.file"),
        (lambda m: m["graphs"]["health"].update(file="/etc/passwd"), "graphs.health.file"),
    ],
)
def test_a_path_that_leaves_the_folder_is_refused_though_signed(
    change: Callable[[dict[str, Any]], None], text: str, press: Any
) -> None:
    with pytest.raises(BundleError, match=text):
        read(press(2, change=change))


def test_a_custom_operator_is_refused_before_onnx_runtime_sees_it_though_signed(press: Any) -> None:
    folder = press(2)
    model = onnx.load(folder / "anomaly.onnx")
    model.graph.node[0].domain = "com.microsoft"
    raw = model.SerializeToString()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["graphs"]["anomaly"]["sha256"] = hashlib.sha256(raw).hexdigest()
    (folder / "anomaly.onnx").write_bytes(raw)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    press.seal(folder)
    with Candidate(read(folder), LIMITS) as candidate, pytest.raises(BundleError, match="operator domain"):
        candidate.prove()


def test_a_golden_archive_that_is_a_bomb_costs_nothing(press: Any) -> None:
    vectors = {"anomaly.anomaly": np.zeros(40_000_000, np.float32)}
    with (
        Candidate(read(press(2, vectors=vectors)), LIMITS) as candidate,
        pytest.raises(BundleError, match="unpacks to"),
    ):
        candidate.prove()
