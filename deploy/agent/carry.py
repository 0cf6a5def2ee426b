"""A release and all it names, out of a registry into one file, for a plant without internet (``layout`` reads it)."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.agent.content import MAX_RELEASE_BYTES, part
from deploy.agent.journal import sync
from deploy.agent.layout import NAMED
from deploy.agent.release import verified
from deploy.agent.spool import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from deploy.agent.content import Manifest, Source


def carried(source: Source, keys: Mapping[str, Ed25519PublicKey], wave: str, file: Path) -> tuple[int, int]:
    """Writes the wave's release, its bundle, and where it brings images the edge's, for every processor.

    Returns:
        The release's number and the file's size in bytes.

    Raises:
        Untrusted: nobody vouches for it, or it is over.
        PullError: something of it cannot be had.
        OSError: the file cannot be written.
    """
    told = source.manifest("release", wave)
    release = verified(source.files("release", told, MAX_RELEASE_BYTES), keys, now=datetime.now(UTC), above=0)
    digest = release.bundle.image.rsplit("@", 1)[1]
    images = [("release", wave, told), ("models", str(release.sequence), source.manifest("models", digest))]
    if release.lane == "images":
        digest = release.images["edge"].rsplit("@", 1)[1]
        images.append(("edge", str(release.sequence), source.manifest("edge", digest)))
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".carry-") as scratch:
        folder = Path(scratch)
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        entries = [_entry(name, tag, _kept(source, name, manifest, blobs)) for name, tag, manifest in images]
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        beside = folder / "whole.tar"
        with tarfile.open(beside, "w") as archive:
            for path in ("oci-layout", "index.json", "blobs"):
                archive.add(folder / path, path)
        with beside.open("rb") as whole:
            os.fsync(whole.fileno())
        beside.replace(file)
    sync(file.parent)
    return release.sequence, file.stat().st_size


def _kept(source: Source, name: str, manifest: Manifest, blobs: Path) -> Manifest:
    """Puts an image's manifest, and all below it, into the folder."""
    (blobs / manifest.digest.removeprefix("sha256:")).write_bytes(manifest.raw)
    document = manifest.document
    for entry in document.get("manifests") or []:
        _kept(source, name, source.manifest(name, part(name, entry, MAX_RELEASE_BYTES).digest), blobs)
    for entry in [document["config"], *document["layers"]] if "layers" in document else []:
        wanted = part(name, entry, MAX_IMAGE_BYTES)
        path = blobs / wanted.digest.removeprefix("sha256:")
        if not path.exists():
            source.blob(name, wanted, path)
    return manifest


def _entry(name: str, tag: str, manifest: Manifest) -> dict[str, Any]:
    kind = "application/vnd.oci.image.index.v1+json"
    if "layers" in manifest.document:
        kind = "application/vnd.oci.image.manifest.v1+json"
    return {
        "mediaType": manifest.document.get("mediaType", kind),
        "digest": manifest.digest,
        "size": len(manifest.raw),
        "annotations": {NAMED: f"{name}:{tag}"},
    }
