"""Small made-up windows, and the data folder where there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from training.gan.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def small(count: int = 24, *, aligned: bool = True, seed: int = 0, classes: int = 3) -> Windows:
    """``count`` windows a class, 12 steps, 2 channels; classes differ by level, units by offset."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), count)
    unit = np.tile(np.arange(count) % 2, classes) + 2 * label
    values = rng.standard_normal((len(label), 12, 2)) * 0.3 + label[:, None, None] + 0.5 * (unit % 2)[:, None, None]
    return Windows(
        values=values.astype(np.float32),
        label=label,
        severity=(label / classes).astype(np.float32),
        operating=(unit % 2).astype(np.float32)[:, None],
        unit=unit,
        classes=("healthy", "worn", "broken", "burnt")[: max(classes, 3)],
        channels=("force", "heat"),
        aligned=aligned,
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def windows() -> Windows:
    return small()


@pytest.fixture
def make() -> Callable[..., Windows]:
    return small


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(os.environ.get("MOTOR_DATA", "data"))


@pytest.fixture(scope="session")
def cmapss(data: Path) -> Path:
    if not (data / "cmapss").is_dir():
        pytest.skip("data set cmapss (C-MAPSS FD001) is absent; set MOTOR_DATA")
    return data


@pytest.fixture(scope="session")
def cwru(data: Path) -> Path:
    if not (data / "cwru").is_dir():
        pytest.skip("data set cwru (CWRU bearings) is absent; set MOTOR_DATA")
    return data


@pytest.fixture(scope="session")
def ai4i(data: Path) -> Path:
    if not (data / "ai4i2020").is_dir():
        pytest.skip("data set ai4i2020 (AI4I 2020) is absent; set MOTOR_DATA")
    return data
