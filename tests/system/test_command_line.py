"""The command line: what each mode says and how it exits."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from service.version import VERSION
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Edge

pytestmark = pytest.mark.system


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("motortwin: ")
    for word in words:
        assert word in done.stderr


def test_without_a_broker_it_says_what_to_set(edge: Edge) -> None:
    del edge.environment["MQTT_URL"]
    one_line(run(environment=edge.environment), 2, "MQTT_URL", "mqtt://")


def test_a_misspelt_setting_is_named_with_the_nearest_known_one(edge: Edge, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text("nod = 'e1'\n")
    one_line(run("--config", str(config), environment=edge.environment), 2, "nod", "did you mean node?")


def test_a_missing_bundle_ends_with_its_own_code(edge: Edge, tmp_path: Path) -> None:
    edge.set(MOTORTWIN_BUNDLE=str(tmp_path / "nowhere"))
    one_line(run(environment=edge.environment), 3, "nowhere")


def test_a_port_that_is_taken_is_named(edge: Edge) -> None:
    edge.start()
    edge.set(MOTORTWIN_HTTP_PORT=edge.address.rpartition(":")[2])
    one_line(run(environment=edge.environment), 2, "http.port")


def test_settings_are_shown_without_secrets(edge: Edge) -> None:
    edge.set(MQTT_URL="mqtt://anna:geheim@broker.example")
    done = run("--show-settings", environment=edge.environment)
    assert done.returncode == 0
    assert "anna" in done.stdout
    assert "broker.example" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


def test_the_self_test_proves_bundle_and_folder(edge: Edge) -> None:
    done = run("--self-test", environment=edge.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "self-test: ok"
    edge.data.rmdir()
    edge.data.write_text("in the way")
    assert run("--self-test", environment=edge.environment).returncode == 4


def test_the_version_is_the_release(edge: Edge) -> None:
    done = run("--version", environment=edge.environment)
    assert done.stdout.strip() == f"motortwin {VERSION}"


def test_the_health_check_follows_the_service(edge: Edge) -> None:
    edge.start()
    edge.set(MOTORTWIN_HTTP_PORT=edge.address.rpartition(":")[2])
    done = run("--healthcheck", environment=edge.environment)
    assert (done.returncode, done.stdout.strip()) == (0, "ready")
    edge.kill()
    done = run("--healthcheck", environment=edge.environment)
    assert done.returncode == 1
    assert "does not answer" in done.stdout
