"""The classifier's stacks answer as the experts that they were made from, whatever the features are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.classifier import CLASSES, Network
from training.features import INDEX, NAMES
from training.fused import Fused

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights, and a calibration that is no identity; nothing is learnt that would hide a swapped column."""
    torch.manual_seed(3)
    made = Network().eval()
    made.standardise(torch.randn(500, len(NAMES)))
    for name, low, high in (("gain", 0.5, 2.0), ("bias", -1.0, 1.0), ("start", -0.1, 0.1), ("slope", 0.8, 1.6)):
        buffer = getattr(made, name)
        buffer.copy_(low + (high - low) * torch.rand(len(CLASSES)))
    return made


@pytest.mark.parametrize("absent", [(), ("has_bearing",), ("has_order", "has_bearing")])
def test_stacks_answer_as_the_experts_do(network: Network, absent: tuple[str, ...]) -> None:
    rng = np.random.default_rng(5)
    features = torch.from_numpy(rng.normal(0.0, 3.0, (200, len(NAMES))).astype(np.float32))
    for name in (name for name in NAMES if name.startswith("has_")):
        features[:, INDEX[name]] = float(name not in absent)
    features[:, INDEX["turns"]] = torch.linspace(0.4, 0.8, 200)
    with torch.no_grad():
        wanted, got = network(features), Fused(network)(features)
    assert wanted[0].std() > 0.05
    for one, other in zip(wanted, got, strict=True):
        assert torch.allclose(one, other, atol=2e-6)
