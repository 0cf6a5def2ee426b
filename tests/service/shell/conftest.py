"""What the shell's tests build on: readings, healths, alerts, a bundle whose answers the samples dictate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from service.bundle import Bundle, load
from service.contract.messages import Alert, Health
from tests.service.core.conftest import make_profile, make_reading, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from service.monitor import Profile

T0_S = 1_800_000_000.0


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(write_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="session")
def reading() -> Callable[..., Reading]:
    return make_reading


@pytest.fixture(scope="session")
def profile() -> Callable[..., Profile]:
    return make_profile


@pytest.fixture(scope="session")
def alert() -> Callable[..., Alert]:
    def make(motor: str = "m1", state: str = "open", revision: int = 0, **fields: Any) -> Alert:
        values: dict[str, Any] = {
            "id": f"{motor}:ball:1",
            "motor": motor,
            "condition": "ball",
            "state": state,
            "revision": revision,
            "opened_ts_s": T0_S,
            "ts_s": T0_S + revision,
            "reason": "because",
            "model": "0" * 12,
        }
        return Alert(**(values | fields))

    return make


@pytest.fixture(scope="session")
def health() -> Callable[..., Health]:
    def make(motor: str = "m1", seq: int = 0, **fields: Any) -> Health:
        values: dict[str, Any] = {
            "motor": motor,
            "ts_s": T0_S + seq,
            "boot": "b1",
            "seq": seq,
            "state": "ok",
            "diagnosis": "healthy",
            "model": "0" * 12,
        }
        return Health(**(values | fields))

    return make
