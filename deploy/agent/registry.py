"""Files of an image in an OCI registry, by digest. Bounded in bytes and seconds; nothing passes whose digest is wrong.

An image of ours has one layer, a gzipped tar of plain files. OCI distribution specification 1.1: manifests and blobs
are fetched by name; a registry that wants a token says where to get it (``WWW-Authenticate: Bearer``).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import re
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MANIFEST_BYTES = 1 << 20
MAX_LAYER_BYTES = 32 << 20
MAX_RELEASE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 128 << 20
MAX_FILES = 64
PIECE_BYTES = 1 << 16
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class PullError(Exception):
    """The registry does not answer, or answers what cannot be right; one line."""


class Damaged(PullError):  # noqa: N818 - says what the content is
    """What came is not what its digest says, or is too large: asking again gives the same."""


class Manifest(NamedTuple):
    """A manifest and its own digest, ``sha256:...``."""

    digest: str
    document: dict[str, Any]


class Registry:
    """One registry, like ``ghcr.io/owner``; plain HTTP on the loopback alone.

    Args:
        address: host, and the path before every repository's name.
        user: for a registry that wants one.
        password: with it.
        timeout_s: for each wait.
        deadline_s: for a whole file.
    """

    def __init__(
        self, address: str, *, user: str = "", password: str = "", timeout_s: float = 10.0, deadline_s: float = 120.0
    ) -> None:
        host, _, self._prefix = address.partition("/")
        scheme = "http" if host.rsplit(":", 1)[0] in _LOOPBACK else "https"
        self._root = f"{scheme}://{host}/v2"
        self._basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self._timeout_s, self._deadline_s = timeout_s, deadline_s

    def manifest(self, name: str, reference: str) -> Manifest:
        """The manifest of ``motortwin/NAME`` by tag or digest; raises ``PullError``."""
        raw = self._fetched(self._url(name, "manifests", reference), MAX_MANIFEST_BYTES, _MANIFESTS)
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise Damaged(f"{name}: the registry gives {digest[:19]} for {reference[:19]}")
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise Damaged(f"{name}: the manifest is no JSON") from error
        if not isinstance(document, dict):
            raise Damaged(f"{name}: the manifest is no object")
        return Manifest(digest, document)

    def files(self, name: str, manifest: Manifest, limit: int = MAX_LAYER_BYTES) -> dict[str, bytes]:
        """The image's files by their bare names, of a layer of at most ``limit`` bytes; raises ``PullError``."""
        layers = manifest.document.get("layers")
        if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
            raise Damaged(f"{name}: an image of one layer is expected, for any processor")
        digest, size = layers[0].get("digest"), layers[0].get("size")
        if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise Damaged(f"{name}: the layer has no digest")
        if not isinstance(size, int) or not 0 < size <= limit:
            raise Damaged(f"{name}: a layer of {size} bytes; at most {limit} are taken")
        raw = self._fetched(self._url(name, "blobs", digest), size, "*/*")
        if f"sha256:{hashlib.sha256(raw).hexdigest()}" != digest:
            raise Damaged(f"{name}: the layer's {len(raw)} of {size} bytes are not what its digest says")
        return unpacked(raw, name)

    def _url(self, name: str, kind: str, reference: str) -> str:
        middle = f"{self._prefix}/" if self._prefix else ""
        return f"{self._root}/{middle}motortwin/{name}/{kind}/{urllib.parse.quote(reference, safe=':')}"

    def _fetched(self, url: str, limit: int, accept: str) -> bytes:
        deadline_s = time.monotonic() + self._deadline_s
        headers = {"Accept": accept}
        if self._basic:
            headers["Authorization"] = f"Basic {self._basic}"
        try:
            try:
                return self._read(url, headers, limit, deadline_s)
            except urllib.error.HTTPError as error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != http.HTTPStatus.UNAUTHORIZED or not challenge.startswith("Bearer "):
                    raise
                headers["Authorization"] = f"Bearer {self._token(challenge, deadline_s)}"
                return self._read(url, headers, limit, deadline_s)
        except urllib.error.HTTPError as error:
            raise PullError(f"{url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise PullError(f"{url}: {error or type(error).__name__}") from error

    def _read(self, url: str, headers: Mapping[str, str], limit: int, deadline_s: float) -> bytes:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - the scheme is ours
        kept = bytearray()
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
            while piece := answer.read1(PIECE_BYTES):
                kept += piece
                if len(kept) > limit:
                    raise Damaged(f"{url}: more than {limit} bytes")
                if time.monotonic() > deadline_s:
                    raise PullError(f"{url}: not whole after {self._deadline_s:g} s")
        return bytes(kept)

    def _token(self, challenge: str, deadline_s: float) -> str:
        said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = said.get("realm", "")
        if not realm.startswith("https://") and not realm.startswith(self._root.split("/v2")[0]):
            raise PullError("the registry sends us elsewhere for a token, without TLS")
        query = urllib.parse.urlencode({key: said[key] for key in ("service", "scope") if key in said})
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        raw = self._read(f"{realm}?{query}", headers, MAX_MANIFEST_BYTES, deadline_s)
        try:
            document = json.loads(raw)
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise PullError("the registry's token is none") from error


def unpacked(layer: bytes, name: str) -> dict[str, bytes]:
    """Plain files at the top of a gzipped tar; raises ``Damaged`` for whatever else is in it."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        raw = unzip.decompress(layer, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise Damaged(f"{name}: the layer is not gzipped") from error
    if unzip.unconsumed_tail or not unzip.eof:
        raise Damaged(f"{name}: the layer unpacks to more than {MAX_UNPACKED_BYTES} bytes, or is cut short")
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                if member.isdir():
                    continue
                bare = member.name.removeprefix("./").removeprefix("/")
                file = archive.extractfile(member) if member.isreg() else None
                if file is None or not _NAME.fullmatch(bare) or len(found) >= MAX_FILES:
                    raise Damaged(f"{name}: {member.name[:64]!r} is no plain file at the top, or one too many")
                found[bare] = file.read()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Damaged(f"{name}: the layer is no tar") from error
    return found
