"""Images in an OCI registry, over HTTP, bounded in bytes and seconds.

OCI distribution specification 1.1: manifests and blobs are fetched by name; a registry that wants a token says where to
get it (``WWW-Authenticate: Bearer``).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from deploy.agent.content import MAX_MANIFEST_BYTES, Damaged, Manifest, Part, PullError, Source, check, parsed
from deploy.agent.journal import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PIECE_BYTES = 1 << 16
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Registry(Source):
    """One registry, like ``ghcr.io/owner``; plain HTTP on the loopback alone.

    Args:
        address: host, and the path before every repository's name.
        user: for a registry that wants one.
        password: with it.
        timeout_s: for each wait.
        deadline_s: for a whole file in memory.
        pull_s: for a whole file on disk.
    """

    def __init__(
        self,
        address: str,
        *,
        user: str = "",
        password: str = "",
        timeout_s: float = 10.0,
        deadline_s: float = 120.0,
        pull_s: float = 1800.0,
    ) -> None:
        host, _, self._prefix = address.partition("/")
        scheme = "http" if host.rsplit(":", 1)[0] in _LOOPBACK else "https"
        self._root = f"{scheme}://{host}/v2"
        self._basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self._timeout_s, self._deadline_s, self._pull_s = timeout_s, deadline_s, pull_s

    def manifest(self, name: str, reference: str) -> Manifest:
        """The manifest of ``motortwin/NAME`` by tag or digest; raises ``PullError``."""
        raw = bytearray()
        self._fetch(self._url(name, "manifests", reference), MAX_MANIFEST_BYTES, _MANIFESTS, raw.extend)
        return parsed(name, reference, bytes(raw))

    def content(self, name: str, part: Part) -> bytes:
        """A small blob; raises ``PullError``."""
        raw = bytearray()
        self._fetch(self._url(name, "blobs", part.digest), part.size, "*/*", raw.extend)
        check(name, part, hashlib.sha256(raw).hexdigest(), len(raw))
        return bytes(raw)

    def blob(self, name: str, part: Part, path: Path) -> None:
        """Puts a blob into a file, on the disk and as its digest says; raises ``PullError`` or ``OSError``."""
        beside, digest = path.with_name(f"{path.name}.part"), hashlib.sha256()
        with beside.open("wb") as file:

            def keep(piece: bytes) -> None:
                digest.update(piece)
                try:
                    file.write(piece)
                except OSError as error:  # not the registry's fault
                    raise DiskError(error) from error

            try:
                self._fetch(self._url(name, "blobs", part.digest), part.size, "*/*", keep, self._pull_s)
                check(name, part, digest.hexdigest(), file.tell())
                file.flush()
                os.fsync(file.fileno())
            except DiskError as error:
                beside.unlink()
                raise error.error from error
            except PullError:
                beside.unlink()
                raise
        beside.replace(path)
        sync(path.parent)

    def _url(self, name: str, kind: str, reference: str) -> str:
        middle = f"{self._prefix}/" if self._prefix else ""
        return f"{self._root}/{middle}motortwin/{name}/{kind}/{urllib.parse.quote(reference, safe=':')}"

    def _fetch(
        self, url: str, limit: int, accept: str, keep: Callable[[bytes], object], deadline_s: float = 0.0
    ) -> None:
        until_s = time.monotonic() + (deadline_s or self._deadline_s)
        headers = {"Accept": accept}
        if self._basic:
            headers["Authorization"] = f"Basic {self._basic}"
        try:
            try:
                self._read(url, headers, limit, until_s, keep)
            except urllib.error.HTTPError as error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != http.HTTPStatus.UNAUTHORIZED or not challenge.startswith("Bearer "):
                    raise
                headers["Authorization"] = f"Bearer {self._token(challenge, until_s)}"
                self._read(url, headers, limit, until_s, keep)
        except urllib.error.HTTPError as error:
            raise PullError(f"{url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise PullError(f"{url}: {error or type(error).__name__}") from error

    def _read(
        self, url: str, headers: Mapping[str, str], limit: int, until_s: float, keep: Callable[[bytes], object]
    ) -> None:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - the scheme is ours
        size = 0
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
            while piece := answer.read1(PIECE_BYTES):
                size += len(piece)
                if size > limit:
                    raise Damaged(f"{url}: more than {limit} bytes")
                keep(piece)
                if time.monotonic() > until_s:
                    raise PullError(f"{url}: not whole in time")

    def _token(self, challenge: str, until_s: float) -> str:
        said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = said.get("realm", "")
        if not realm.startswith("https://") and not realm.startswith(self._root.split("/v2")[0]):
            raise PullError("the registry sends us elsewhere for a token, without TLS")
        query = urllib.parse.urlencode({key: said[key] for key in ("service", "scope") if key in said})
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        raw = bytearray()
        self._read(f"{realm}?{query}", headers, MAX_MANIFEST_BYTES, until_s, raw.extend)
        try:
            document = json.loads(raw)
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise PullError("the registry's token is none") from error


class DiskError(Exception):
    """The disk's error on its way through code that takes every ``OSError`` for the network's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error
