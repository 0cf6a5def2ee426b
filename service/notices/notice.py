"""One alert message as it is told to people, and which of them a route wants to hear. No I/O."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from service.contract.messages import Alert

if TYPE_CHECKING:
    from service.notices.options import MailSettings, WebhookSettings


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert message and the name that its motor had then (its id where it had none)."""

    alert: Alert
    name: str

    @property
    def key(self) -> str:
        """The same for every attempt to tell it; receivers that see it twice can drop one."""
        return f"{self.alert.id}/{self.alert.revision}"

    def to_bytes(self) -> bytes:
        """As it is kept on the disk."""
        return to_json({"name": self.name, "alert": self.alert})

    @classmethod
    def from_bytes(cls, raw: bytes) -> Notice | None:
        """What ``to_bytes`` wrote; None where this release cannot read it."""
        try:
            kept = from_json(raw)
            return cls(Alert.model_validate(kept["alert"]), str(kept["name"]))
        except (ValidationError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who tells: the node, and where its page is (None where the settings do not say)."""

    node: str
    public_url: str | None

    def link(self, motor: str) -> str | None:
        """The page of one motor."""
        return None if self.public_url is None else f"{self.public_url.rstrip('/')}/#/motor/{motor}"


def wanted(alert: Alert, options: WebhookSettings | MailSettings) -> bool:
    """Whether this condition of this motor takes the route at all; which of its states does is another question."""
    return (not options.conditions or alert.condition in options.conditions) and (
        not options.motors or any(fnmatch.fnmatchcase(alert.motor, pattern) for pattern in options.motors)
    )
