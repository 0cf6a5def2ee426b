"""Windows, their refusals and their scaler."""

from dataclasses import replace

import numpy as np
import pytest

from training.gan.windows import InputError, Scaler, filled


def test_a_nan_is_refused_naming_its_channel_and_the_remedy(windows) -> None:
    broken = windows.values.copy()
    broken[3, 2, 1] = np.nan
    with pytest.raises(InputError, match=r"values: 1 NaN.*'heat'.*windows\.filled") as caught:
        replace(windows, values=broken)
    assert "\n" not in str(caught.value)


def test_short_gaps_are_bridged_and_windows_with_long_ones_are_marked(windows) -> None:
    values = windows.values[:3].copy()
    values[0, 4:6, 0] = np.nan
    values[0, 3, 0], values[0, 6, 0] = 1.0, 4.0
    values[1, 2:9, 1] = np.nan
    out, usable = filled(values, max_gap=3)
    assert usable.tolist() == [True, False, True]
    np.testing.assert_allclose(out[0, 3:7, 0], [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(out[2], values[2])


def test_a_channel_without_any_value_makes_the_window_unusable(windows) -> None:
    values = windows.values[:1].copy()
    values[0, :, 0] = np.nan
    assert not filled(values, max_gap=99)[1].any()


@pytest.mark.parametrize("aligned", [True, False])
def test_a_constant_channel_comes_back_as_its_constant_whatever_is_generated(make, aligned) -> None:
    windows = make(aligned=aligned)
    values = windows.values.copy()
    values[:, :, 1] = 7.0
    scaler = Scaler.fitted(replace(windows, values=values))
    assert np.isfinite(scaler.scaled(values)).all()
    np.testing.assert_allclose(scaler.restored(np.full_like(values, 3.0))[:, :, 1], 7.0)


def test_windows_that_never_change_are_refused(windows) -> None:
    with pytest.raises(InputError, match="every channel is constant"):
        Scaler.fitted(replace(windows, values=np.ones_like(windows.values)))


def test_scaling_is_undone_by_restoring(windows) -> None:
    scaler = Scaler.fitted(windows)
    np.testing.assert_allclose(scaler.restored(scaler.scaled(windows.values)), windows.values, atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("label", np.full(72, 9), "label: outside"),
        ("severity", np.zeros(3, np.float32), "severity: 3 rows for 72 windows"),
        ("operating", np.full((72, 1), np.inf, np.float32), "operating: NaN"),
        ("values", np.zeros((72, 12, 5), np.float32), "values: shape"),
    ],
)
def test_fields_that_disagree_are_refused_by_name(windows, field, value, said) -> None:
    with pytest.raises(InputError, match=said):
        replace(windows, **{field: value})


def test_windows_of_other_channels_cannot_be_joined(windows) -> None:
    with pytest.raises(InputError, match="channels"):
        windows.joined(replace(windows, channels=("force", "noise")))
