"""A container engine for what a push builds."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = Path(__file__).resolve().parents[2] / "deploy" / "engine"


@pytest.fixture
def engine() -> Iterator[None]:
    """An engine, started where none runs, and then stopped again."""
    subprocess.run([ENGINE, "start"], check=True, capture_output=True, timeout=300.0)
    yield
    subprocess.run([ENGINE, "stop"], check=True, capture_output=True, timeout=300.0)
