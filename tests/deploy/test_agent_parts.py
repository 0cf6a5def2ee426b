"""The agent's parts: what a release must be, what a registry may send, and a journal that survives everything."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.agent.agent import Agent
from deploy.agent.content import Damaged, Manifest, PullError, unpacked
from deploy.agent.edge import Edge
from deploy.agent.journal import Journal, Record, Wanted
from deploy.agent.models import Models
from deploy.agent.registry import Registry
from deploy.agent.release import Untrusted, verified
from deploy.agent.settings import load
from tests.registry import digest_of, layer, manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()


def name_of(key: Ed25519PrivateKey) -> str:
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]


KEYS = {name_of(KEY): KEY.public_key()}


def files(key: Ed25519PrivateKey = KEY, **change: Any) -> dict[str, bytes]:
    document = {
        "schema_version": 1,
        "project": "motortwin",
        "sequence": 7,
        "lane": "models",
        "commit": "0" * 40,
        "not_after": "2026-12-01T00:00:00Z",
        "bundle": {"digest": "a" * 64, "image": f"127.0.0.1:5000/motortwin/models@sha256:{'b' * 64}"},
    }
    raw = json.dumps(document | change).encode()
    signature = {"format": 1, "key": name_of(key), "signature": base64.b64encode(key.sign(raw)).decode()}
    return {"release.json": raw, "release.json.sig": json.dumps(signature).encode()}


def test_a_release_that_a_pinned_key_signed_is_taken() -> None:
    release = verified(files(), KEYS, now=NOW, above=6)
    assert (release.sequence, release.lane, release.bundle.digest) == (7, "models", "a" * 64)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sequence": 6}, "sequence 6 is not above 6"),
        ({"not_after": "2026-10-31T23:59:59Z"}, "expired"),
        ({"not_after": "2026-13-01T00:00:00Z"}, "no date"),
        ({"project": "lighttwin"}, "project"),
        ({"schema_version": 2}, "schema_version"),
        ({"lane": "firmware"}, "lane"),
        ({"bundle": {"digest": "a" * 64, "image": "somewhere/models:latest"}}, "bundle.image"),
        ({"sequence": "8"}, "sequence"),
    ],
)
def test_a_signed_release_that_is_not_for_us_is_refused_with_its_reason(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Untrusted, match=complaint):
        verified(files(**change), KEYS, now=NOW, above=6)


@pytest.mark.parametrize("flaw", ["stranger", "altered", "no signature", "rubbish", "half"])
def test_what_nobody_vouches_for_is_refused(flaw: str) -> None:
    given = files(Ed25519PrivateKey.generate()) if flaw == "stranger" else files()
    if flaw == "altered":
        given["release.json"] = given["release.json"].replace(b'"sequence": 7', b'"sequence": 9')
    elif flaw == "no signature":
        del given["release.json.sig"]
    elif flaw == "rubbish":
        given["release.json.sig"] = b"\xff\x00"
    elif flaw == "half":
        given["release.json"] = given["release.json"][:40]
    with pytest.raises(Untrusted):
        verified(given, KEYS, now=NOW, above=0)


@pytest.fixture
def wire() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """A server that answers as the test says; the faults of a real registry."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                """Silence."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sent(handler: BaseHTTPRequestHandler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def held(blob: bytes) -> Manifest:
    raw = manifest_of(blob)
    return Manifest(digest_of(raw), json.loads(raw))


def test_a_registry_that_hangs_costs_a_bounded_time(wire: Callable[..., str]) -> None:
    gone = threading.Event()
    address = wire(lambda _: gone.wait(20.0))
    with pytest.raises(PullError, match="timed out"):
        Registry(address, timeout_s=0.3).manifest("release", "rest")
    gone.set()


def test_a_registry_that_drips_is_given_up(wire: Callable[..., str]) -> None:
    gone = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not gone.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    address = wire(drip)
    with pytest.raises(PullError, match=r"not whole in time"):
        Registry(address, timeout_s=5.0, deadline_s=0.5).manifest("release", "rest")
    gone.set()


