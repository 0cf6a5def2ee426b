"""Whose bundles are taken."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from service.bundle import MAX_SIGNATURE_BYTES, read
from service.errors import BundleError, SettingsError
from service.signature import Trust, key_id, message, sign

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
MANIFEST = b'{"name": "tiny"}'
TRUST = Trust([KEY.public_key()])


def refusal(trust: Trust, manifest: bytes, signature: bytes | None) -> str:
    with pytest.raises(BundleError) as caught:
        trust.check(manifest, signature)
    return str(caught.value)


def test_a_signature_holds_over_exactly_these_bytes_and_tells_its_release() -> None:
    assert TRUST.check(MANIFEST, sign(MANIFEST, KEY, release=7)) == 7


@given(st.binary(max_size=200), st.integers(0, 2**31 - 1), st.data())
def test_any_other_byte_breaks_it(manifest: bytes, release: int, data: st.DataObject) -> None:
    signature = sign(manifest, KEY, release)
    assert TRUST.check(manifest, signature) == release
    at = data.draw(st.integers(0, len(manifest)))
    altered = manifest[:at] + data.draw(st.binary(min_size=1, max_size=3)) + manifest[at:]
    assert "does not fit" in refusal(TRUST, altered, signature)


def test_the_release_is_signed_too() -> None:
    told = json.loads(sign(MANIFEST, KEY, release=1))
    assert "does not fit" in refusal(TRUST, MANIFEST, json.dumps(told | {"release": 2}).encode())


def test_a_strangers_signature_is_refused_even_where_none_is_required() -> None:
    stranger = sign(MANIFEST, OTHER)
    for required in (True, False):
        trust = Trust([KEY.public_key()], required=required)
        assert f"by key {key_id(OTHER.public_key())}, which is not trusted" in refusal(trust, MANIFEST, stranger)


def test_a_stranger_who_claims_the_trusted_key_is_refused() -> None:
    forged = json.loads(sign(MANIFEST, OTHER)) | {"key": key_id(KEY.public_key())}
    assert "does not fit" in refusal(TRUST, MANIFEST, json.dumps(forged).encode())


def test_no_signature_is_refused_unless_the_settings_say_otherwise() -> None:
    assert "require_signature = false" in refusal(TRUST, MANIFEST, None)
    assert Trust(required=False).check(MANIFEST, None) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"release": -1},
        {"release": 2**31},
        {"release": "0"},
        {"release": 0.0},
        {"format": 2},
        {"key": "../../etc"},
        {"signature": "not base64!"},
        {"signature": ""},
        {"signature": base64.b64encode(bytes(64)).decode()},
        {"signature": base64.b64encode(bytes(63)).decode()},
        {"more": 1},
    ],
)
def test_a_signature_file_that_is_none_is_one_line(change: dict[str, Any]) -> None:
    raw = json.dumps(json.loads(sign(MANIFEST, KEY)) | change).encode()
    assert refusal(TRUST, MANIFEST, raw).startswith("bundle.sig: ")


@given(st.binary(max_size=100))
def test_hostile_signature_bytes_raise_only_bundle_errors(raw: bytes) -> None:
    assert refusal(TRUST, MANIFEST, raw).startswith("bundle.sig: ")


def test_the_signed_message_names_its_purpose() -> None:
    assert message(3, MANIFEST) == b"motortwin bundle 1 release 3\n" + MANIFEST


def test_public_keys_are_read_as_pem_or_base64(tmp_path: Path) -> None:
    public = KEY.public_key()
    (tmp_path / "a.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "b.pub").write_bytes(base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)) + b"\n")
    for name in ("a.pem", "b.pub"):
        assert Trust.of_files([tmp_path / name]).check(MANIFEST, sign(MANIFEST, KEY)) == 0


def test_a_file_that_holds_no_such_key_is_a_settings_error(tmp_path: Path) -> None:
    elliptic = generate_private_key(SECP256R1()).public_key()
    pem = elliptic.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for raw in (b"", b"AAAA", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", pem, b"\xff\xfe"):
        (tmp_path / "key").write_bytes(raw)
        with pytest.raises(SettingsError, match="must hold an Ed25519 public key"):
            Trust.of_files([tmp_path / "key"])
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Trust.of_files([tmp_path / "nowhere"])


def test_a_signature_travels_with_the_bundles_files(press: Any) -> None:
    files = read(press(3, release=5))
    assert press.trust.check(files.raw_manifest, files.signature) == 5
    assert set(files.contents()) == {
        "manifest.json",
        "anomaly.onnx",
        "classifier.onnx",
        "health.onnx",
        "golden.npz",
        "bundle.sig",
    }


def test_a_signature_without_end_is_refused_at_its_limit(press: Any) -> None:
    folder = press(3)
    with (folder / "bundle.sig").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match=f"bundle.sig: is larger than {MAX_SIGNATURE_BYTES} bytes"):
        read(folder)
