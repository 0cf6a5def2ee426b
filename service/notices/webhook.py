"""One HTTP POST. No redirection is followed, no proxy of the environment is used, no more than a line is read back."""

from __future__ import annotations

import http.client
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.errors import SettingsError
from service.notices import formats, signature
from service.notices.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.notices.notice import Notice, Origin
    from service.notices.options import WebhookSettings

_AGAIN = {408, 425, 429}
_TOLD_BYTES = 300


class Webhook:
    """Tells one address."""

    def __init__(self, options: WebhookSettings, origin: Origin) -> None:
        self._options = options
        self._origin = origin
        self.batch = 64 if options.format == "alertmanager" else 1
        """Most notices that one request tells."""
        self.repeat_s = options.repeat_s if options.format == "alertmanager" else None
        """How often open alerts are told again; None: never."""

    @property
    def place(self) -> str:
        """Where it goes, in words that give no secret away."""
        try:
            return urlsplit(self._options.address()).hostname or "?"
        except SettingsError:
            return "?"

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """One attempt; never raises for what the other side or the network does."""
        options, now_ts_s = self._options, time.time()
        body, headers = formats.encode(options.format, notices, self._origin, now_ts_s, options.repeat_s)
        try:
            token, secret, parts = options.bearer(), options.signing_secret(), urlsplit(options.address())
            if token is not None:
                headers["authorization"] = f"Bearer {token}"
            if secret is not None:
                headers |= signature.headers(secret, notices[0].key, now_ts_s, body)
        except SettingsError as error:
            return Outcome("failed", str(error))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        except (OSError, ssl.SSLError) as error:
            return Outcome("failed", f"ca_file cannot be used: {error}")
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            said = answer.read(_TOLD_BYTES).decode("utf-8", "replace")
            return _judged(answer.status, said, answer.getheader("retry-after"))
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Outcome("failed", f"does not answer: {why}")
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        timeout_s = self._options.timeout_s
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        ca = self._options.ca_file
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def _judged(status: int, said: str, retry_after: str | None) -> Outcome:
    if 200 <= status < 300:
        return Outcome("delivered", "")
    text = f"answers {status}: {' '.join(said.split())[:120]}"
    if status in _AGAIN or status >= 500:
        return Outcome("failed", text, float(retry_after) if retry_after and retry_after.isdecimal() else None)
    return Outcome("refused", text)
