"""What drives the anomaly score travels in the health message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.drivers import MOST, drivers
from service.monitor import FleetState, Policy, step
from tests.service.core.conftest import make_profile, make_reading

if TYPE_CHECKING:
    from service.bundle import Bundle
    from service.contract.messages import Health


def told(bundle: Bundle, **fields: object) -> Health:
    reading = make_reading(**fields)  # type: ignore[arg-type]
    result = step(FleetState(), [reading], {"m1": make_profile()}, bundle, now_ts_s=1_800_000_000.0, policy=Policy())
    return result.health[0]


def test_the_health_message_names_the_strongest_bands_first_as_shares(bundle: Bundle) -> None:
    health = told(bundle, x={11: 1.0, 12: 6.0, 13: 3.0})
    bands = bundle.manifest.bands
    assert health.contributions is not None
    assert list(health.contributions.items()) == [(bands[1], 0.6), (bands[2], 0.3), (bands[0], 0.1)]


def test_bands_without_a_share_are_left_out(bundle: Bundle) -> None:
    health = told(bundle, x={11: 0.0, 12: 2.0, 13: -1.0})
    assert health.contributions == {bundle.manifest.bands[1]: 1.0}
    assert told(bundle).contributions == {}


def test_a_reading_without_vibration_has_no_contributions(bundle: Bundle) -> None:
    assert told(bundle, vibration=False, winding_c=60.0).contributions is None


@pytest.mark.parametrize("bands", [0, 1, 2, 7])
def test_any_number_of_bands_will_do(bands: int) -> None:
    names = [f"band_{number}" for number in range(bands)]
    first, second = drivers(1.0 + np.arange(2.0 * bands).reshape(2, bands), names)
    assert len(first) == min(MOST, bands)
    assert list(second) == names[::-1][:MOST]
    assert sum(second.values()) <= 1.002
