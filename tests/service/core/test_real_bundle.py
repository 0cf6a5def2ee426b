"""The bundle that is shipped, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import service
from service.bundle import Bundle, load

FOLDER = Path(service.__file__).parent / "models"


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load(FOLDER)


def test_the_shipped_bundle_reproduces_its_golden_vectors_on_this_machine(shipped: Bundle) -> None:
    assert len(shipped.digest) == 64


def test_the_shipped_bundle_is_under_two_megabytes(shipped: Bundle) -> None:
    names = {"manifest.json", shipped.manifest.golden.file, *(spec.file for spec in shipped.manifest.graphs.values())}
    assert sum((FOLDER / name).stat().st_size for name in names) < 2_000_000
