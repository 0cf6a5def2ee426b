"""``release.json`` as a device reads it: nothing in it is believed before its signature holds."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RELEASE_FILE, SIGNATURE_FILE = "release.json", "release.json.sig"
MAX_BYTES = 65_536

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Image = Annotated[str, Field(pattern=r"^[a-z0-9./:_-]{1,200}@sha256:[0-9a-f]{64}$")]


class Untrusted(Exception):  # noqa: N818 - it is no error of ours
    """A release that is not taken; one line that says why.

    Attributes:
        final: whether no later look can come to another end.
    """

    def __init__(self, reason: str, *, final: bool = True) -> None:
        super().__init__(reason)
        self.final = final


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Bundle(_Part):
    """The models: digest of their manifest, and the image that carries them."""

    digest: Digest
    image: Image


class Release(_Part):
    """What a device needs of ``release.json``."""

    schema_version: Literal[1]
    project: Literal["motortwin"]
    sequence: Annotated[int, Field(ge=1, lt=2**53)]
    lane: Literal["models", "images"]
    not_after: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    bundle: Bundle
    images: dict[str, Image] = {}

    @model_validator(mode="after")
    def _edge_is_named(self) -> Self:
        if self.lane == "images" and "edge" not in self.images:
            raise ValueError("a release of images names no edge")
        return self


class _Signature(_Part):
    format: Literal[1]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    signature: Annotated[str, Field(max_length=100)]


def keys_of(paths: Sequence[Path]) -> dict[str, Ed25519PublicKey]:
    """Pinned public keys by name, from PEM files; ``ValueError`` with one line for anything else."""
    found = {}
    for path in paths:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"AGENT_KEYS: {path} is no public key as PEM: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"AGENT_KEYS: {path} is no Ed25519 key")  # noqa: TRY004 - a setting's value
        found[hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]] = key
    return found


def verified(files: Mapping[str, bytes], keys: Mapping[str, Ed25519PublicKey], *, now: datetime, above: int) -> Release:
    """The release in these files.

    Args:
        files: ``release.json`` and its signature.
        keys: pinned public keys.
        now: to judge expiry by.
        above: sequence number of the last release that was taken up; only a higher one is.

    Raises:
        Untrusted: nobody vouches for it, or it is not for this device, or no longer, or was there before.
    """
    raw, proof = files.get(RELEASE_FILE), files.get(SIGNATURE_FILE)
    if raw is None or proof is None or len(raw) > MAX_BYTES or len(proof) > MAX_BYTES:
        raise Untrusted(f"{RELEASE_FILE} or its signature is absent or too long")
    try:
        told = _Signature.model_validate_json(proof)
        key = keys[told.key]
        key.verify(base64.b64decode(told.signature, validate=True), raw)
    except KeyError:
        # somebody may pin it later
        raise Untrusted(f"signed by key {told.key}, which is not pinned here", final=False) from None
    except (ValidationError, binascii.Error, ValueError, InvalidSignature) as error:
        raise Untrusted("the signature does not hold") from error
    try:
        release = Release.model_validate_json(raw)
        expires = datetime.strptime(release.not_after, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        # a newer agent may read it
        raise Untrusted(
            f"{where}: {first['msg'][:120]}; this agent reads schema 1 of motortwin", final=False
        ) from error
    except ValueError as error:
        raise Untrusted(f"not_after: {release.not_after} is no date") from error
    if release.sequence <= above:
        raise Untrusted(f"sequence {release.sequence} is not above {above}, which was here before")
    if now > expires:
        # the clock of a device may be wrong
        raise Untrusted(f"expired at {release.not_after} by this device's clock", final=False)
    return release
