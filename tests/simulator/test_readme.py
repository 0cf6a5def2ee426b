"""What the twin's README shows is what it takes."""

import re
import tomllib
from pathlib import Path

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
    # The bearing is warmer than the housing it hangs on.
    assert (run.bearing_c[-10:] > run["housing_c"][-10:]).all()  # type: ignore[index,attr-defined]
