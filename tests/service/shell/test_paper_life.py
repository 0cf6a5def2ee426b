"""Remaining life in the report and at the terminal: both ends of what a bundle tells, and bundles that tell less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service import report
from service.archive import Series
from service.console import terminal
from service.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Health
    from service.monitor import Profile

ENDS_H = {"rul_h": 310.0, "rul_low_h": 60.0, "rul_high_h": 520.0}
QUARTILES_H = {"rul_q25_h": 255.0, "rul_q75_h": 370.0}


@pytest.fixture
def paper(profile: Callable[..., Profile], health: Callable[..., Health]) -> Callable[[dict[str, float | None]], str]:
    def told(life: dict[str, float | None]) -> str:
        picture = Live()
        picture.introduce(profile("m1"))
        picture.update([(health("m1", 1).model_copy(update=life), 1.8e9)], [])
        seen = picture.news(0).motors[0]
        past = Series(0.0, 1.0, 1.0, {"ts_s": []})
        return report.of_motor("edge", "models 1", seen, {}, past, [], "last day")

    return told


def test_the_likelier_half_stands_before_the_wide_interval(paper: Callable[[dict[str, float | None]], str]) -> None:
    text = paper(ENDS_H | QUARTILES_H)
    assert "Life left<td>13 d, likely 11 d to 15 d" in text
    assert "9 in 10 end within<td>60 h to 22 d" in text


def test_without_quartiles_the_wide_interval_stands_alone(paper: Callable[[dict[str, float | None]], str]) -> None:
    text = paper(ENDS_H | dict.fromkeys(QUARTILES_H))
    assert "Life left<td>13 d (60 h to 22 d)" in text
    assert "9 in 10" not in text


def test_the_terminal_tells_what_paper_tells() -> None:
    assert terminal.life(ENDS_H | QUARTILES_H) == "13 d, likely 11 d to 15 d"
    assert terminal.life(ENDS_H) == "13 d (60 h to 22 d)"
