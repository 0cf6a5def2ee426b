"""Bearing kinematics against published figures and against each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.bearing import CATALOGUE, BearingGeometry


def test_the_6205_has_the_orders_that_case_western_publishes() -> None:
    # CWRU bearing data center, drive end bearing 6205-2RS JEM SKF, multiples of running speed
    orders = CATALOGUE["6205"].orders()
    assert orders.bpfi == pytest.approx(5.4152, abs=5e-4)
    assert orders.bpfo == pytest.approx(3.5848, abs=5e-4)
    assert orders.ftf == pytest.approx(0.39828, abs=5e-5)
    assert 2 * orders.bsf == pytest.approx(4.7135, abs=1e-3)


def test_the_6203_has_the_orders_that_case_western_publishes() -> None:
    # CWRU, fan end bearing 6203-2RS JEM SKF; the page's 4.947 and 3.053
    orders = CATALOGUE["6203"].orders()
    assert orders.bpfi == pytest.approx(4.9469, abs=1e-3)
    assert orders.bpfo == pytest.approx(3.0530, abs=1e-3)


def test_the_pronostia_bearing_strikes_its_outer_race_5_6_times_a_turn() -> None:
    # Nectoux et al. 2012: 13 rolling elements of 3.5 mm between races of 22.1 and 29.1 mm
    bearing = CATALOGUE["pronostia"]
    assert bearing.pitch_mm == pytest.approx((22.1 + 29.1) / 2)
    assert bearing.orders().bpfo == pytest.approx(13 / 2 * (1 - 3.5 / 25.6))


@given(
    elements=st.integers(3, 40),
    ratio=st.floats(0.01, 0.9),
    pitch_mm=st.floats(5.0, 500.0),
    contact_deg=st.floats(0.0, 80.0),
)
def test_inner_and_outer_race_strikes_add_up_to_the_elements(
    elements: int, ratio: float, pitch_mm: float, contact_deg: float
) -> None:
    element_mm = ratio * pitch_mm
    if elements * element_mm >= 0.99 * math.pi * pitch_mm:
        element_mm = 0.9 * math.pi * pitch_mm / elements
    if element_mm >= pitch_mm:
        return
    orders = BearingGeometry(
        elements=elements, element_mm=element_mm, pitch_mm=pitch_mm, contact_deg=contact_deg
    ).orders()
    assert orders.bpfi + orders.bpfo == pytest.approx(elements)
    assert 0 < orders.ftf < 0.5
    assert orders.bpfi > orders.bpfo
    assert orders.bpfo == pytest.approx(elements * orders.ftf)


def test_elements_that_do_not_fit_are_refused_with_the_largest_that_would() -> None:
    with pytest.raises(ValidationError, match=r"element_mm must be below 10\.472"):
        BearingGeometry(elements=9, element_mm=11.0, pitch_mm=30.0)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_catalogue_bearing_is_listed_under_its_own_name(name: str) -> None:
    assert CATALOGUE[name].designation == name
