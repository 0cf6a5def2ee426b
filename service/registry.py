"""Who is known: motors from the edge's TOML and from their birth messages.

The TOML is the operator's word and outranks a birth. An empty retained birth is how a motor is taken out of service.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.contract import codec
from service.contract.codec import Refused
from service.monitor import Profile, profile_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.contract.messages import Birth

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a birth message changed: the motor's profile, None when it has been retired."""

    motor: str
    profile: Profile | None


class Registry:
    """Motor id to profile, with where it comes from. One thread owns it."""

    def __init__(self, configured: Mapping[str, Birth]) -> None:
        self._configured = frozenset(configured)
        self._births: dict[str, bytes] = {}
        self.profiles: dict[str, Profile] = {motor: profile_of(birth) for motor, birth in configured.items()}

    @property
    def births(self) -> Mapping[str, bytes]:
        """The birth payloads that are in force, to be stored."""
        return self._births

    def restore(self, births: Mapping[str, bytes]) -> None:
        """Take stored births for motors that are not known yet; one that this release cannot read is left out."""
        for motor, payload in births.items():
            if motor in self.profiles:
                continue
            try:
                self.announce(motor, payload)
            except Refused as refused:
                _log.warning("stored birth of %s is left out: %s", motor, refused)

    def announce(self, motor: str, payload: bytes) -> Announced | None:
        """A birth message of ``motor`` arrived; None where it changes nothing. Raises ``Refused``."""
        if not payload:
            if self._births.pop(motor, None) is None or motor in self._configured:
                return None
            del self.profiles[motor]
            return Announced(motor, None)
        if self._births.get(motor) == payload:
            return None
        birth = codec.decode_birth(payload)
        if birth.motor != motor:
            raise Refused(
                "topic",
                "motor",
                f"{birth.motor} introduces itself on the topic of {motor}",
                "use the motor's own topic",
            )
        if motor in self._configured:
            _log.info("birth of %s is not used: [motors.%s] of the settings outranks it", motor, motor)
            return None
        self._births[motor] = payload
        self.profiles[motor] = profile_of(birth)
        return Announced(motor, self.profiles[motor])
