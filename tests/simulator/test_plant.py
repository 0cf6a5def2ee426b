"""A plant as events: every failure is repaired in order, repair resets the right parts, and what it costs adds up."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("simpy")

from simulator.__main__ import main
from simulator.plant import SHOWS, SPARE, Event, Plant, PlantPlan, Summary

BUSY = PlantPlan(motors=25, days=200, ageing=40, seed=3, crews=1, bearings=1)


def _run(plan: PlantPlan) -> tuple[list[Event], Summary]:
    plant = Plant(plan)
    summary = plant.run()
    return plant.events, summary


@pytest.fixture(scope="module")
def busy() -> tuple[list[Event], Summary]:
    return _run(BUSY)


def _of(events: list[Event], motor: str, part: str) -> list[Event]:
    return [event for event in events if event.motor == motor and event.part == part]


def test_the_same_seed_gives_the_same_events_and_another_seed_others(busy: tuple[list[Event], Summary]) -> None:
    assert _run(BUSY)[0] == busy[0]
    assert _run(BUSY.model_copy(update={"seed": 4}))[0] != busy[0]


def test_a_part_shows_develops_fails_and_is_repaired_in_this_order(busy: tuple[list[Event], Summary]) -> None:
    order = ["incipient", "developed", "failed", "repair_started", "repaired"]
    events, _ = busy
    for motor in {event.motor for event in events}:
        # A burnt winding brings a new motor, which ends the other parts' stories early.
        if any(event.part == "winding" and event.kind == "failed" for event in _of(events, motor, "winding")):
            continue
        for part in SHOWS:
            kinds = [event.kind for event in _of(events, motor, part) if event.kind in order]
            assert kinds == [order[n % 5] for n in range(len(kinds))], (motor, part)


def test_events_come_in_time_and_shows_what_the_part_can_show(busy: tuple[list[Event], Summary]) -> None:
    events, _ = busy
    assert all(one.at_h <= other.at_h for one, other in pairwise(events))
    for event in events:
        if event.fault:
            assert event.fault in SHOWS[event.part][0]  # type: ignore[index]


def test_a_stopped_motor_ages_no_further(busy: tuple[list[Event], Summary]) -> None:
    events, _ = busy
    stopped: set[str] = set()
    for event in events:
        if event.kind in ("incipient", "developed", "failed", "load_shift"):
            assert event.motor not in stopped, event
        if event.kind == "failed":
            stopped.add(event.motor)
        elif event.kind == "repaired":
            stopped.discard(event.motor)


def test_one_crew_is_never_at_two_motors(busy: tuple[list[Event], Summary]) -> None:
    at_work = 0
    for event in busy[0]:
        at_work += {"repair_started": 1, "repaired": -1}.get(event.kind, 0)
        assert at_work <= 1


def test_more_crews_and_spares_stop_less_and_cost_less() -> None:
    scarce = _run(BUSY)[1]
    ample = _run(BUSY.model_copy(update={"crews": 20, "bearings": 500, "spare_motors": 100}))[1]
    assert ample.waited_for_crew_h == ample.waited_for_spare_h == 0.0
    assert scarce.waited_for_spare_h > 0.0
    assert ample.availability > scarce.availability
    assert ample.downtime_eur < scarce.downtime_eur


def test_a_spare_taken_is_ordered_and_arrives_after_its_lead_time(busy: tuple[list[Event], Summary]) -> None:
    ordered = [event.at_h for event in busy[0] if event.kind == "spare_ordered" and event.part == "bearing"]
    arrived = [event.at_h for event in busy[0] if event.kind == "spare_arrived" and event.part == "bearing"]
    assert arrived
    np.testing.assert_allclose(arrived, np.array(ordered[: len(arrived)]) + BUSY.lead_bearing_h)


def test_downtime_is_what_the_events_say_and_costs_by_the_minute(busy: tuple[list[Event], Summary]) -> None:
    events, summary = busy
    since: dict[str, float] = {}
    down_h = 0.0
    for event in events:
        if event.kind == "failed":
            since[event.motor] = event.at_h
        elif event.kind == "repaired":
            down_h += event.at_h - since.pop(event.motor)
    down_h += sum(summary.hours - at_h for at_h in since.values())
    assert summary.downtime_h == pytest.approx(down_h)
    assert summary.downtime_eur == pytest.approx(down_h * 60.0 * BUSY.downtime_eur_min)


def test_only_a_new_motor_renews_the_other_parts() -> None:
    assert {part for part, spare in SPARE.items() if spare == "motor"} == {"winding"}
    # Without winding failures a bearing's repair leaves the mounting's course alone: no part shows twice in one life.
    events, _ = _run(PlantPlan(motors=25, days=200, ageing=40, seed=3, night_load=0.1, day_load=0.5))
    for motor in {event.motor for event in events}:
        for part in ("bearing", "mounting"):
            kinds = [event.kind for event in _of(events, motor, part) if event.kind in ("incipient", "failed")]
            assert all(one != other for one, other in pairwise(kinds))


def test_hotter_and_harder_loaded_plants_fail_more() -> None:
    calm = PlantPlan(motors=60, days=300, ageing=5, seed=1, day_load=0.5)
    hard = calm.model_copy(update={"day_load": 1.1, "ambient_c": 45.0})
    assert sum(_run(hard)[1].failures.values()) > 1.5 * sum(_run(calm)[1].failures.values())


def test_the_command_writes_events_and_says_what_they_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "events.jsonl"
    assert main(["plant", "--motors", "10", "--days", "60", "--ageing", "50", "--out", str(out)]) == 0
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert {"failed", "repaired"} <= {event["kind"] for event in events}
    assert "availability" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"), [("--crews", "0"), ("--motors", "many"), ("--night-load", "-1"), ("--out", "events.csv")]
)
def test_an_impossible_plant_is_one_line_that_names_the_option(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plant", option, value]) == 2
    text = capsys.readouterr().err
    assert option in text
    assert text.count("\n") == 1
