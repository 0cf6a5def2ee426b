"""Where settings come from and what is said of wrong ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from service import settings
from service.contract.bearing import CATALOGUE
from service.errors import SettingsError
from service.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
BROKER = {"MQTT_URL": "mqtt://broker"}


def written(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def test_the_environment_outranks_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, "node = 'a'\n[http]\nport = 1\nhost = 'h'\n")
    chosen = settings.load(config, BROKER | {"MOTORTWIN_HTTP_PORT": "99"})
    assert (chosen.node, chosen.http.port, chosen.http.host) == ("a", 99, "h")


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    config = written(tmp_path, "node = 'a'\n")
    assert settings.load(None, BROKER | {"MOTORTWIN_CONFIG": str(config)}).node == "a"


def test_credentials_in_the_url_become_fields_and_are_not_shown() -> None:
    chosen = settings.load(None, {"MQTT_URL": "mqtts://anna:ge%40heim@broker.example:9999"})
    assert (chosen.mqtt.username, chosen.mqtt.secret()) == ("anna", "ge@heim")
    assert (chosen.mqtt.url, chosen.mqtt.host, chosen.mqtt.port, chosen.mqtt.tls) == (
        "mqtts://broker.example:9999",
        "broker.example",
        9999,
        True,
    )
    assert "heim" not in chosen.shown() + repr(chosen)


@pytest.mark.parametrize(("url", "port"), [("mqtt://b", 1883), ("mqtts://b", 8883), ("mqtt://[::1]:7", 7)])
def test_the_port_follows_the_scheme(url: str, port: int) -> None:
    assert settings.load(None, {"MQTT_URL": url}).mqtt.port == port


def test_a_password_file_is_read_anew_each_time(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    chosen = settings.load(None, BROKER | {"MQTT_PASSWORD_FILE": str(secret)})
    assert chosen.mqtt.secret() == "one"
    secret.write_text("two")
    assert chosen.mqtt.secret() == "two"


def test_a_motor_in_the_file_is_a_birth_message(tmp_path: Path) -> None:
    config = written(
        tmp_path,
        "[motors.M1]\nbearing = '6205'\ninterval_s = 5\nclock = 'simulated'\n"
        "[motors.M1.nameplate]\nrated_power_w = 1500\nrated_speed_rpm = 1450\n"
        "[motors.M2]\nbearing = {elements = 9, element_mm = 7.94, pitch_mm = 39.04}\n"
        "[motors.M2.nameplate]\nrated_power_w = 1500\nrated_speed_rpm = 1450\n",
    )
    motors = settings.load(config, BROKER).motors
    birth = motors["M1"].birth("M1")
    assert (birth.motor, birth.bearing, birth.interval_s, birth.clock) == ("M1", CATALOGUE["6205"], 5.0, "simulated")
    assert motors["M2"].bearing is not None
    assert motors["M2"].bearing.orders() == CATALOGUE["6205"].orders()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nod = 'a'", ["nod is unknown", "did you mean node?"]),
        ("[mqtt]\nkeepalive = 3", ["mqtt.keepalive is unknown", "keepalive_s"]),
        ("[http]\nport = 'x'", ["http.port"]),
        ("[http]\nport = 70000", ["http.port", "65535"]),
        ("http = 3", ["http"]),
        ("[http]\ntoken = 'short'", ["http.token", "16"]),
        ("node = 'a/b'", ["node"]),
        ("node = ", ["is not TOML"]),
        ("[policy]\nunknown_motor = 'maybe'", ["policy.unknown_motor", "reject"]),
        ("[motors.'a/b']", ["motors.a/b"]),
        ("[motors.M1]\nbearing = '99'\nnameplate = {rated_power_w = 1, rated_speed_rpm = 1}", ["'99'", "6205"]),
        ("[motors.M1]\nnameplate = {rated_power_w = 1, rated_sped_rpm = 1}", ["rated_sped_rpm", "rated_speed_rpm"]),
        ("[motors.M1]\nbering = '6205'\nnameplate = {rated_power_w = 1, rated_speed_rpm = 1}", ["bering", "bearing"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load(written(tmp_path, text), BROKER)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, ["MQTT_URL"]),
        ({"MQTT_KEEPALIVE_S": "9"}, ["MQTT_URL"]),
        ({"MQTT_URL": "http://h"}, ["mqtt://"]),
        ({"MQTT_URL": "mqtt://h:99999"}, ["port"]),
        ({"MQTT_URL": "mqtt://h/path"}, ["mqtt://"]),
        (BROKER | {"MOTORTWIN_HTP_PORT": "1"}, ["MOTORTWIN_HTP_PORT", "MOTORTWIN_HTTP_PORT"]),
        (BROKER | {"MQTT_PASSWORD": "a", "MQTT_PASSWORD_FILE": "b"}, ["not both"]),
        (BROKER | {"MQTT_PASSWORD_FILE": "/nonexistent/secret"}, ["/nonexistent/secret", "cannot be read"]),
        (BROKER | {"MQTT_CA_FILE": "/ca"}, ["mqtts://"]),
        (BROKER | {"MOTORTWIN_CONFIG": "/nonexistent/edge.toml"}, ["/nonexistent/edge.toml"]),
    ],
)
def test_a_wrong_environment_is_one_line_that_names_it(environment: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load(None, environment)
    for word in words:
        assert word in str(raised.value)


def test_every_setting_but_the_motors_can_come_from_the_environment() -> None:
    wanted = {"MOTORTWIN_NODE": "e", "MOTORTWIN_INBOX_BATCH": "7", "MOTORTWIN_POLICY_SILENCE_FACTOR": "4.5"}
    chosen = settings.load(None, BROKER | wanted)
    assert (chosen.node, chosen.inbox.batch, chosen.policy.silence_factor) == ("e", 7, 4.5)


def test_the_version_is_that_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[webhooks.a]\nformat = 'slack'", ["webhooks.a", "url"]),
        ("[webhooks.a]\nurl = 'file:///etc/passwd'", ["webhooks.a", "https://host"]),
        ("[webhooks.a]\nurl = 'http://u:geheim@h/'", ["webhooks.a", "token_file"]),
        ("[webhooks.a]\nurl = 'http://h/'\nformt = 'slack'", ["formt is unknown", "did you mean format?"]),
        ("[webhooks.a]\nurl = 'http://h/'\nconditions = ['bal']", ["webhooks.a.conditions", "'bal' is no condition"]),
        ("[webhooks.a]\nurl_file = '/nowhere/url'", ["url_file /nowhere/url cannot be read"]),
        ("[webhooks.'../a']\nurl = 'http://h/'", ["webhooks"]),
        ("[mail]\nhost = 'h'\nsender = 'a@b'", ["mail", "to is missing"]),
        ("[mail]\nhost = 'h'\nsender = 'a'\nto = 'c@d'", ["mail", "'a' is not an address"]),
        ("[mail]\nhost = 'h'\nsender = 'a@b'\nto = 'c@d'\nusername = 'u'", ["mail", "belong together"]),
        (
            "[mail]\nhost = 'h'\nsender = 'a@b'\nto = 'c@d'\nusername = 'u'\npassword = 'geheim'\nsecurity = 'none'",
            ["mail", "in the clear"],
        ),
        ("[homeassistant]\nprefix = 'a/+'", ["homeassistant.prefix"]),
        ("[http]\npublic_url = 'javascript:alert(1)'", ["http.public_url"]),
    ],
)
def test_a_wrong_way_to_people_is_named_and_no_secret_is(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(written(tmp_path, text + "\n"), BROKER)
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_ways_to_people_are_read_and_their_secrets_hidden(tmp_path: Path) -> None:
    config = written(tmp_path, "[webhooks.a]\nurl = 'https://h/geheim'\nsecret = 'geheim-geheim-geheim'\n")
    variables = {"HOST": "h", "SENDER": "a@b", "TO": "c@d, e@f", "USERNAME": "u", "PASSWORD": "geheim"}
    chosen = settings.load(config, BROKER | {f"MOTORTWIN_MAIL_{name}": text for name, text in variables.items()})
    assert chosen.mail.to == ("c@d", "e@f")
    assert (chosen.mail.port_number(), chosen.mail.secret()) == (587, "geheim")
    assert chosen.webhooks["a"].address() == "https://h/geheim"
    assert "geheim" not in chosen.shown() + repr(chosen)
