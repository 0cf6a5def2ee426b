"""``release.json``: what it says, who vouches for it, and what is never signed."""

from __future__ import annotations

import base64
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from service.signature import Trust

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
EDGE = "registry.example/motortwin/edge@sha256:" + 64 * "1"
MODELS = "registry.example/motortwin/models@sha256:" + 64 * "2"


def loaded() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("release", str(ROOT / "deploy" / "release"))
    spec = importlib.util.spec_from_loader("release", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


release = loaded()


def pem(key: Any) -> str:
    raw: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw.decode()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Ed25519PrivateKey:
    made = Ed25519PrivateKey.generate()
    monkeypatch.setenv("RELEASE_KEY", pem(made))
    return made


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """What went into images, by their names; engines are for `make e2e-workflows`."""
    found: dict[str, dict[str, bytes]] = {}

    def image(name: str, context: Path, folder: str) -> None:
        found[name] = {file.name: file.read_bytes() for file in (context / folder).iterdir()}

    monkeypatch.setattr(release, "image", image)
    return found


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Ed25519PrivateKey) -> Path:
    """A place with models, a candidate that the gate let through, and images in a registry."""
    for place in ("service/models", "build/models"):
        shutil.copytree(ROOT / "service" / "models", tmp_path / place)
    digest = hashlib.sha256((tmp_path / "build" / "models" / "manifest.json").read_bytes()).hexdigest()
    (tmp_path / "build" / "gate").mkdir()
    judged(tmp_path, candidate=digest, verdict="passed", tiny=False, refused=[])
    (tmp_path / "build" / "images.json").write_text(json.dumps({"edge": EDGE, "models": MODELS}))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(tree: Path, **said: Any) -> None:
    (tree / "build" / "gate" / "gate.json").write_text(json.dumps(said))


def made(monkeypatch: pytest.MonkeyPatch, lane: str) -> dict[str, Any]:
    monkeypatch.setenv("LANE", lane)
    assert release.main(["bundle"]) == 0
    assert release.main(["make"]) == 0
    document: dict[str, Any] = json.loads(Path("build/release/release.json").read_bytes())
    return document


def test_a_model_release_names_its_bundle_and_the_gates_report(
    tree: Path, carried: dict[str, dict[str, bytes]], key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(monkeypatch, "models")
    manifest = (tree / "build" / "models" / "manifest.json").read_bytes()
    assert (found["lane"], found["project"], found["images"]) == ("models", "motortwin", {"edge": EDGE})
    assert found["bundle"] == {"digest": hashlib.sha256(manifest).hexdigest(), "image": MODELS}
    assert found["gate"]["sha256"] == hashlib.sha256((tree / "build" / "gate" / "gate.json").read_bytes()).hexdigest()
    assert [wave["name"] for wave in found["waves"]] == ["canary", "share", "rest"]
    assert abs(found["sequence"] + release.EPOCH_S - time.time()) < 60
    # what travels: the bundle, signed so that an edge takes it, and the release with its signature
    rank = Trust([key.public_key()]).check(carried["models"]["manifest.json"], carried["models"]["bundle.sig"])
    assert rank == found["sequence"]
    Trust([key.public_key()]).check_gate(carried["models"]["gate.json"], carried["models"]["gate.json.sig"])
    assert carried["models"]["gate.json"] == (tree / "build" / "gate" / "gate.json").read_bytes()
    assert set(carried["release"]) == {"release.json", "release.json.sig"}
    told = json.loads(carried["release"]["release.json.sig"])
    key.public_key().verify(base64.b64decode(told["signature"]), carried["release"]["release.json"])


def test_an_image_release_carries_the_trees_models_and_no_gate(
    tree: Path, carried: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tree / "build" / "gate")
    found = made(monkeypatch, "images")
    assert (found["lane"], found["gate"]) == ("images", None)
    assert carried["models"]["manifest.json"] == (ROOT / "service" / "models" / "manifest.json").read_bytes()


def test_who_signed_it_is_checked(
    tree: Path,
    carried: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(monkeypatch, "models")
    assert carried
    file = "build/release/release.json"
    assert release.main(["verify", file, "key.pub"]) == 0
    stranger = Ed25519PrivateKey.generate().public_key()
    (tree / "other.pub").write_bytes(stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert release.main(["verify", file, "other.pub"]) == 1
    assert "none of the keys vouches for it" in capsys.readouterr().err
    assert release.main(["verify", file, "other.pub", "key.pub"]) == 0
    raw = Path(file).read_bytes()
    Path(file).write_bytes(raw.replace(b'"lane": "models"', b'"lane": "images"'))
    assert release.main(["verify", file, "key.pub"]) == 1


@pytest.mark.parametrize(
    ("days", "complaint"), [("90", ""), ("-1", "expired"), ("0.00000001", "expired")], ids=["valid", "past", "now"]
)
def test_an_old_release_is_not_valid(
    tree: Path,
    carried: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    days: str,
    complaint: str,
) -> None:
    monkeypatch.setenv("VALID_DAYS", days)
    made(monkeypatch, "models")
    assert carried
    if complaint:
        time.sleep(1.1)
    assert release.main(["verify", "build/release/release.json", "key.pub"]) == (1 if complaint else 0)
    assert complaint in capsys.readouterr().err
    assert tree.exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": "refused", "refused": ["cage.recall"]}, "the gate refused"),
        ({"candidate": 64 * "0"}, "judged 000000000000"),
        ({"tiny": True}, "too little"),
    ],
    ids=["refused", "another bundle", "tiny"],
)
def test_what_the_gate_did_not_let_through_is_never_signed(
    tree: Path,
    carried: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    complaint: str,
) -> None:
    judged(tree, **(json.loads((tree / "build" / "gate" / "gate.json").read_text()) | change))
    monkeypatch.setenv("LANE", "models")
    assert release.main(["bundle"]) == 1
    assert complaint in capsys.readouterr().err
    assert carried == {}


@pytest.mark.parametrize("what", ["absent", "another kind", "rubbish"])
def test_a_key_that_cannot_sign_is_one_line_without_the_key(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    text = {"absent": "", "another kind": pem(generate_private_key(SECP256R1())), "rubbish": "s3cret"}[what]
    monkeypatch.setenv("RELEASE_KEY", text)
    monkeypatch.setenv("LANE", "images")
    assert release.main(["bundle"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not text or text.strip().splitlines()[-1] not in said
    assert tree.exists()


def test_no_key_stays_behind(tree: Path, carried: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = set(Path(release.MEMORY).iterdir())
    made(monkeypatch, "models")
    assert carried
    assert set(Path(release.MEMORY).iterdir()) <= kept
    secret = os.environ["RELEASE_KEY"].splitlines()[1].encode()
    assert [file for file in tree.rglob("*") if file.is_file() and secret in file.read_bytes()] == []


@pytest.mark.parametrize("words", [[], ["verify"], ["shout"]])
def test_another_word_is_answered_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(words) == 2
    assert "deploy/release bundle" in capsys.readouterr().err