def test_a_registry_that_lies_about_a_digest_is_noticed(wire: Callable[..., str]) -> None:
    address = wire(lambda handler: sent(handler, manifest_of(b"x")))
    with pytest.raises(Damaged, match="came for"):
        Registry(address).manifest("release", f"sha256:{'0' * 64}")


def test_ten_gigabytes_are_not_taken(wire: Callable[..., str]) -> None:
    written = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(1 << 16))
                written.append(1 << 16)
        except OSError:
            return

    address = wire(flood)
    with pytest.raises(Damaged, match="more than"):
        Registry(address).manifest("release", "rest")
    assert sum(written) < 1 << 25
    huge = Manifest("sha256:0", {"layers": [{"digest": f"sha256:{'0' * 64}", "size": 10 << 30}]})
    with pytest.raises(Damaged, match="bytes; at most"):
        Registry(address).files("models", huge)


def test_a_layer_cut_short_or_altered_is_noticed(wire: Callable[..., str]) -> None:
    blob = layer({"a": b"content" * 100})
    cut = wire(lambda handler: sent(handler, blob[:-20]))
    with pytest.raises(Damaged, match="are not what its digest says"):
        Registry(cut).files("models", held(blob))
    broken = wire(lambda handler: sent(handler, blob[:-20], len(blob)))
    with pytest.raises(PullError):
        Registry(broken).files("models", held(blob))


def test_what_arrives_whole_is_unpacked(wire: Callable[..., str]) -> None:
    blob = layer({"manifest.json": b"{}", "./x.onnx": b"y"})
    address = wire(lambda handler: sent(handler, blob))
    assert Registry(address).files("models", held(blob)) == {"manifest.json": b"{}", "x.onnx": b"y"}


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd/x", "folder/file", ".hidden", "x" * 200])
def test_a_layer_writes_nowhere_but_at_its_top(name: str) -> None:
    with pytest.raises(Damaged, match="is no plain file at the top"):
        unpacked(layer({name: b"x"}), "models")


def test_a_layer_that_unpacks_without_end_is_refused() -> None:
    with pytest.raises(Damaged, match="unpacks to more than"):
        unpacked(layer({"zeros": bytes(129 << 20)}), "models")


def test_what_is_in_the_way_is_not_asked_again_at_once(wire: Callable[..., str], tmp_path: Path) -> None:
    address = wire(
        lambda handler: (
            sent(handler, b'{"digest": "", "candidate": null}')
            if handler.path == "/v1/model"
            else handler.send_error(503)
        )
    )
    journal = Journal(tmp_path)
    journal.write(Record(state="pending", sequence=3, desired=WANTED))
    registry = Registry(address)
    lanes = {"models": Models(registry, Edge(f"http://{address}", tmp_path), journal, 60.0)}
    agent = Agent(registry, journal, KEYS, "rest", lanes, 60.0)
    assert agent.busy
    agent.step()
    assert "503" in agent.trouble
    assert journal.record.desired == WANTED
    assert not agent.busy
    journal.close()


WANTED = Wanted(release="sha256:1", sequence=3, bundle="b" * 64, image=f"x@sha256:{'c' * 64}")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"AGENT_REGISTRY": ""}, "AGENT_REGISTRY is missing"),
        ({"AGENT_POLL_S": "often"}, "AGENT_POLL_S='often' is no number"),
        ({"AGENT_POLL_S": "0"}, "must be above 0"),
        ({"AGENT_WAVE": "a/b"}, "AGENT_WAVE='a/b'"),
        ({"AGENT_WAFE": "x"}, "AGENT_WAFE: unknown"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load({"AGENT_REGISTRY": "r", "AGENT_KEYS": "k"} | change)


def test_a_key_file_that_is_none_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("no key")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.agent"],
        cwd=ROOT,
        env={"AGENT_REGISTRY": "127.0.0.1:1", "AGENT_KEYS": str(tmp_path / "key.pub"), "AGENT_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("agent: AGENT_KEYS")
    assert done.stderr.count("\n") == 1
