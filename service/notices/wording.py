"""What a person reads: a title, a sentence, the facts. Plain text; every format escapes it in its own way."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from service import outlook
from service.contract.faults import ANOMALY

if TYPE_CHECKING:
    from service.notices.notice import Notice, Origin

_VERBS = {"open": "Alert", "update": "Update", "clear": "Cleared"}


def title(notice: Notice) -> str:
    """One line: what happened to which motor."""
    alert = notice.alert
    what = "unlike healthy motors" if alert.condition == ANOMALY else f"{alert.condition.replace('_', ' ')} fault"
    return f"{_VERBS[alert.state]}: {motor(notice)}: {what}"


def motor(notice: Notice) -> str:
    """The motor's name, and its id where that is another."""
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in notice.name).split())
    return notice.alert.motor if not name or name == notice.alert.motor else f"{name} ({notice.alert.motor})"


def facts(notice: Notice, origin: Origin) -> dict[str, str]:
    """What is known besides the reason, as label and text."""
    alert = notice.alert
    known = {
        "Motor": motor(notice),
        "Condition": alert.condition.replace("_", " "),
        "Severity": None if alert.severity is None else f"{alert.severity:.2f} (0 as new, 1 failed)",
        "Life left": None if alert.rul_h is None else outlook.about(alert.rul_h),
        "Since": moment(alert.opened_ts_s),
        "Edge": origin.node,
    }
    return {label: text for label, text in known.items() if text is not None}


def moment(ts_s: float) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return dt.datetime.fromtimestamp(int(ts_s), dt.UTC).isoformat().replace("+00:00", "Z")
