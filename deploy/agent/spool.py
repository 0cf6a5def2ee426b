"""An image on its way into the engine: fetched blob by blob into a folder, then handed on as one archive.

The engine is given what was verified here and fetches nothing itself, so that a registry can neither send without end
nor something else, and a file on a stick is as good as a registry. What is there already is not fetched again.
"""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

from deploy.agent.content import Damaged, Part, part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deploy.agent.content import Manifest, Source

MAX_CONFIG_BYTES = 1 << 20
MAX_IMAGE_BYTES = 2 << 30
MAX_LAYERS = 64
SPARE_BYTES = 64 << 20
"""Left free on the disk."""
_PIECE_BYTES = 1 << 20
_BLOCK = 512


class Foreign(Exception):  # noqa: N818 - says what the image is
    """The image runs on another processor."""


class Image(NamedTuple):
    """One image as it lies in the folder: its configuration's blob and its layers', lowest first."""

    folder: Path
    config: Part
    layers: tuple[Part, ...]
    diff_ids: tuple[str, ...]


def fetch(source: Source, name: str, digest: str, folder: Path, processor: str) -> Image:
    """The image ``motortwin/NAME`` by digest, for this processor (``amd64``, ``arm64``), in the folder.

    Raises:
        Foreign: there is none for this processor.
        PullError: it cannot be had now; ``Damaged`` where asking again gives the same.
        OSError: the disk is full, or the folder cannot be used.
    """
    manifest = _chosen(source, name, source.manifest(name, digest), processor)
    told = manifest.document.get("layers")
    if not isinstance(told, list) or not 0 < len(told) <= MAX_LAYERS:
        raise Damaged(f"{name}: 1 to {MAX_LAYERS} layers are expected")
    layers = tuple(part(name, one, MAX_IMAGE_BYTES) for one in told)
    if sum(layer.size for layer in layers) > MAX_IMAGE_BYTES:
        raise Damaged(f"{name}: more than {MAX_IMAGE_BYTES} bytes in all")
    config = part(name, manifest.document.get("config"), MAX_CONFIG_BYTES)
    raw = source.content(name, config)
    diff_ids = _diff_ids(name, raw, processor)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():  # of an image that never became whole
        if path.name not in {_bare(blob) for blob in layers}:
            path.unlink()
    missing = [layer for layer in layers if not _there(folder, layer)]
    wanted = sum(layer.size for layer in missing) + SPARE_BYTES
    if shutil.disk_usage(folder).free < wanted:
        raise OSError(errno.ENOSPC, f"{wanted >> 20} MiB must be free", str(folder))
    (folder / _bare(config)).write_bytes(raw)
    for layer in missing:
        source.blob(name, layer, folder / _bare(layer))
    return Image(folder, config, layers, diff_ids)


def archive(image: Image, tag: str) -> Iterator[bytes]:
    """The image as ``docker load`` takes it, under this tag, piece by piece."""
    config = f"{_bare(image.config)}.json"
    names = [f"{_bare(layer)}.tar" for layer in image.layers]
    manifest = json.dumps([{"Config": config, "RepoTags": [tag], "Layers": names}]).encode()
    yield from _member("manifest.json", len(manifest), iter([manifest]))
    for name, blob in ((config, image.config), *dict(zip(names, image.layers, strict=True)).items()):
        yield from _member(name, blob.size, _content(image.folder / _bare(blob)))
    yield bytes(2 * _BLOCK)


def _chosen(source: Source, name: str, manifest: Manifest, processor: str) -> Manifest:
    """The manifest for this processor, where there is one a processor."""
    entries = manifest.document.get("manifests")
    if not isinstance(entries, list):
        return manifest
    found = []
    for entry in entries:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(platform, dict) and platform.get("os") == "linux":
            if platform.get("architecture") == processor:
                return source.manifest(name, part(name, entry, MAX_CONFIG_BYTES).digest)
            found.append(str(platform.get("architecture")))
    raise Foreign(f"{name}: the image is for {', '.join(found) or 'no processor'}, this device is {processor}")


def _diff_ids(name: str, raw: bytes, processor: str) -> tuple[str, ...]:
    try:
        document: dict[str, Any] = json.loads(raw)
        found, system = document["architecture"], document["os"]
        diff_ids = tuple(str(one) for one in document["rootfs"]["diff_ids"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{name}: the configuration is none of an image") from error
    if (found, system) != (processor, "linux"):
        raise Foreign(f"{name}: the image is for {system}/{found}, this device is linux/{processor}")
    return diff_ids


def _member(name: str, size: int, content: Iterator[bytes]) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf(tarfile.USTAR_FORMAT)
    yield from content
    yield bytes(-size % _BLOCK)


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _there(folder: Path, layer: Part) -> bool:
    """Verified before: a file gets its name only then."""
    path = folder / _bare(layer)
    return path.exists() and path.stat().st_size == layer.size


def _bare(blob: Part) -> str:
    return blob.digest.removeprefix("sha256:")
