"""The overlays deploy/tls.yml and mutual-tls.yml: what crosses the plant's network can be neither read nor forged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

pytestmark = pytest.mark.containers


def test_edge_and_sensors_reach_the_broker_by_tls_and_nobody_without(
    tls_stack, tmp_path: Path, run: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    eventually("connected", lambda: tls_stack.metrics().get("motortwin_mqtt_connected") == 1.0, within_s=30.0)
    assert "mosquitto:8883" in tls_stack.compose("logs", "edge").stdout
    who = ["-V", "5", "-u", "viewer", "-P", tls_stack.prepare("show", "viewer")]
    ask = ["mosquitto_sub", "-h", "localhost", "-p", str(tls_stack.mqtt_port), *who, "-C", "1", "-W", "10"]
    topic = "motortwin/v1/edge/edge/availability"

    trust = ["--cafile", tmp_path / "ca.crt"]
    if (tmp_path / "viewer.crt").exists():  # the broker asks who connects for a certificate too
        bare = run(*ask, *trust, "-t", topic)
        assert (bare.returncode != 0, bare.stdout) == (True, "")
        trust += ["--cert", tmp_path / "viewer.crt", "--key", tmp_path / "viewer.key"]
    trusting = run(*ask, *trust, "-t", topic)
    assert '"state":"online"' in trusting.stdout.replace(" ", ""), trusting.stderr
    stranger = run(*ask, "--tls-use-os-certs", "-t", topic)
    assert (stranger.returncode != 0, stranger.stdout) == (True, "")
    plain = run(*ask, "-t", topic)
    assert (plain.returncode != 0, plain.stdout) == (True, "")
    published = tls_stack.container("mosquitto")["HostConfig"]["PortBindings"]
    assert set(published) == {"8883/tcp"}
