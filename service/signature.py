"""Who vouches for a bundle: an Ed25519 signature beside it, checked against pinned public keys.

``bundle.sig`` is a JSON object ``{"format": 1, "release": R, "key": K, "signature": S}``: ``R`` a counter (below),
``K`` the first 16 hex digits of the sha256 of the raw public key, ``S`` the base64 of the Ed25519 signature
(RFC 8032) over ``message(R, manifest)``, which is one line that names the purpose and the release, and then the exact
bytes of the manifest. The manifest holds the sha256 of every other file, so the signature covers the bundle.

Order of bundles: ``(release, version)``. A bundle runs only if it ranks above every one that was accepted before. The
release stays what it was from one training to the next; who wants to go back to an older version signs that version
anew with a higher release, or has the token of one edge and goes back there (``service.retreat``). Both numbers are
signed, so an old signed bundle cannot be played back.

``gate.json.sig`` has the same form; its line names the gate, so that neither can be passed off as the other.

The library that checks is loaded with the first key: an edge that pins none does not carry it.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.bundle import GATE_SIGNATURE_FILE, SIGNATURE_FILE
from service.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_RAW_KEY_BYTES = 32
Signed = Literal["bundle", "gate"]


class _Signature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    release: Annotated[int, Field(ge=0, lt=2**31)]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    signature: Annotated[str, Field(max_length=100)]


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a public key: 16 hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def message(release: int, raw: bytes, what: Signed = "bundle") -> bytes:
    """What is signed: a line that no other use of the key would sign, then the bytes of the manifest or the report."""
    return b"motortwin %s 1 release %d\n" % (what.encode(), release) + raw


def sign(raw: bytes, key: Ed25519PrivateKey, release: int = 0, what: Signed = "bundle") -> bytes:
    """The content of ``bundle.sig`` for the manifest's bytes, of ``gate.json.sig`` for those of a gate's report."""
    signature = base64.b64encode(key.sign(message(release, raw, what))).decode()
    return (
        _Signature(format=1, release=release, key=key_id(key.public_key()), signature=signature)
        .model_dump_json()
        .encode()
    )


class Trust:
    """The pinned public keys, and whether a bundle may do without a signature."""

    def __init__(self, keys: Iterable[Ed25519PublicKey] = (), *, required: bool = True) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._required = required

    @classmethod
    def of_files(cls, paths: Iterable[Path], *, required: bool = True) -> Trust:
        """Keys from files, each PEM or the base64 of 32 raw bytes; raises ``SettingsError``."""
        return cls([_public_key(path) for path in paths], required=required)

    def check(self, manifest: bytes, signature: bytes | None) -> int:
        """The release that a bundle is signed with, 0 for an unsigned one where that is allowed.

        Args:
            manifest: the exact bytes of the manifest.
            signature: the content of ``bundle.sig``, None where there is none.

        Raises:
            BundleError: nobody we trust vouches for it. A signature that is there must hold, required or not.
        """
        if signature is None:
            if self._required:
                raise BundleError(
                    f"{SIGNATURE_FILE}: is absent and signatures are required; sign the bundle, "
                    "or set trust.require_signature = false"
                )
            return 0
        return self._release(manifest, signature, "bundle", SIGNATURE_FILE)

    def check_gate(self, report: bytes, signature: bytes | None) -> None:
        """Raises ``BundleError`` where nobody we trust vouches for a gate's report."""
        if signature is not None:
            self._release(report, signature, "gate", GATE_SIGNATURE_FILE)
        elif self._required:
            raise BundleError(f"{GATE_SIGNATURE_FILE}: is absent, so nobody vouches for the gate's report; sign it too")

    def _release(self, signed: bytes, signature: bytes, what: Signed, file: str) -> int:
        told = _parsed(signature, file)
        key = self._keys.get(told.key)
        if key is None:
            raise BundleError(f"{file}: is by key {told.key}, which is not trusted; add its public key to trust.keys")
        from cryptography.exceptions import InvalidSignature

        try:
            raw = base64.b64decode(told.signature, validate=True)
            key.verify(raw, message(told.release, signed, what))
        except (binascii.Error, ValueError, InvalidSignature) as error:
            subject = "manifest" if what == "bundle" else "report"
            raise BundleError(
                f"{file}: does not fit this {subject} and release; copy the bundle again, or sign it anew"
            ) from error
        return told.release


def _parsed(signature: bytes, file: str) -> _Signature:
    try:
        return _Signature.model_validate_json(signature)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise BundleError(f"{file}: {where}: {first['msg'][:200]}; sign the bundle anew") from error


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    remedy = "it must hold an Ed25519 public key, as PEM or as base64 of 32 bytes"
    try:
        raw = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"trust.keys: {path} cannot be read: {error.strerror}") from error
    try:
        if raw.startswith(b"-----BEGIN"):
            key = load_pem_public_key(raw)
            if not isinstance(key, Ed25519PublicKey):
                raise SettingsError(f"trust.keys: {path}: {remedy}")
            return key
        plain = base64.b64decode(raw, validate=True)
        if len(plain) != _RAW_KEY_BYTES:
            raise SettingsError(f"trust.keys: {path}: {remedy}")
        return Ed25519PublicKey.from_public_bytes(plain)
    except (ValueError, binascii.Error) as error:
        raise SettingsError(f"trust.keys: {path}: {remedy}") from error
