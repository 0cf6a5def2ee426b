"""Whether a motor's sensor is heard. A silent sensor is not a dead service: that is the node's availability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class _Ear:
    heard_s: float
    limit_s: float
    state: Literal["online", "silent"] | None


class Presence:
    """When each motor was last heard, by a clock that does not jump (monotonic seconds)."""

    def __init__(self, silence_factor: float) -> None:
        self._factor = silence_factor
        self._ears: dict[str, _Ear] = {}

    def expect(self, motor: str, interval_s: float, now_s: float) -> None:
        """This motor should be heard every ``interval_s``; it has that long, times the factor, from now."""
        limit_s = self._factor * interval_s
        ear = self._ears.get(motor)
        if ear is None:
            self._ears[motor] = _Ear(now_s, limit_s, None)
        else:
            ear.limit_s = limit_s

    def forget(self, motor: str) -> None:
        """This motor is no longer expected."""
        self._ears.pop(motor, None)

    def expects(self, motor: str) -> bool:
        """True for a motor that is listened for."""
        return motor in self._ears

    def heard(self, motor: str, now_s: float) -> bool:
        """Note a reading; True when the motor comes online by it."""
        ear = self._ears.get(motor)
        if ear is None:
            return False
        ear.heard_s = now_s
        came, ear.state = ear.state != "online", "online"
        return came

    def fallen_silent(self, now_s: float) -> list[str]:
        """Motors that have just been quiet for too long."""
        fallen = []
        for motor, ear in self._ears.items():
            if ear.state != "silent" and now_s - ear.heard_s > ear.limit_s:
                ear.state = "silent"
                fallen.append(motor)
        return fallen

    def states(self) -> dict[str, Literal["online", "silent"]]:
        """Every motor of which we can say."""
        return {motor: ear.state for motor, ear in self._ears.items() if ear.state is not None}
