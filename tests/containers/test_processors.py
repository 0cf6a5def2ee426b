"""Every locked wheel exists for both processors. What runs on arm64 is not shown here: that needs such a machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.containers

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
GLIBC = "manylinux_2_36"
"""Of Debian bookworm, the images' base."""


def _resolved(run: Callable[..., Any], tmp_path: Path, component: str, platform: str) -> Any:
    """A dry run of the installation that the image does, for a machine that this one need not be."""
    options = ["--dry-run", "--quiet", "--python-platform", platform, "--python-version", "3.11", "--require-hashes"]
    options += ["--only-binary", ":all:", "--no-deps", "--target", tmp_path / "nowhere"]
    lock = ROOT / component / "requirements.lock"
    environment = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache")}
    return run(UV, "pip", "install", *options, "--requirement", lock, timeout_s=120.0, env=environment)


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
@pytest.mark.parametrize("component", ["service", "simulator"])
def test_every_locked_wheel_exists_for(run: Callable[..., Any], tmp_path: Path, component: str, processor: str) -> None:
    done = _resolved(run, tmp_path, component, f"{processor}-{GLIBC}")
    assert done.returncode == 0, done.stderr


def test_a_processor_without_a_wheel_would_be_noticed(run: Callable[..., Any], tmp_path: Path) -> None:
    done = _resolved(run, tmp_path, "service", "riscv64-unknown-linux")
    assert done.returncode != 0
    assert "no usable wheels" in done.stderr
