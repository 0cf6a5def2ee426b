"""Images as OCI has them, wherever they come from: by digest, bounded, and nothing passes whose digest is wrong.

What a release and a bundle are carried in has one layer, a gzipped tar of plain files, for any processor.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MAX_MANIFEST_BYTES = 1 << 20
MAX_LAYER_BYTES = 32 << 20
MAX_RELEASE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 128 << 20
MAX_FILES = 64
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class PullError(Exception):
    """Content cannot be had now; one line."""


class Damaged(PullError):  # noqa: N818 - says what the content is
    """What came is not what its digest says, or is too large: asking again gives the same."""


class Manifest(NamedTuple):
    """A manifest and its own digest, ``sha256:...``."""

    digest: str
    document: dict[str, Any]
    raw: bytes = b""


class Part(NamedTuple):
    """What a manifest says of a blob."""

    digest: str
    size: int


class Source(ABC):
    """Where images come from."""

    @abstractmethod
    def manifest(self, name: str, reference: str) -> Manifest:
        """The manifest of ``motortwin/NAME`` by tag or digest; raises ``PullError``."""

    @abstractmethod
    def blob(self, name: str, part: Part, path: Path) -> None:
        """Puts a blob into a file, on the disk and as its digest says; raises ``PullError`` or ``OSError``."""

    @abstractmethod
    def content(self, name: str, part: Part) -> bytes:
        """A small blob; raises ``PullError``."""

    def files(self, name: str, manifest: Manifest, limit: int = MAX_LAYER_BYTES) -> dict[str, bytes]:
        """The image's files by their bare names, of a layer of at most ``limit`` bytes; raises ``PullError``."""
        layers = manifest.document.get("layers")
        if not isinstance(layers, list) or len(layers) != 1:
            raise Damaged(f"{name}: an image of one layer is expected, for any processor")
        return unpacked(self.content(name, part(name, layers[0], limit)), name)


def parsed(name: str, reference: str, raw: bytes) -> Manifest:
    """What came for a reference; raises ``Damaged``."""
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if reference.startswith("sha256:") and reference != digest:
        raise Damaged(f"{name}: {digest[:19]} came for {reference[:19]}")
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise Damaged(f"{name}: the manifest is no JSON") from error
    if not isinstance(document, dict):
        raise Damaged(f"{name}: the manifest is no object")
    return Manifest(digest, document, raw)


def part(name: str, told: object, limit: int) -> Part:
    """A descriptor of a manifest, checked; raises ``Damaged``."""
    digest, size = (told.get("digest"), told.get("size")) if isinstance(told, dict) else (None, None)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Damaged(f"{name}: the layer has no digest")
    if not isinstance(size, int) or not 0 < size <= limit:
        raise Damaged(f"{name}: a layer of {size} bytes; at most {limit} are taken")
    return Part(digest, size)


def check(name: str, wanted: Part, digest: str, size: int) -> None:
    """Raises ``Damaged`` where what came is something else."""
    if f"sha256:{digest}" != wanted.digest:
        raise Damaged(f"{name}: the layer's {size} of {wanted.size} bytes are not what its digest says")


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
                if file is None or not _FILE.fullmatch(bare) or len(found) >= MAX_FILES:
                    raise Damaged(f"{name}: {member.name[:64]!r} is no plain file at the top, or one too many")
                found[bare] = file.read()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Damaged(f"{name}: the layer is no tar") from error
    return found
