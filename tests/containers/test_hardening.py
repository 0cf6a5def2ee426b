"""What a program in a container could do if somebody took it over: as little as possible, looked at from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.containers

SERVICES = ("mosquitto", "edge", "simulator", "prometheus")
USERS = {"mosquitto": "1883", "edge": "10001", "simulator": "10001", "prometheus": "65534"}
MIB = 1024 * 1024


@pytest.mark.parametrize("service", SERVICES)
def test_no_program_is_root_or_may_become_it(stack, service: str) -> None:
    lines = stack.inside(service, "cat", "/proc/1/status").stdout.splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    assert set(status["Uid"]) == set(status["Gid"]) == {USERS[service]}
    assert {name: int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapPrm": 0,
        "CapEff": 0,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"], "the engine's system call filter is off"


@pytest.mark.parametrize("service", SERVICES)
def test_the_root_file_system_cannot_be_written(stack, service: str) -> None:
    mounts = stack.inside(service, "cat", "/proc/mounts").stdout.splitlines()
    (root,) = [line.split() for line in mounts if line.split()[1] == "/"]
    assert "ro" in root[3].split(",")
    attempt = stack.inside(service, "sh", "-c", "echo x >/usr/bin/intruder")
    assert attempt.returncode != 0


@pytest.mark.parametrize("service", SERVICES)
def test_memory_and_processes_are_limited_and_logs_rotate(stack, service: str) -> None:
    host = stack.container(service)["HostConfig"]
    assert 64 * MIB <= host["Memory"] <= 512 * MIB
    assert 16 <= host["PidsLimit"] <= 128
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert set(host["LogConfig"]["Config"]) == {"max-size", "max-file"}
    assert not host["Privileged"]
    assert not any("docker.sock" in mount for mount in host["Binds"] or [])


def test_every_port_is_published_on_the_loopback_only(stack) -> None:
    for service in SERVICES:
        for bindings in stack.container(service)["HostConfig"]["PortBindings"].values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"], service


def test_prometheus_cannot_reach_the_broker(stack) -> None:
    networks = {name: set(stack.container(name)["NetworkSettings"]["Networks"]) for name in ("mosquitto", "prometheus")}
    assert not networks["mosquitto"] & networks["prometheus"]


@pytest.mark.parametrize("owner", ["edge", "simulator"])
def test_a_password_is_readable_by_its_own_service_alone(stack, owner: str) -> None:
    secret = stack.inside(owner, "stat", "-c", "%u %a", "/run/motortwin/password").stdout
    assert secret.split() == ["10001", "400"]
    environment = "\n".join(stack.container(owner)["Config"]["Env"])
    assert stack.prepare("show", owner) not in environment


def test_the_brokers_own_users_are_hashed(stack) -> None:
    users = stack.inside("mosquitto", "cat", "/mosquitto/secrets/users").stdout
    assert {line.split(":")[0] for line in users.splitlines()} == {"edge", "simulator", "agent", "viewer", "health"}
    assert all(line.split(":")[1].startswith("$7$") for line in users.splitlines())
    assert stack.prepare("show", "viewer") not in users


def _publish(
    run: Callable[..., Any], port: int, topic: str, user: str | None = None, password: str = ""
) -> tuple[int, str]:
    """Exit status and complaint of mosquitto_pub, which hears at MQTT 5 whether it was allowed."""
    who = [] if user is None else ["-u", user, "-P", password]
    done = run("mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", str(port), *who, "-t", topic, "-m", "{}")
    return done.returncode, done.stderr


def test_the_broker_refuses_strangers_and_wrong_passwords(stack, run: Callable[..., Any]) -> None:
    topic = "motortwin/v1/motor/x/reading"
    for who in ({}, {"user": "edge", "password": "guess"}, {"user": "nobody", "password": "guess"}):
        status, complaint = _publish(run, stack.mqtt_port, topic, **who)
        assert status != 0
        assert "Not authorized" in complaint


def test_who_may_only_listen_cannot_speak_and_hears_no_raw_readings(stack, listener, run: Callable[..., Any]) -> None:
    password = stack.prepare("show", "viewer")
    for topic in (f"motortwin/v1/motor/{stack.failing}/alert/x", "motortwin/v1/motor/x/reading"):
        assert "Not authorized" in _publish(run, stack.mqtt_port, topic, "viewer", password)[1]
    assert listener.hear("motortwin/v1/motor/+/reading", for_s=2.0) == []
    assert listener.hear("motortwin/v1/motor/+/truth", for_s=2.0) == []


def test_a_sensor_speaks_for_its_own_motor_only(stack, run: Callable[..., Any]) -> None:
    password = stack.prepare("sensor", "press-4")
    stack.reload_users()
    own, other = "motortwin/v1/motor/press-4/reading", f"motortwin/v1/motor/{stack.failing}/reading"
    assert _publish(run, stack.mqtt_port, own, "press-4", password) == (0, "")
    assert "Not authorized" in _publish(run, stack.mqtt_port, other, "press-4", password)[1]
    assert "Not authorized" in _publish(run, stack.mqtt_port, own.replace("reading", "health"), "press-4", password)[1]


@pytest.mark.parametrize("name", ["edge", "../x", "a:b", ""])
def test_a_sensor_cannot_take_the_name_of_a_role_or_break_the_users_file(stack, name: str) -> None:
    done = stack.compose("run", "--rm", "-T", "prepare", "sensor", name)
    assert done.returncode != 0
    assert "a motor id of letters" in done.stderr + done.stdout
