"""The cheap rivals."""

import numpy as np
import pytest

from training.gan import rival
from training.gan.windows import InputError


@pytest.mark.parametrize("name", rival.RIVALS)
def test_every_rival_makes_as_many_windows_of_the_class_as_asked_and_repeats_itself(windows, name) -> None:
    made = rival.RIVALS[name](windows, 1, 17, 3)
    assert len(made) == 17
    assert (made.label == 1).all()
    assert (made.unit == -1).all()
    np.testing.assert_array_equal(made.values, rival.RIVALS[name](windows, 1, 17, 3).values)


def test_smote_stays_between_windows_of_the_class(windows) -> None:
    pool = windows.of(1).values
    made = rival.smote(windows, 1, 50, 0).values
    assert (made >= pool.min(axis=0) - 1e-5).all()
    assert (made <= pool.max(axis=0) + 1e-5).all()


def test_smote_with_one_example_falls_back_to_jitter(windows) -> None:
    keep = windows.label != 2
    keep[-1] = True
    train = windows.take(keep)
    np.testing.assert_array_equal(rival.smote(train, 2, 6, 0).values, rival.jittered(train, 2, 6, 0).values)


def test_a_rival_cannot_make_a_class_it_has_not_seen(windows) -> None:
    with pytest.raises(InputError, match="'broken': absent"):
        rival.oversampled(windows.take(windows.label != 2), 2, 3, 0)
