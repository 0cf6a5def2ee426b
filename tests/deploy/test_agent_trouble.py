"""Full disks, kills and registries that send without end: the agent waits, tells why, and goes on by itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy.agent import spool
from deploy.agent.content import Damaged, Part
from deploy.agent.registry import Registry
from tests.deploy.killing import dying, killed, whole
from tests.deploy.test_agent_images import Plant
from tests.deploy.test_agent_steps import Device, Wire
from tests.registry import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


CONTENT = {"manifest.json": b"bundle 7", "bundle.sig": b"{}"}


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size there, and that is all there is."""
    if os.geteuid() != 0:
        pytest.skip("a small file system needs root")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_bundle_that_finds_the_edges_disk_full_waits_until_there_is_room(tmp_path: Path, wire: Wire) -> None:
    with tiny_disk(tmp_path / "bundles", "64k"):
        ballast = tmp_path / "bundles" / "ballast"
        ballast.write_bytes(bytes(65_536))
        device = Device(tmp_path, wire)
        wire.publish(7)
        for _ in range(3):
            device.agent.step()
        assert "No space left" in device.agent.trouble
        assert (device.journal.record.state, device.journal.record.refused) == ("installing", {})
        assert not (tmp_path / "bundles" / "incoming" / "release-7").exists()
        ballast.unlink()
        device.agent.step()
        assert device.agent.trouble == ""
        assert (tmp_path / "bundles" / "incoming" / "release-7" / "manifest.json").exists()
        device.journal.close()


def test_an_image_that_finds_the_agents_disk_full_waits_until_there_is_room(tmp_path: Path, wire: Wire) -> None:
    plant = Plant(tmp_path, wire)
    digest, image = plant.release(7)
    plant.good.add(image)
    with tiny_disk(tmp_path / "agent" / "spool", "1m"):
        agent, journal = plant.agent()
        for _ in range(3):
            agent.step()
        assert "64 MiB must be free" in agent.trouble
        assert (journal.record.state, plant.engine.running()) == ("pending", "sha256:old")
        subprocess.run(["mount", "-o", "remount,size=128m", tmp_path / "agent" / "spool"], check=True)
        # the mount itself cannot be removed with its content, which is no reason to stop
        assert plant.until_ended(agent, journal, digest).state == "installed"
        journal.close()
    plant.engine.close()


def test_a_disk_that_fills_in_the_middle_of_a_blob_leaves_no_half_of_it(tmp_path: Path, wire: Wire) -> None:
    blob = os.urandom(1 << 20)
    wire.answers[f"/v2/motortwin/edge/blobs/{digest_of(blob)}"] = blob
    with tiny_disk(tmp_path / "spool", "512k"):
        with pytest.raises(OSError, match="No space left"):
            Registry(wire.address).blob("edge", Part(digest_of(blob), len(blob)), tmp_path / "spool" / "blob")
        assert list((tmp_path / "spool").iterdir()) == []


def test_a_blob_without_end_is_cut_off_and_leaves_nothing(tmp_path: Path, wire: Wire) -> None:
    blob = bytes(4 << 20)
    wire.answers[f"/v2/motortwin/edge/blobs/{digest_of(b'x')}"] = blob
    with pytest.raises(Damaged, match="more than 1000 bytes"):
        Registry(wire.address).blob("edge", Part(digest_of(b"x"), 1000), tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layers", [0, 65, 3])
def test_an_image_of_ten_gigabytes_or_of_too_many_parts_is_not_begun(tmp_path: Path, wire: Wire, layers: int) -> None:
    told = {"digest": digest_of(b"x"), "size": 1 << 30}
    manifest = wire_manifest(wire, {"config": {"digest": digest_of(b"{}"), "size": 2}, "layers": [told] * layers})
    with pytest.raises(Damaged, match=r"layers are expected|in all"):
        spool.fetch(Registry(wire.address), "edge", manifest, tmp_path / "spool", "amd64")
    assert wire.fetched("/blobs/") == 0


def wire_manifest(wire: Wire, document: dict[str, object]) -> str:

    raw = json.dumps(document).encode()
    wire.answers[f"/v2/motortwin/edge/manifests/{digest_of(raw)}"] = raw
    return digest_of(raw)


def test_a_hand_over_killed_before_any_write_comes_to_the_same_end(tmp_path: Path, wire: Wire) -> None:
    calls, moment = whole(), 0
    digest = wire.publish(7)
    bundle = hashlib.sha256(b"bundle 7").hexdigest()
    running = wire.model["digest"]

    def edge(path: str) -> None:
        """The edge takes what comes in whole, and it is good."""
        found = tmp_path / str(moment) / "bundles" / "incoming" / "release-7"
        if path == "/v1/model" and found.exists():
            assert {file.name: file.read_bytes() for file in found.iterdir()} == CONTENT
            shutil.rmtree(found)
            wire.model["digest"] = bundle

    wire.before = edge
    while True:
        moment += 1
        wire.model["digest"] = running
        folder = tmp_path / str(moment)

        def work(folder: Path = folder, moment: int = moment) -> None:
            dying(calls, moment)
            device = Device(folder, wire)
            for _ in range(5):
                device.agent.step()

        died = killed(work)
        device = Device(folder, wire)
        for _ in range(5):
            device.agent.step()
        record = device.journal.record
        assert (record.state, record.release, record.sequence) == ("installed", digest, 7), moment
        assert (record.current, record.rollback) == (bundle, running), moment
        device.journal.close()
        if not died:
            break
    assert moment > 15
