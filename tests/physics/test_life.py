"""Lives: samples follow their law, hazard is pdf over survival, stress shortens lives as the standards say."""

import numpy as np
import pytest

from simulator.life import Stress, Weibull, exposure
from simulator.parameter import OutOfRangeError

STRESS = Stress()


@pytest.mark.parametrize("shape", [0.8, 1.0, 1.5, 3.0])
def test_drawn_lives_pass_a_kolmogorov_smirnov_test(shape: float) -> None:
    life = Weibull(shape=np.array(shape))
    x = np.sort(life.drawn(np.random.default_rng(5), 4000))
    at = np.arange(1, x.size + 1) / x.size
    distance = np.max(np.maximum(at - life.cdf(x), life.cdf(x) - at + 1.0 / x.size))
    # Critical value at 1 %: 1.63 / sqrt(n).
    assert distance < 1.63 / np.sqrt(x.size)


def test_hazard_is_the_density_over_the_survival() -> None:
    life = Weibull(shape=np.array(2.3))
    x = np.linspace(0.2, 2.5, 400)
    density = np.gradient(life.cdf(x), x, edge_order=2)
    np.testing.assert_allclose(life.hazard(x), density / life.survival(x), rtol=5e-3)
    np.testing.assert_allclose(life.cdf(life.quantile(np.array([0.1, 0.632]))), [0.1, 0.632])


def test_hazard_falls_stays_or_grows_with_the_shape() -> None:
    early, late = np.array(0.2), np.array(1.5)
    assert Weibull(shape=np.array(0.7)).hazard(early) > Weibull(shape=np.array(0.7)).hazard(late)
    assert Weibull(shape=np.array(1.0)).hazard(early) == Weibull(shape=np.array(1.0)).hazard(late)
    assert Weibull(shape=np.array(2.0)).hazard(early) < Weibull(shape=np.array(2.0)).hazard(late)


def test_a_tenth_of_the_bearings_has_failed_at_the_rating_life_of_iso_281() -> None:
    # ISO 281: (C/P)^3 10^6 / (60 n); C/P = 12 at 1,500 1/min gives 19,200 h.
    life = Weibull(shape=np.array(1.5))
    l10_h = STRESS.bearing_l10_h(np.array(1.0), np.array(1500.0))
    assert l10_h == pytest.approx(19_200.0)
    share = life.cdf(l10_h / STRESS.bearing_h(np.array(1.0), np.array(1500.0), life))
    assert share == pytest.approx(0.1)


def test_half_the_load_makes_a_bearing_live_eight_times_as_long_and_half_the_speed_twice() -> None:
    life = Weibull()
    full = STRESS.bearing_h(np.array(1.0), np.array(1500.0), life)
    assert STRESS.bearing_h(np.array(0.5), np.array(1500.0), life) / full == pytest.approx(8.0)
    assert STRESS.bearing_h(np.array(1.0), np.array(750.0), life) / full == pytest.approx(2.0)


def test_ten_kelvin_more_halve_the_windings_life() -> None:
    assert STRESS.insulation_h(np.array(155.0)) == pytest.approx(20_000.0)
    assert STRESS.insulation_h(np.array(165.0)) == pytest.approx(10_000.0)


def test_exposure_under_changing_stress_adds_up() -> None:
    scale_h = np.array([100.0, 100.0, 50.0, 50.0])
    np.testing.assert_allclose(exposure(scale_h, 10.0), [0.1, 0.2, 0.4, 0.6])


def test_an_impossible_shape_is_refused_by_name() -> None:
    with pytest.raises(OutOfRangeError, match=r"Weibull\.shape=-1 1: must lie within 0\.5\.\.10"):
        Weibull(shape=np.array(-1.0))
