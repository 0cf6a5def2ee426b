"""A release over three sites, each with a broker, an edge under traffic and an agent of its own: wave after wave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.conftest import ROOT, Broker, free_port
from tests.registry import serving
from tests.service.core.conftest import ANOMALY
from tests.service.swap.conftest import Press
from tests.system.conftest import Edge, Watcher, wait_until
from tests.system.test_agent import MOTORS, SUM, WORSE, Site
from tests.system.test_swap import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

WAVES = ("canary", "share", "rest")


class Plant(Site):
    """A site that is named after its wave, and may pin more keys."""

    more_keys = ""

    @property
    def settings(self) -> dict[str, str]:
        """With the site's name."""
        keys = ",".join([super().settings["AGENT_KEYS"], self.more_keys])
        return super().settings | {"AGENT_NODE": f"{self.wave}-site", "AGENT_KEYS": keys}


class Company:
    """Three sites, and who rolls out."""

    def __init__(self, folder: Path, registry: str, press: Press) -> None:
        self.folder, self.registry, self.press = folder, registry, press
        self.second = Ed25519PrivateKey.generate()
        self.brokers = [Broker(folder / wave / "broker") for wave in WAVES]
        self.sites: dict[str, Plant] = {}
        self.traffic: list[Traffic] = []
        for wave, broker in zip(WAVES, self.brokers, strict=True):
            broker.start()
            edge = Edge(folder / wave, folder, broker.url)
            self.sites[wave] = Plant(folder / wave, edge, broker, registry, wave=wave, press=press)
            edge.set(MOTORTWIN_SWAP_MIN_READINGS="40", MOTORTWIN_SWAP_SOAK_S="1")
            if wave != "share":
                public = self.second.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                (folder / wave / "second.pem").write_bytes(public)
        self.plan = folder / "plan.json"
        self._plan(60.0)

    def _plan(self, patience_s: float) -> None:
        waves = [{"name": wave, "sites": [f"{wave}-site"], "patience_s": patience_s} for wave in WAVES]
        self.plan.write_text(json.dumps({"brokers": [{"url": one.url} for one in self.brokers], "waves": waves}))

    def start(self) -> None:
        """Everything."""
        for (wave, site), broker in zip(self.sites.items(), self.brokers, strict=True):
            watcher = Watcher(broker.port)
            for number in range(MOTORS):
                watcher.introduce(f"m{number}")
            watcher.close()
            site.edge.start()
            self.traffic.append(Traffic(broker.port, motors=MOTORS, per_s=60).start())
            if wave != "share":
                site.more_keys = str(self.folder / wave / "second.pem")
            site.start()

    def roll_out(self, sequence: int) -> tuple[int, list[str]]:
        """Exit status of the tool, and its lines without the time."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.waves", str(self.plan), str(sequence)],
            cwd=ROOT,
            env={**os.environ, "REGISTRY": self.registry, "WAVES_DATA": str(self.folder / "waves")},
            capture_output=True,
            text=True,
            check=False,
            timeout=240.0,
        )
        assert done.stderr == ""
        return done.returncode, [line.split(" ", 1)[1] for line in done.stdout.splitlines()]

    def running(self) -> list[str]:
        """Digest of the bundle in use, by site."""
        return [site.running() for site in self.sites.values()]

    def states(self) -> list[tuple[str, int]]:
        """State and number by site."""
        return [(site.journal()["state"], site.journal()["sequence"]) for site in self.sites.values()]

    def stop(self) -> None:
        """Everything."""
        for traffic in self.traffic:
            traffic.stop()
        for site in self.sites.values():
            site.stop()
            site.edge.kill()
        for broker in self.brokers:
            broker.kill()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    for wave in (*WAVES, "registry"):
        (tmp_path / wave).mkdir()
    with serving(tmp_path / "registry") as registry:
        made = Company(tmp_path, registry, Press(tmp_path))
        made.start()
        yield made
        made.stop()


def test_a_release_goes_from_wave_to_wave_and_stops_by_itself_where_it_fails(company: Company) -> None:
    any_site = company.sites["rest"]
    good = any_site.publish(any_site.bundle(2, 10), 10, tag="10")["bundle"]["digest"]
    status, lines = company.roll_out(10)
    assert (status, lines) == (
        0,
        [text for wave in WAVES for text in (f"{wave}: begun", f"{wave}: through: 1 of 1 sites have it")],
    )
    assert company.running() == [good] * 3

    # worse models end with the canary: nobody else ever sees them
    texts = {"anomaly": ANOMALY.replace(SUM, WORSE["worse answers"])}
    any_site.publish(any_site.bundle(3, 20, texts=texts), 20, tag="20")
    status, lines = company.roll_out(20)
    assert status == 4
    assert lines[0] == "canary: begun"
    assert lines[1].startswith("canary: stopped: 1 of 1 sites failed: canary-site: failed: refused: ")
    assert lines[2] == "canary: its tag points where it did before"
    assert company.running() == [good] * 3
    wait_until(lambda: company.states()[1:] == [("installed", 10)] * 2, "the others as they were")

    # what is good with the canary and not with the share stops there, and the canary keeps it
    better = any_site.publish(any_site.bundle(4, 30), 30, tag="30", key=company.second)["bundle"]["digest"]
    status, lines = company.roll_out(30)
    assert status == 4
    assert lines[1] == "canary: through: 1 of 1 sites have it"
    assert "share: stopped: 1 of 1 sites failed: share-site: failed: signed by key" in lines[3]
    assert company.running() == [better, good, good]
    assert company.sites["rest"].journal()["sequence"] == 10

    # and a site that says nothing stops it too
    company._plan(3.0)
    company.sites["canary"].kill()
    any_site.publish(any_site.bundle(5, 40), 40, tag="40")
    status, lines = company.roll_out(40)
    assert status == 4
    assert "canary: stopped: after 3 s 1 sites are not through: canary-site has not spoken of it" in lines[1]
    assert company.running() == [better, good, good]

    for traffic in company.traffic:
        traffic.stop()
        assert set(traffic.back_s) == set(traffic.sent_s)


def ask(plan: str, folder: Path, sequence: str = "7", registry: str = "127.0.0.1:1") -> Any:
    (folder / "plan.json").write_text(plan)
    return subprocess.run(
        [sys.executable, "-m", "deploy.waves", str(folder / "plan.json"), sequence],
        cwd=ROOT,
        env={**os.environ, "REGISTRY": registry, "WAVES_DATA": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        ("{", "Invalid JSON"),
        ('{"brokers": [{"url": "mqtt://x"}], "waves": []}', "waves"),
        ('{"brokers": [{"url": "http://x"}], "waves": [{"name": "a", "sites": ["b"]}]}', "brokers.0.url"),
        (
            '{"brokers": [{"url": "mqtt://x"}], "waves": [{"name": "a", "sites": ["b", "b"]}]}',
            "site b stands there twice",
        ),
        ('{"brokers": [{"url": "mqtt://x"}], "waves": [{"name": "a/b", "sites": ["b"]}]}', "waves.0.name"),
    ],
)
def test_a_wrong_plan_is_one_line_and_exit_status_2(tmp_path: Path, plan: str, complaint: str) -> None:
    done = ask(plan, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert complaint in done.stderr


def test_a_registry_that_does_not_answer_or_has_no_such_release_is_exit_status_1(tmp_path: Path) -> None:
    plan = '{"brokers": [{"url": "mqtt://127.0.0.1:1"}], "waves": [{"name": "canary", "sites": ["b"]}]}'
    done = ask(plan, tmp_path, registry=f"127.0.0.1:{free_port()}")
    assert (done.returncode, "Connection refused" in done.stderr) == (1, True)
    (tmp_path / "registry").mkdir()
    with serving(tmp_path / "registry") as registry:
        done = ask(plan, tmp_path, registry=registry)
    assert (done.returncode, done.stderr) == (1, "waves: the registry has no release 7\n")
