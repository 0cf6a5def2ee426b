"""Images in one file, for a plant without internet: an OCI image layout (specification 1.1) in a plain tar.

``index.json`` names each image by its annotation ``org.opencontainers.image.ref.name``, here ``NAME:TAG``; content lies
in ``blobs/sha256``. The file may be exchanged at any time, by renaming: it is opened anew at each look.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING

from deploy.agent.content import MAX_MANIFEST_BYTES, Damaged, Manifest, Part, PullError, Source, check, parsed
from deploy.agent.journal import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE_BYTES = 1 << 20
NAMED = "org.opencontainers.image.ref.name"


class Layout(Source):
    """One file.

    Args:
        file: the tar.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def manifest(self, name: str, reference: str) -> Manifest:
        """The manifest of ``motortwin/NAME`` by tag or digest; raises ``PullError``."""
        digest = reference if reference.startswith("sha256:") else self._named(f"{name}:{reference}")
        return parsed(name, digest, b"".join(self._pieces(_place(digest), MAX_MANIFEST_BYTES)))

    def content(self, name: str, part: Part) -> bytes:
        """A small blob; raises ``PullError``."""
        raw = b"".join(self._pieces(_place(part.digest), part.size))
        check(name, part, hashlib.sha256(raw).hexdigest(), len(raw))
        return raw

    def blob(self, name: str, part: Part, path: Path) -> None:
        """Puts a blob into a file, on the disk and as its digest says; raises ``PullError`` or ``OSError``."""
        beside, digest = path.with_name(f"{path.name}.part"), hashlib.sha256()
        with beside.open("wb") as file:
            for piece in self._pieces(_place(part.digest), part.size):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        check(name, part, digest.hexdigest(), size)
        beside.replace(path)
        sync(path.parent)

    def _named(self, name: str) -> str:
        index = parsed("index", "", b"".join(self._pieces("index.json", MAX_MANIFEST_BYTES)))
        manifests = index.document.get("manifests")
        for told in manifests if isinstance(manifests, list) else []:
            annotations = told.get("annotations") if isinstance(told, dict) else None
            if isinstance(annotations, dict) and annotations.get(NAMED) == name:
                return str(told.get("digest"))
        raise PullError(f"{self._file}: has no {name}")

    def _pieces(self, place: str, limit: int) -> Iterator[bytes]:
        try:
            with tarfile.open(self._file, "r:") as archive:
                member = archive.getmember(place)
                content = archive.extractfile(member)
                if content is None or member.size > limit:
                    raise Damaged(f"{self._file}: {place} is no file of at most {limit} bytes")
                while piece := content.read(PIECE_BYTES):
                    yield piece
        except (OSError, KeyError, tarfile.TarError) as error:
            raise PullError(f"{self._file}: {error}") from error


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
