"""The settings of the routes that alerts take to people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from service.contract.faults import CONDITIONS
from service.table import Table, one_place, secret_of

State = Literal["open", "update", "clear"]
WebhookFormat = Literal["generic", "cloudevents", "slack", "teams", "alertmanager"]
FORMATS: tuple[str, ...] = (*get_args(WebhookFormat), "mail")


class _Route(Table):
    """Which alerts take it, and how patient it is."""

    states: Annotated[tuple[State, ...], Field(min_length=1, description="in the environment separated by ','")] = (
        "open",
        "clear",
    )
    conditions: Annotated[tuple[str, ...], Field(description="'anomaly' or faults; none: all of them")] = ()
    motors: Annotated[tuple[str, ...], Field(description="ids, * and ? allowed; none: all of them")] = ()
    timeout_s: Annotated[float, Field(gt=0, le=120, description="for one answer of the other side")] = 10.0
    retry_max_s: Annotated[float, Field(gt=0, le=86_400, description="longest wait between two attempts")] = 300.0
    max_waiting: Annotated[int, Field(ge=1, le=100_000, description="the oldest gives way beyond this")] = 1000
    max_age_h: Annotated[float, Field(gt=0, le=8760, description="what has waited longer is dropped")] = 48.0

    @field_validator("states", "conditions", "motors", "to", mode="before", check_fields=False)
    @classmethod
    def _separated(cls, raw: object) -> object:
        return tuple(part.strip() for part in raw.split(",") if part.strip()) if isinstance(raw, str) else raw

    @field_validator("conditions")
    @classmethod
    def _known(cls, conditions: tuple[str, ...]) -> tuple[str, ...]:
        for condition in conditions:
            if condition not in CONDITIONS:
                raise ValueError(f"{condition!r} is no condition; known: {', '.join(CONDITIONS)}")
        return conditions


class WebhookSettings(_Route):
    """One address that is told by HTTP POST."""

    url: Annotated[SecretStr | None, Field(description="http(s)://...; hidden, for it is often a secret")] = None
    url_file: Annotated[Path | None, Field(description="read instead of url; for container secrets")] = None
    format: Annotated[WebhookFormat, Field(description="the JSON that the other side reads")] = "generic"
    secret: Annotated[SecretStr | None, Field(min_length=16, description="signs each message (HMAC-SHA256)")] = None
    secret_file: Annotated[Path | None, Field(description="read instead of secret")] = None
    token: Annotated[SecretStr | None, Field(description="sent as Authorization: Bearer")] = None
    token_file: Annotated[Path | None, Field(description="read instead of token")] = None
    ca_file: Annotated[Path | None, Field(description="https: certificate authority; the system's where absent")] = None
    repeat_s: Annotated[
        float, Field(ge=5, le=3600, description="alertmanager: open alerts are told again, or it would end them")
    ] = 60.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("url", "secret", "token"):
            one_place(getattr(self, name), getattr(self, f"{name}_file"), name)
        address = self.address()
        if not address:
            raise ValueError("url or url_file is missing")
        parts = urlsplit(address)
        try:
            sound = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            sound = False
        if not sound or any(ord(letter) <= 32 or ord(letter) > 126 for letter in address):
            raise ValueError("url must read http://host[:port]/path or https://host[:port]/path")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must hold no password; give token or token_file")
        if self.ca_file is not None and parts.scheme == "http":
            raise ValueError("ca_file needs an https:// url")
        if len(self.signing_secret() or "x" * 16) < 16:
            raise ValueError("secret_file must hold at least 16 characters")
        return self

    def address(self) -> str:
        """The URL, from whichever place it stands in."""
        return secret_of(self.url, self.url_file, "url_file") or ""

    def signing_secret(self) -> str | None:
        """What messages are signed with, None where they are not."""
        return secret_of(self.secret, self.secret_file, "secret_file")

    def bearer(self) -> str | None:
        """The token that is shown, None where none is."""
        return secret_of(self.token, self.token_file, "token_file")


class MailSettings(_Route):
    """E-mail through an SMTP server; without a host none is sent."""

    host: Annotated[str, Field(max_length=253, description="the SMTP server; empty: no e-mail")] = ""
    port: Annotated[int | None, Field(ge=1, le=65_535, description="587, 465 with tls, 25 with none")] = None
    security: Annotated[
        Literal["starttls", "tls", "none"], Field(description="none: in the clear, and without a password")
    ] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Annotated[Path | None, Field(description="read instead of password; for container secrets")] = None
    ca_file: Annotated[Path | None, Field(description="certificate authority; the system's where absent")] = None
    sender: Annotated[str, Field(max_length=254, description="the address it comes from")] = ""
    to: Annotated[tuple[str, ...], Field(max_length=50, description="in the environment separated by ','")] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        one_place(self.password, self.password_file, "password")
        if not self.host:
            return self
        if not self.to:
            raise ValueError("to is missing: who gets the e-mail")
        for address in (self.sender, *self.to):
            name, at, domain = address.rpartition("@")
            if not (name and at and domain) or any(ord(letter) <= 32 or letter in "<>,;" for letter in address):
                raise ValueError(f"{address!r} is not an address like name@example.org (sender and to need such)")
        if (self.username is None) != (self.secret() is None):
            raise ValueError("username and password (or password_file) belong together")
        if self.security == "none" and self.username is not None:
            raise ValueError("a password in the clear is not sent: set security to starttls or tls")
        return self

    @property
    def on(self) -> bool:
        """True where e-mail is sent."""
        return bool(self.host)

    def secret(self) -> str | None:
        """The password, from whichever place it stands in."""
        return secret_of(self.password, self.password_file, "password_file")

    def port_number(self) -> int:
        """The port, the usual one of the kind of connection where none is set."""
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]
