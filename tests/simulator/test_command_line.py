"""The command line teaches, and answers mistakes with one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from service.contract.faults import TAUGHT, Fault
from simulator import Motor
from simulator.__main__ import main
from simulator.scenario import ScenarioError, gallery


def test_help_shows_every_command_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for word in ("run", "replay", "list", "demo", "MQTT_URL", "--speedup", "--bearing 6205"):
        assert word in out


def test_list_shows_every_fault_bearing_and_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in (*Fault, *CATALOGUE, *gallery()):
        assert f"  {name}" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nope"], "nope: no such file"),
        (["run", "demo", "--mqtt", "http://x"], "MQTT_URL: must look like"),
        (["replay", "nope.mat", "--motor", "a"], "nope.mat: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_replay_refuses_another_units_numbers_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in_g.csv"
    np.savetxt(path, np.random.default_rng(0).normal(0.0, 0.05, 5000), header="x", comments="", fmt="%.5f")
    # nothing listens there: a connection would be tried for long
    arguments = ["replay", str(path), "--motor", "a", "--fs-hz", "12000", "--mqtt", "mqtt://127.0.0.1:9"]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "in_g.csv: wrong unit? the numbers read as m/s2 make 0.0498 m/s^2 RMS" in err
    assert "looks like g; say which with --unit m/s2|g|mg" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["run", "demo", "--speedup", "-1"], ["replay", "x.mat", "--motor", "a/b"], ["replay", "x.mat"]]
)
def test_a_wrong_option_is_refused_with_exit_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


def test_publishing_loads_neither_scipy_nor_matplotlib() -> None:
    code = (
        "import sys, simulator.publish, simulator.fleet, simulator.scenario, simulator.__main__;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('scipy', 'matplotlib', 'torch', 'pandas')];"
        "sys.exit(','.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_notebook_gets_named_arrays_with_units() -> None:
    run = Motor("7.5kW-4p-50Hz", "6208", seed=1).run(hours=40, step_h=2, faults={"imbalance": (5, 35)}, samples=2048)
    assert run["housing_c"].shape == (21,)
    assert run.units["housing_c"] == "degC"
    assert run.accel_m_s2.shape == (21, 2048)
    assert run.zone[0] in ("A", "B")
    assert run.zone[-1] == "D"
    assert run.rul_h[0] == 35.0
    assert run.severity[Fault.IMBALANCE][-1] == 1.0


def test_a_notebook_mistake_names_what_is_wrong() -> None:
    with pytest.raises(ScenarioError, match=r"Motor: motor\[0\]\.fault\[0\]\.kind: .*got 'inbalance'"):
        Motor().run(hours=4, step_h=1, faults={"inbalance": 0.5})
    with pytest.raises(ScenarioError, match="bearing '1': unknown"):
        Motor("7.5kW-4p-50Hz", "1")


def test_dataset_writes_what_the_seed_says_with_a_description(tmp_path: Path) -> None:
    for name, workers in (("a.npz", "1"), ("b.npz", "2")):
        assert main(["dataset", "70", "--out", str(tmp_path / name), "--samples", "2048", "--workers", workers]) == 0
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as two:
        assert one["accel_m_s2"].shape == (70, 2048)
        np.testing.assert_array_equal(one["accel_m_s2"], two["accel_m_s2"])
        assert json.loads(str(one["about"]))["faults"] == list(TAUGHT)


def test_dataset_writes_parquet_with_the_same_values(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("a.npz", "a.parquet"):
        assert main(["dataset", "6", "--out", str(tmp_path / name), "--samples", "2048"]) == 0
    table = parquet.read_table(tmp_path / "a.parquet")
    assert json.loads(table.schema.metadata[b"about"])["faults"] == list(TAUGHT)
    with np.load(tmp_path / "a.npz") as arrays:
        rows = np.array(table["accel_m_s2"].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(rows, arrays["accel_m_s2"])
        np.testing.assert_array_equal(table["motor"].to_numpy(), arrays["motor"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["dataset", "5", "--out", "{tmp}/none/a.npz"],
        ["dataset", "5", "--out", "{tmp}/a.csv"],
        ["plot", "demo", "--out", "{tmp}/a.gif"],
        ["plot", "demo", "--motor", "x", "--out", "{tmp}/a.png"],
    ],
)
def test_an_output_that_cannot_be_made_leaves_no_file(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["png", "html"])
def test_plot_draws_a_scenario(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / f"picture.{ending}"
    assert main(["plot", "imbalance", "--at-h", "150", "--out", str(out)]) == 0
    assert out.stat().st_size > 20_000
    assert list(tmp_path.iterdir()) == [out]


def test_plot_draws_a_recording(cwru_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.png"
    assert main(["plot", str(cwru_file), "--bearing", "6205", "--out", str(out)]) == 0
    assert out.stat().st_size > 20_000


def test_a_motor_without_a_window_to_draw_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    plan = tmp_path / "dumb.toml"
    plan.write_text(
        'title = "x"\nduration_h = 4\nstep_h = 1\n[[motor]]\nid = "a"\n'
        'sensor_fault = [{ signal = "accel_m_s2", kind = "absent" }]\n'
    )
    assert main(["plot", str(plan), "--out", str(tmp_path / "a.png")]) == 2
    assert "motor 'a' reports no vibration to draw" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
