"""A real image registry on the loopback, and what it takes to put small images of one layer into it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_S = 20.0
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a registry that keeps its content in ``folder``."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("docker-registry is missing: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline:
                pytest.fail(f"the registry does not answer: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10.0)


def layer(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of plain files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def manifest_of(blob: bytes, config: bytes = b"{}") -> bytes:
    """The manifest of an image with this one layer."""

    def described(kind: str, content: bytes) -> dict[str, object]:
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", blob)],
    }
    return json.dumps(document).encode()


def digest_of(content: bytes) -> str:
    """As registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(address: str, name: str, tag: str, files: Mapping[str, bytes]) -> str:
    """Puts ``motortwin/NAME:TAG`` there; its digest."""
    blob = layer(files)
    root = f"http://{address}/v2/motortwin/{name}"
    for content in (blob, b"{}"):
        with _sent("POST", f"{root}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        joint = "&" if "?" in place else "?"
        _sent("PUT", f"{place}{joint}digest={digest_of(content)}", content).close()
    manifest = manifest_of(blob)
    _sent("PUT", f"{root}/manifests/{tag}", manifest, MANIFEST).close()
    return digest_of(manifest)


def _sent(method: str, url: str, body: bytes, kind: str = "application/octet-stream"):  # noqa: ANN202 - a response
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})  # noqa: S310
    return urllib.request.urlopen(request, timeout=20.0)  # noqa: S310 - our own address
