"""What the anomaly detector blames, on features made by hand: no window, no training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.anomaly import COLUMNS, Autoencoder, calibrate
from training.features import INDEX, NAMES, SHAFT_ORDERS

COUNT = 4000
BANDS = [column.name for column in COLUMNS]


def healthy(seed: int, count: int = COUNT) -> torch.Tensor:
    """Features without any structure but the flags, which are up; ``(count, len(NAMES))``."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0.0, 1.0, (count, len(NAMES)))
    features[:, INDEX["turns"]] = 1.0
    for name in ("level_accel", "level_velocity"):
        features[:, INDEX[name]] = 0.0
    for name in (name for name in NAMES if name.startswith("has_")):
        features[:, INDEX[name]] = 1.0
    return torch.from_numpy(features.astype(np.float32))


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    autoencoder = Autoencoder().eval()
    calibrate(autoencoder, healthy(1), np.arange(COUNT), false_alarm_rate=0.006)
    return autoencoder


def blamed(model: Autoencoder, features: torch.Tensor) -> torch.Tensor:
    mine = model.prepared(features)
    with torch.no_grad():
        return model.blamed(mine, model.excess(features), features)


def raised(names: tuple[str, ...], by: float) -> torch.Tensor:
    features = torch.zeros(1, len(NAMES)) + healthy(2).mean(dim=0)
    for name in names:
        features[:, INDEX[name]] = by
    return features


def top(model: Autoencoder, features: torch.Tensor) -> str:
    with torch.no_grad():
        return BANDS[int(model(features)[1].argmax())]


def test_two_in_a_hundred_healthy_windows_go_beyond_what_is_usual_in_a_column(model: Autoencoder) -> None:
    rest = [BANDS.index(name) for name in ("winding", "housing", "cooling", "load", "current", "shaft_envelope")]
    share = (blamed(model, healthy(3))[:, rest] > 1.0).float().mean(dim=0)
    assert torch.all(share > 0.005)
    assert torch.all(share < 0.04)


def test_a_strong_order_that_does_not_stand_out_is_blamed_for_its_velocity(model: Autoencoder) -> None:
    assert top(model, raised(("order_1_velocity",), 5.0)) == "order_1"
    assert top(model, raised(("order_2_velocity",), 5.0)) == "order_2"


def test_a_velocity_means_nothing_where_the_speed_is_not_known(model: Autoencoder) -> None:
    loud = raised(("order_1_velocity",), 5.0)
    assert blamed(model, loud)[0, BANDS.index("order_1")] > 2.0
    loud[:, INDEX["has_order"]] = 0.0
    assert blamed(model, loud)[0, BANDS.index("order_1")] < 0.1


def test_orders_that_come_with_half_orders_are_put_down_to_looseness(model: Autoencoder) -> None:
    whole = tuple(f"order_{order:g}_velocity" for order in (1, 2, 3))
    halves = tuple(f"order_{order:g}_{kind}" for order in (0.5, 1.5, 2.5) for kind in ("ratio", "velocity"))
    assert top(model, raised(whole, 5.0)) in {"order_1", "order_2", "order_3"}
    assert top(model, raised(whole + halves, 4.0)) == "half_orders"


def test_impacts_that_come_with_a_line_of_the_bearing_are_put_down_to_it(model: Autoencoder) -> None:
    impacts = tuple(name for name in NAMES if name.startswith(("peak_", "impulse_", "kurtosis", "crest")))
    assert top(model, raised(impacts, 3.0)) == "impacts"
    line = tuple(name for name in NAMES if name.startswith("comb_bpfo_"))
    assert top(model, raised(impacts + line, 3.0)) == "bpfo"


def test_velocities_never_count_in_the_score(model: Autoencoder) -> None:
    calm, loud = raised((), 0.0), raised(tuple(f"order_{order:g}_velocity" for order in SHAFT_ORDERS), 6.0)
    with torch.no_grad():
        assert model(calm)[0] == model(loud)[0]


def test_contributions_are_shares(model: Autoencoder) -> None:
    with torch.no_grad():
        shares = model(healthy(4, 50))[1]
    assert torch.all(shares >= 0.0)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(50), rtol=1e-4, atol=1e-4)
