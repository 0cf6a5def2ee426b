"""The lane of images beside an engine that answers over its socket: what is done when, and kill -9 in between."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from deploy.agent import carry, content, layout, soak, spool
from deploy.agent.agent import Agent
from deploy.agent.edge import Edge
from deploy.agent.engine import RELEASE
from deploy.agent.engine import Engine as Client
from deploy.agent.images import Images
from deploy.agent.journal import Journal
from deploy.agent.models import Models
from deploy.agent.registry import Registry
from tests.deploy.engine import Engine
from tests.deploy.killing import dying, killed, whole
from tests.deploy.test_agent_steps import Wire, name_of
from tests.registry import MANIFEST, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "plant-edge-1"
RULES = soak.Rules(min_readings=10, soak_s=0.01, soak_max_s=0.5, ready_s=0.5)
LAYERS = (b"one layer", b"and another")


class Plant:
    """A device whose edge answers as the image that runs says; the whole of it survives a kill of the agent."""

    def __init__(self, folder: Path, wire: Wire) -> None:
        self.folder, self.wire = folder, wire
        self.engine = Engine(folder / "docker.sock", NAME)
        self.keys = {name_of(wire.key): wire.key.public_key()}
        self.good = {"sha256:old"}
        self.pages: dict[str, str] = {}
        wire.live = self._live

    def _live(self, path: str) -> bytes | None:
        image = self.engine.running()
        if image not in self.good:
            return None
        return {"/v2/health/ready": "ready", "/metrics": self.pages.get(image, page(100))}.get(
            path, ""
        ).encode() or None

    def agent(self, *, rules: soak.Rules = RULES) -> tuple[Agent, Journal]:
        """From the journal."""
        journal = Journal(self.folder / "agent")
        source, edge = Registry(self.wire.address), Edge(f"http://{self.wire.address}", self.folder)
        engine = Client(str(self.folder / "docker.sock"), NAME)
        lanes = {
            "models": Models(source, edge, journal, 60.0),
            "images": Images(source, engine, edge, journal, self.folder / "agent" / "spool", rules),
        }
        return Agent(source, journal, self.keys, "rest", lanes, 1e-4), journal

    def release(
        self, sequence: int, *, processor: str = "amd64", index: bool = False, note: str = ""
    ) -> tuple[str, str]:
        """A release of an image of the edge; its digest and the id that an engine gives the image."""
        address, image = put_image(self.wire, processor, index=index, note=note or str(sequence))
        digest = self.wire.publish(sequence, lane="images", images={"edge": address})
        return digest, image

    def until_ended(self, agent: Agent, journal: Journal, digest: str) -> Any:
        """Steps until this release has come to an end; the record."""
        until_s = time.monotonic() + 10.0
        while time.monotonic() < until_s:
            agent.step()
            record = journal.record
            if record.seen == digest and record.desired is None:
                return record
        return pytest.fail(f"no end: {journal.record} {agent.trouble}")


def page(readings: int, opened: int = 0, failures: int = 0, slow: int = 0, nis: float = 1.0, shed: int = 0) -> str:
    """Counters of an edge."""
    return (
        f"motortwin_readings_total {readings}\n"
        f'motortwin_rejected_total{{reason="unprocessable"}} {failures}\n'
        f'motortwin_rejected_total{{reason="undecodable"}} 99\n'
        f'motortwin_alerts_total{{condition="ball",state="open"}} {opened}\n'
        f'motortwin_alerts_total{{condition="ball",state="clear"}} 50\n'
        f'motortwin_shed_total{{reason="full"}} {shed}\n'
        f'motortwin_latency_seconds_bucket{{le="0.01"}} {readings - slow}\n'
        f'motortwin_latency_seconds_bucket{{le="+Inf"}} {readings}\n'
        f"motortwin_filter_nis_sum {readings * nis}\n"
        f"motortwin_filter_nis_count {readings}\n"
    )


def put_image(wire: Wire, processor: str, *, index: bool, note: str) -> tuple[str, str]:
    """An image of the edge on the wire; its address by digest, and its id."""
    root = "/v2/motortwin/edge"
    blobs = [gzip.compress(layer, mtime=0) for layer in LAYERS]
    config = json.dumps(
        {
            "architecture": processor,
            "os": "linux",
            "config": {"Env": ["A=new"], "Labels": {"note": note}},
            "rootfs": {"diff_ids": [digest_of(layer) for layer in LAYERS]},
        }
    ).encode()

    def told(raw: bytes) -> dict[str, Any]:
        return {"mediaType": "application/octet-stream", "digest": digest_of(raw), "size": len(raw)}

    for raw in (*blobs, config):
        wire.answers[f"{root}/blobs/{digest_of(raw)}"] = raw
    document: dict[str, Any] = {"schemaVersion": 2, "config": told(config), "layers": [told(raw) for raw in blobs]}
    manifest = json.dumps(document).encode()
    wire.answers[f"{root}/manifests/{digest_of(manifest)}"] = manifest
    if index:
        platform = {"os": "linux", "architecture": processor}
        entry = told(manifest) | {"mediaType": MANIFEST, "platform": platform}
        manifest = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        wire.answers[f"{root}/manifests/{digest_of(manifest)}"] = manifest
    return f"{wire.address}/motortwin/edge@{digest_of(manifest)}", f"sha256:{hashlib.sha256(config).hexdigest()}"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    wire = Wire()
    made = Plant(tmp_path, wire)
    yield made
    made.engine.close()
    wire.close()


@pytest.mark.parametrize("index", [False, True])
def test_a_good_image_is_kept_with_the_settings_that_the_old_container_was_given(plant: Plant, index: bool) -> None:
    digest, image = plant.release(7, index=index)
    plant.good.add(image)
    agent, journal = plant.agent()
    record = plant.until_ended(agent, journal, digest)
    assert (record.state, record.reason, record.release, record.stage) == ("installed", "", digest, "")
    assert record.gap_s is not None
    assert plant.engine.running() == image
    assert set(plant.engine.containers) == {NAME}
    made = plant.engine.containers[NAME]
    # what somebody gave it stays, what came with the old image does not
    assert made["Config"]["Env"] == ["B=given"]
    assert made["HostConfig"] == {"NetworkMode": "plant_field", "ReadonlyRootfs": True}
    assert made["Config"]["Labels"] == {"com.docker.compose.image": image, RELEASE: digest}
    assert [call for call in plant.engine.calls if "/networks/" in call] == ["POST /networks/plant_watch/connect"]
    assert plant.engine.tags["motortwin/edge:latest"] == image
    assert not (plant.folder / "agent" / "spool").exists()
    journal.close()


def test_of_the_images_that_were_kept_only_the_last_two_stay(plant: Plant) -> None:
    agent, journal = plant.agent()
    for sequence in (7, 8, 9):
        digest, image = plant.release(sequence)
        plant.good.add(image)
        assert plant.until_ended(agent, journal, digest).state == "installed"
    assert {tag for tag in plant.engine.tags if "release-" in tag} == {
        "motortwin/edge:release-8",
        "motortwin/edge:release-9",
    }
    journal.close()


def test_an_image_that_is_never_ready_goes_and_is_known_under_any_number(plant: Plant) -> None:
    agent, journal = plant.agent()
    digest, image = plant.release(7, note="same")
    record = plant.until_ended(agent, journal, digest)
    assert record.state == "rolled_back"
    assert "not ready within 0.5 s" in record.reason
    assert record.back_s is not None
    assert plant.engine.running() == "sha256:old"
    assert set(plant.engine.containers) == {NAME}
    assert image not in plant.engine.tags.values()
    again, _ = plant.release(8, note="same")
    loads = sum("/images/load" in call for call in plant.engine.calls)
    record = plant.until_ended(agent, journal, again)
    assert (record.state, record.reason.partition(":")[0]) == ("failed", "this image failed here before")
    assert sum("/images/load" in call for call in plant.engine.calls) == loads
    journal.close()


def test_an_image_for_another_processor_is_not_brought(plant: Plant) -> None:
    agent, journal = plant.agent()
    for sequence, index in ((7, False), (8, True)):
        digest, _ = plant.release(sequence, processor="arm64", index=index)
        record = plant.until_ended(agent, journal, digest)
        assert record.state == "failed"
        assert "this device is" in record.reason
    assert plant.engine.running() == "sha256:old"
    journal.close()


@pytest.mark.parametrize("call", ["/create", "/start", "/rename", "-before/json"])
def test_an_engine_that_refuses_in_the_middle_leaves_the_old_container(plant: Plant, call: str) -> None:
    digest, image = plant.release(7)
    plant.good.add(image)
    agent, journal = plant.agent()
    plant.engine.refuse = (call,)
    for _ in range(20):
        agent.step()
    plant.engine.refuse = ()
    record = plant.until_ended(agent, journal, digest)
    assert plant.engine.running() in {"sha256:old", image}
    assert (record.state == "installed") == (plant.engine.running() == image)
    assert set(plant.engine.containers) == {NAME}
    journal.close()


def test_an_engine_that_is_gone_is_only_waited_for(plant: Plant) -> None:
    digest, image = plant.release(7)
    plant.good.add(image)
    plant.engine.close()
    agent, journal = plant.agent()
    agent.step()
    assert "the engine at" in agent.trouble
    assert (journal.record.state, journal.record.desired is None) == ("pending", False)
    (plant.folder / "docker.sock").unlink()
    plant.engine = Engine(plant.folder / "docker.sock", NAME)
    assert plant.until_ended(agent, journal, digest).state == "installed"
    journal.close()


def test_an_engine_that_goes_in_the_middle_says_nothing_against_the_image(plant: Plant) -> None:
    digest, image = plant.release(7)
    plant.good.add(image)
    agent, journal = plant.agent()
    wanted = plant.engine.answer

    def gone(method: str, path: str, body: bytes) -> tuple[int, Any]:
        if "/rename" in path:
            raise ConnectionResetError
        return wanted(method, path, body)

    plant.engine.answer = gone  # type: ignore[method-assign]
    for _ in range(5):
        agent.step()
    assert journal.record.stage == "replacing"
    assert agent.trouble
    plant.engine.answer = wanted  # type: ignore[method-assign]
    record = plant.until_ended(agent, journal, digest)
    assert (record.state, record.failed) == ("installed", {})
    assert plant.engine.running() == image
    journal.close()


def test_a_damaged_layer_never_reaches_the_engine(plant: Plant) -> None:
    digest, _ = plant.release(7)
    plant.wire.spoil("edge")
    agent, journal = plant.agent()
    record = plant.until_ended(agent, journal, digest)
    assert (record.state, "are not what its digest says" in record.reason) == ("failed", True)
    assert not any("/images/load" in call for call in plant.engine.calls)
    journal.close()


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (page(100, failures=40), "no finite answer to 40 of 140 readings"),
        (page(100, shed=30), "it dropped 30 readings"),
        (page(100, opened=30), "it opened 30 alerts in 100 readings; the old container opened 2.0 in as many"),
        (page(100, slow=50), "its p95 is inf ms"),
        (page(100, nis=9.0), "mean NIS is 9.00, it was 1.00"),
        (page(3), "inconclusive: only 3 of 10 readings"),
    ],
)
def test_an_image_that_does_worse_goes_with_what_it_did(plant: Plant, after: str, reason: str) -> None:
    digest, image = plant.release(7)
    plant.good.add(image)
    plant.pages |= {"sha256:old": page(1000, opened=20), image: after}
    agent, journal = plant.agent()
    record = plant.until_ended(agent, journal, digest)
    assert record.state == "rolled_back"
    assert reason in record.reason
    assert plant.engine.running() == "sha256:old"
    journal.close()


def test_where_somebody_removed_the_old_container_one_is_made_of_the_old_image(plant: Plant) -> None:
    digest, image = plant.release(7)
    plant.good.add(image)
    plant.pages |= {"sha256:old": page(1000), image: page(3)}
    agent, journal = plant.agent()
    agent.step()
    assert plant.engine.running() == image
    del plant.engine.containers[f"{NAME}-before"]
    assert plant.until_ended(agent, journal, digest).state == "rolled_back"
    assert plant.engine.running() == "sha256:old"
    assert set(plant.engine.containers) == {NAME}
    assert plant.engine.containers[NAME]["Config"]["Env"] == ["B=given"]
    journal.close()


@pytest.mark.parametrize("good", [True, False])
def test_an_agent_killed_before_any_write_or_call_comes_to_the_same_end(
    plant: Plant, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.agent.images._LOOK_S", 0.01)
    digest, image = plant.release(7)
    if good:
        plant.good.add(image)
    patched = whole()
    start = dict(plant.engine.containers), dict(plant.engine.tags)
    moment = 0
    rules = soak.Rules(min_readings=10, soak_s=0.0001, ready_s=0.02)
    while True:
        moment += 1

        def work(moment: int = moment) -> None:
            dying(patched, moment)
            agent, journal = plant.agent(rules=rules)
            plant.until_ended(agent, journal, digest)

        died = killed(work)
        agent, journal = plant.agent(rules=rules)
        record = plant.until_ended(agent, journal, digest)
        assert record.state == ("installed" if good else "rolled_back"), (moment, record)
        assert plant.engine.running() == (image if good else "sha256:old"), moment
        assert set(plant.engine.containers) == {NAME}, moment
        journal.close()
        if not died:
            break
        # the device as it was before
        plant.engine.containers, plant.engine.tags = json.loads(json.dumps(start[0])), dict(start[1])
        plant.engine.containers[NAME]["State"] = {"Running": True, "Status": "running", "ExitCode": 0}
        for path in (plant.folder / "agent").iterdir():
            if path.is_file():
                path.unlink()
    assert moment > 40


def test_a_release_carried_in_a_file_is_the_same_release(plant: Plant, tmp_path: Path) -> None:
    digest, image = plant.release(7, index=True)
    plant.good.add(image)
    file = tmp_path / "release.tar"
    sequence, size = carry.carried(Registry(plant.wire.address), plant.keys, "rest", file)
    assert (sequence, size) == (7, file.stat().st_size)
    source = layout.Layout(file)
    assert source.manifest("release", "rest").digest == digest
    wanted = next(path for path in plant.wire.answers if path.startswith("/v2/motortwin/edge/manifests/"))
    fetched = spool.fetch(source, "edge", wanted.rsplit("/", 1)[1], tmp_path / "spool", "amd64")
    assert len(fetched.layers) == len(LAYERS)
    with pytest.raises(content.PullError, match="has no release:canary"):
        source.manifest("release", "canary")
    raw = file.read_bytes()
    file.write_bytes(raw.replace(gzip.compress(LAYERS[0], mtime=0), b"x" * len(gzip.compress(LAYERS[0], mtime=0))))
    with pytest.raises(content.Damaged):
        spool.fetch(source, "edge", wanted.rsplit("/", 1)[1], tmp_path / "other", "amd64")
    file.write_bytes(raw[:2000])
    with pytest.raises(content.PullError):
        source.manifest("release", "rest")
