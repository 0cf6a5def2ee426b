"""Every physical parameter says its unit, range and source, and the defaults lie inside what is allowed."""

import numpy as np
import pytest

from service.contract.faults import Fault
from simulator.bearing import Contact
from simulator.circuit import Rating
from simulator.faults import EFFECTS
from simulator.parameter import OutOfRangeError, draw, parameters, take
from simulator.sensor import Sensors
from simulator.thermal import Body
from simulator.vibration import Background, Residue

MODELS = [Body, Rating, Contact, Background, Residue, Sensors, *EFFECTS.values()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_parameters_are_declared_with_unit_source_and_a_spread_inside_the_limits(model: type) -> None:
    declared = dict(parameters(model))
    assert declared
    for name, about in declared.items():
        assert about.unit, name
        assert len(about.source) > 3, name
        assert about.low <= about.default <= about.high, name
        assert about.low <= about.spread[0] <= about.spread[1] <= about.high, name


@pytest.mark.parametrize("model", [m for m in MODELS if m is not Rating], ids=lambda model: model.__name__)
def test_drawn_machines_stay_in_the_spread(model: type) -> None:
    drawn = draw(model, np.random.default_rng(0), 200)
    for name, about in parameters(model):
        value = getattr(drawn, name)
        assert value.shape == (200,)
        assert value.min() >= about.spread[0] - 1e-12
        assert value.max() <= about.spread[1] + 1e-12


def test_a_value_outside_the_limits_is_refused_with_name_value_unit_and_range() -> None:
    with pytest.raises(OutOfRangeError, match=r"Contact\.jitter=0\.5 1: must lie within 0\.\.0\.05"):
        Contact(jitter=np.array([0.01, 0.5]))


def test_the_registry_holds_every_fault_under_its_own_name() -> None:
    assert list(EFFECTS) == list(Fault)
    assert all(kind.fault == fault and kind.summary for fault, kind in EFFECTS.items())


def test_taking_rows_keeps_nested_models_aligned() -> None:
    drawn = draw(Body, np.random.default_rng(0), 10)
    part = take(drawn, np.array([7, 2, 2]))
    np.testing.assert_array_equal(part.winding_rise_k, drawn.winding_rise_k[[7, 2, 2]])
