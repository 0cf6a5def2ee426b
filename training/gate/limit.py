"""What no bundle may fall short of, whatever the champion does: a bad champion must not let a bad candidate in.

Each lies well on the near side of what the shipped bundle reaches (``python -m training gate`` on it against itself,
in brackets), so that it stops erosion over many releases and not one release's chance. Recordings have none: a few
bearings of one rig are no measure of good enough.
"""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """The worst that passes."""

    value: float
    higher_is_better: bool

    def broken_by(self, figure: float) -> bool:
        """Whether the figure is worse; what is no number always is."""
        return not (figure >= self.value if self.higher_is_better else figure <= self.value)


_BY_NAME = {
    "anomaly.recall": Limit(0.15, higher_is_better=True),  # .276
    "anomaly.false": Limit(0.02, higher_is_better=False),  # .0036
    "severity.error": Limit(0.30, higher_is_better=False),  # .190
    "severity.healthy": Limit(0.05, higher_is_better=False),  # .0065
    "missed": Limit(0.20, higher_is_better=False),  # .065
    "named": Limit(0.80, higher_is_better=True),  # .935
    "lead": Limit(0.20, higher_is_better=True),  # .388
    "false_alarms_per_motor_day": Limit(0.05, higher_is_better=False),  # 0
}
_BY_END = {
    ".recall": Limit(0.45, higher_is_better=True),  # .58 (cage) to 1
    ".false_naming": Limit(0.02, higher_is_better=False),  # 0 to .0041
    ".missed": Limit(0.60, higher_is_better=False),  # 0 to .33 (cooling), of twelve motors
}


def limit_of(name: str) -> Limit | None:
    """The limit of a slice by its name."""
    return _BY_NAME.get(name) or next((limit for end, limit in _BY_END.items() if name.endswith(end)), None)
