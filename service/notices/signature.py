"""Who sent a message: HMAC-SHA256 over id, time and body, as in the Standard Webhooks specification 1.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from service.errors import SettingsError

_PREFIX = "whsec_"


def headers(secret: str, message_id: str, ts_s: float, body: bytes) -> dict[str, str]:
    """The three headers that a receiver checks.

    Args:
        secret: ``whsec_`` and base64, as libraries of the specification make them, or any other text as it is.
        message_id: the same for every attempt.
        ts_s: when this attempt is made, Unix seconds; a receiver refuses old ones.
        body: what is sent.
    """
    stamp = str(int(ts_s))
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    mac = base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise SettingsError("a signing secret that begins with whsec_ must go on in base64") from error
