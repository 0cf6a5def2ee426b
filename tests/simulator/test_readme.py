"""What the twin's README shows is what it takes."""

import re
import tomllib
from pathlib import Path

import numpy as np

from simulator import Motor
from simulator.fleet import Fleet
from simulator.scenario import MotorPlan, parse

TEXT = (Path(__file__).parents[2] / "simulator" / "README.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_scenario_in_the_readme_runs_and_has_every_table_of_a_motor() -> None:
    body = tomllib.loads(_block("toml"))
    fleet = Fleet(parse(body))
    ticks = [tick for tick, _ in zip(fleet.ticks(), range(75), strict=False)]
    assert all(len(tick.readings) == 3 for tick in ticks)
    used = {key for motor in body["motor"] for key in motor}
    tables = {"fault", "driven", "supply", "transient", "critical", "mounting", "sensor_fault", "transit", "load"}
    assert tables <= used <= set(MotorPlan.model_fields)


def test_the_notebook_example_gives_arrays_with_names_and_units() -> None:
    names: dict[str, object] = {}
    exec(compile(_block("python"), "README", "exec"), names)  # noqa: S102 - our own text
    run = names["run"]
    assert isinstance(names["Motor"], type)
    assert names["Motor"] is Motor
    assert run["housing_c"].shape == run.ts_s.shape == run.bearing_c.shape  # type: ignore[index,attr-defined]
    assert run.units["housing_c"] == run.units["bearing_c"] == "degC"  # type: ignore[attr-defined]
    speed_rpm = names["start"]["speed_rpm"]  # type: ignore[index]
    assert abs(speed_rpm[:10]).max() == 0.0
    assert speed_rpm[-1] > 1400.0
    # The bearing is warmer than the housing it hangs on.
    assert (run.bearing_c[-10:] > run["housing_c"][-10:]).all()  # type: ignore[index,attr-defined]


def test_what_does_not_arrive_in_a_notebook_is_nan() -> None:
    gone = [{"signal": "accel_m_s2", "kind": "absent", "onset_h": 5}, {"signal": "current_a", "kind": "absent"}]
    run = Motor(seed=2).run(hours=10, step_h=1, sensor_fault=gone, drop_out=0.3)
    assert run.accel_m_s2.shape == (11, 4096)
    assert np.isnan(run["current_a"]).all()
    assert 0 < np.isnan(run["housing_c"]).sum() < 11
    assert np.isnan(run.velocity_mm_s[5:]).all()
    assert run.zone[-1] is None
    assert set(run.zone[:5]) - {None}
