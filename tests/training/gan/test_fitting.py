"""Training any generator and drawing from it."""

from dataclasses import replace

import numpy as np
import pytest

from training.gan import cell
from training.gan.fitting import KINDS, AbsentClassError, fit
from training.gan.generator import Budget
from training.gan.windows import InputError, Scaler

TINY = Budget(steps=6, batch=12, hidden=8, check_every=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("aligned", [True, False])
def test_the_same_seed_gives_the_same_samples_and_another_seed_does_not(make, kind, aligned) -> None:
    train = make(aligned=aligned)
    first, again, other = (fit(kind, train, budget=TINY, seed=s, guide=train) for s in (3, 3, 4))
    one = first.sample(1, 7, 5).values
    assert one.shape == (7, 12, 2)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, again.sample(1, 7, 5).values)
    assert not np.array_equal(one, other.sample(1, 7, 5).values)
    assert not np.array_equal(one, first.sample(1, 7, 6).values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(windows, kind, tmp_path) -> None:
    class StoppedError(Exception):
        pass

    def stop(step, _losses) -> None:
        if step == 3:
            raise StoppedError

    whole = fit(kind, windows, budget=TINY, seed=0, guide=windows)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(StoppedError):
        fit(kind, windows, budget=TINY, seed=0, guide=windows, checkpoint=path, progress=stop)
    resumed = fit(kind, windows, budget=TINY, seed=0, guide=windows, checkpoint=path, resume=True)
    np.testing.assert_array_equal(whole.sample(2, 5, 1).values, resumed.sample(2, 5, 1).values)
    assert whole.history == resumed.history


def test_a_checkpoint_of_another_budget_is_refused(windows, tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"
    fit("gan", windows, budget=TINY, seed=0, checkpoint=path)
    with pytest.raises(InputError, match="checkpoint: made by another"):
        fit("gan", windows, budget=replace(TINY, steps=9), seed=0, checkpoint=path, resume=True)


def test_training_stops_early_when_the_distance_no_longer_falls(windows) -> None:
    fitted = fit("diffusion", windows, budget=Budget(steps=400, batch=12, hidden=8, check_every=2, patience=2), seed=0)
    assert len(fitted.history["denoising"]) < 400
    assert fitted.best_step <= len(fitted.history["denoising"])


def test_a_class_absent_from_training_cannot_be_generated_and_the_error_says_so(windows) -> None:
    train = windows.take(windows.label != 2)
    with pytest.raises(AbsentClassError, match=r"'broken': absent from training.*physics twin"):
        fit("gan", train, budget=TINY, seed=0).sample(2, 3, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_example_of_a_class_is_enough_to_train_and_draw(windows, kind) -> None:
    keep = windows.label != 2
    keep[np.flatnonzero(windows.label == 2)[0]] = True
    made = fit(kind, windows.take(keep), budget=TINY, seed=0, guide=windows).sample(2, 4, 0)
    assert np.isfinite(made.values).all()
    assert (made.label == 2).all()


def test_a_refiner_without_twin_windows_is_refused(windows) -> None:
    with pytest.raises(InputError, match="guide: twin_gan refines twin windows"):
        fit("twin_gan", windows, budget=TINY, seed=0)


def test_an_unknown_kind_is_refused_with_the_choices(windows) -> None:
    with pytest.raises(InputError, match="choose from gan, timegan, diffusion, twin_gan"):
        fit("gpt", windows, budget=TINY, seed=0)


def test_a_refiner_starts_as_the_twin_itself(windows) -> None:
    fitted = fit("twin_gan", windows, budget=replace(TINY, steps=0), seed=0, guide=windows)
    made = fitted.sample(1, 5, 0).values
    twin = windows.of(1).values
    assert min(np.abs(made[0] - t).max() for t in twin) < 1e-4


def test_diffusion_learns_levels_of_classes_and_spread_of_windows(make) -> None:
    train = make(60)
    made = fit("diffusion", train, budget=Budget(steps=60, batch=48, hidden=16, check_every=20), seed=0).sample(
        2, 200, 0
    )
    real = train.of(2).values
    assert abs(made.values.mean() - real.mean()) < 0.1
    assert 0.8 < made.values.std() / real.std() < 1.2


def test_cells_are_undone_by_colouring_with_their_own_statistics(windows) -> None:
    scaler = Scaler.fitted(windows)
    scaled = scaler.scaled(windows.values)
    cells = cell.Cells.fitted(windows, scaler)
    white = cells.white(scaled)
    assert abs(float(white.std()) - 1.0) < 0.15
    for label in range(3):
        rows = np.flatnonzero(windows.label == label)
        stats = cells.mixed(rows, 0.0, np.random.default_rng(0))
        np.testing.assert_allclose(cells.coloured(white[rows], label, *stats), scaled[rows], atol=2e-2)
