"""Generators on disk and as ONNX."""

import numpy as np
import onnxruntime
import pytest
import torch

from training.gan import artefact
from training.gan.export import onnx_bytes
from training.gan.fitting import KINDS, fit
from training.gan.generator import Budget

TINY = Budget(steps=4, batch=12, hidden=8, check_every=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_generator_says_what_torch_says_for_any_batch(windows, kind) -> None:
    generator = fit(kind, windows, budget=TINY, seed=0, guide=windows).generator
    graph = onnxruntime.InferenceSession(onnx_bytes(generator))
    for count in (1, 5):
        noise = torch.randn(generator.noise_shape(count), generator=torch.Generator().manual_seed(1))
        condition = torch.from_numpy(windows.condition()[:count])
        guide = torch.from_numpy(windows.values[:count])
        with torch.no_grad():
            wanted = generator(noise, generator.shape.encoded(condition), guide).numpy()
        feeds = {"noise": noise.numpy(), "condition": condition.numpy(), "guide": guide.numpy()}
        np.testing.assert_allclose(graph.run(None, feeds)[0], wanted, atol=1e-4)


def test_the_exported_file_names_no_path_of_this_machine(windows) -> None:
    raw = onnx_bytes(fit("diffusion", windows, budget=TINY, seed=0).generator)
    assert b"site-packages" not in raw
    assert b".py" not in raw


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_read_back_draws_the_same_windows(windows, kind, tmp_path) -> None:
    fitted = fit(kind, windows, budget=TINY, seed=0, guide=windows)
    wanted = fitted.sample(1, 6, 2)
    artefact.save(fitted, tmp_path, seed=0, samples=3)
    np.testing.assert_array_equal(artefact.load(tmp_path).sample(1, 6, 2).values, wanted.values)
    with np.load(tmp_path / "samples.npz") as samples:
        assert samples["values"].shape == (9, 12, 2)
    assert (tmp_path / "discriminator.pt").exists() == (kind != "diffusion")
