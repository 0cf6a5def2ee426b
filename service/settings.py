"""One TOML file and the environment, read into typed settings; the environment wins.

A field's variable is ``MOTORTWIN_`` and its path in capitals: ``http.port`` is ``MOTORTWIN_HTTP_PORT``. The broker's
may also be written ``MQTT_URL``, ``MQTT_USERNAME``, ``MQTT_PASSWORD``, ``MQTT_PASSWORD_FILE``. Unknown keys and unknown
``MOTORTWIN_`` variables are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, IPvAnyNetwork, SecretStr, ValidationError, field_validator, model_validator

from service.contract.bearing import CATALOGUE, BearingGeometry
from service.contract.messages import Birth, Nameplate
from service.contract.topics import ID_PATTERN
from service.errors import SettingsError
from service.homeassistant.options import HomeAssistantSettings
from service.notices.options import MailSettings, WebhookSettings
from service.sparkplug.options import SparkplugSettings
from service.table import Table as _Table
from service.table import readable as _readable
from service.window import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG_VARIABLE = "MOTORTWIN_CONFIG"
_PREFIX = "MOTORTWIN_"
_MQTT_PREFIX = "MQTT_"
_BUNDLE = Path(__file__).parent / "models"


def _state_folder() -> Path:
    """Where a program of this user keeps what it must remember (XDG base directory specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "motortwin"


class MqttSettings(_Table):
    """The broker and how we talk to it."""

    url: Annotated[str, Field(description="mqtt://host:1883 or mqtts://host:8883; user:password@ may precede the host")]
    username: str | None = None
    password: SecretStr | None = None
    password_file: Annotated[Path | None, Field(description="read instead of password; for container secrets")] = None
    ca_file: Annotated[Path | None, Field(description="mqtts: certificate authority; the system's where absent")] = None
    cert_file: Annotated[Path | None, Field(description="mqtts: our certificate, for mutual TLS")] = None
    key_file: Annotated[Path | None, Field(description="mqtts: the key of cert_file")] = None
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"], Field(description="auto: 5, and 3.1.1 where the broker does not take 5")
    ] = "auto"
    keepalive_s: Annotated[int, Field(ge=2, le=3600, description="a dead connection is noticed within twice this")] = 15
    session_expiry_s: Annotated[
        int, Field(ge=0, le=4_294_967_295, description="MQTT 5: how long the broker keeps readings for us while away")
    ] = 604_800
    receive_maximum: Annotated[
        int,
        Field(ge=1, le=65_535, description="MQTT 5: unacknowledged readings in flight; the rest waits at the broker"),
    ] = 512
    retry_max_s: Annotated[float, Field(gt=0, le=3600, description="longest wait between two attempts to connect")] = 15
    cloudevents: Annotated[bool, Field(description="MQTT 5: alerts carry CloudEvents' attributes beside them")] = False

    @model_validator(mode="before")
    @classmethod
    def _credentials_in_the_url_become_fields(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("url"), str):
            return raw
        parts = urlsplit(raw["url"])
        if parts.username is None and parts.password is None:
            return raw
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        bare = parts._replace(netloc=host + (f":{parts.port}" if parts.port else ""))
        found = {"username": parts.username, "password": parts.password}
        return {**{key: unquote(text) for key, text in found.items() if text}, **raw, "url": bare.geturl()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("url must read mqtt://host[:port] or mqtts://host[:port]")
        try:
            port_fits = parts.port is None or parts.port > 0
        except ValueError:
            port_fits = False
        if not port_fits:
            raise ValueError("url: the port must be 1..65535")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if self.password_file is not None:
            _readable(self.password_file, "password_file")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if parts.scheme == "mqtt" and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need an mqtts:// url")
        return self

    @property
    def tls(self) -> bool:
        """True for ``mqtts``."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port: 1883 or 8883 where the url names none."""
        return urlsplit(self.url).port or (8883 if self.tls else 1883)

    def secret(self) -> str | None:
        """The password, from whichever place it stands in; read anew, so that a rotated file is picked up."""
        if self.password_file is not None:
            return _readable(self.password_file, "password_file").rstrip("\r\n")
        return self.password.get_secret_value() if self.password is not None else None


class HttpSettings(_Table):
    """The page, the API and the metrics."""

    host: Annotated[str, Field(description="address to listen on; 0.0.0.0 for every interface")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="0: any free port; it is logged")] = 8080
    max_streams: Annotated[int, Field(ge=1, le=10_000, description="open pages that are served live")] = 64
    rate_per_s: Annotated[float, Field(ge=0, le=1e6, description="requests of one client; 0: without limit")] = 100.0
    burst: Annotated[int, Field(ge=1, le=1_000_000, description="requests that one client may make at once")] = 500
    guesses: Annotated[int, Field(ge=1, le=1000, description="wrong tokens of one client before it is locked out")] = 5
    guesses_per_min: Annotated[float, Field(gt=0, le=1000, description="wrong tokens it may show from then on")] = 2.0
    trusted_proxies: Annotated[
        tuple[IPvAnyNetwork, ...],
        Field(description="whose X-Forwarded-For names the client; in the environment separated by ','"),
    ] = ()
    token: Annotated[
        SecretStr | None, Field(min_length=16, description="who changes something must show it; none: nothing changes")
    ] = None
    token_file: Annotated[Path | None, Field(description="read instead of token; for container secrets")] = None
    public_url: Annotated[
        str | None, Field(pattern=r"^https?://[^\s\"'<>@]+$", description="where people find the page; for links to it")
    ] = None

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        return tuple(filter(None, raw.replace(" ", "").split(","))) if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        if self.token_file is not None and len(self.secret() or "") < 16:
            raise ValueError("token_file must hold at least 16 characters")
        return self

    def secret(self) -> str | None:
        """The token, from whichever place it stands in; read anew, so that a rotated file is picked up."""
        if self.token_file is not None:
            return _readable(self.token_file, "http.token_file").strip()
        return self.token.get_secret_value() if self.token is not None else None


class HistorianSettings(_Table):
    """What is kept of the past, and for how long."""

    interval_s: Annotated[
        float, Field(ge=0, le=86_400, description="least event time between two kept samples of a motor; 0: every one")
    ] = 60.0
    max_mib: Annotated[int, Field(ge=1, le=1_048_576, description="the oldest samples give way beyond this")] = 1024
    max_days: Annotated[float, Field(gt=0, le=36_500, description="what was heard longer ago is removed")] = 400.0
    window_mib: Annotated[int, Field(ge=0, le=4096, description="memory for the motors' last windows")] = 8


class MoneySettings(_Table):
    """What a stop costs, for the page's sums."""

    currency: Annotated[str, Field(min_length=1, max_length=8)] = "EUR"
    price_per_min: Annotated[float, Field(ge=0, le=1e9, description="cost of one minute of downtime")] = 150.0
    unplanned_stop_min: Annotated[
        float, Field(ge=0, le=1e6, description="downtime when a motor fails unannounced; an assumption, set your own")
    ] = 240.0
    planned_stop_min: Annotated[
        float, Field(ge=0, le=1e6, description="downtime of a planned repair; an assumption, set your own")
    ] = 60.0

    @model_validator(mode="after")
    def _planning_pays(self) -> Self:
        if self.planned_stop_min > self.unplanned_stop_min:
            raise ValueError("planned_stop_min must not exceed unplanned_stop_min")
        return self


class PolicySettings(_Table):
    """What is done with readings that do not fit."""

    unknown_motor: Annotated[
        Literal["reject", "generic"], Field(description="generic: default nameplate, no bearing faults named")
    ] = "reject"
    max_past_s: Annotated[float, Field(gt=0, description="older readings of a wall clock are refused")] = 604_800.0
    max_future_s: Annotated[float, Field(gt=0, description="readings further ahead are refused")] = 300.0
    silence_factor: Annotated[
        float, Field(ge=1, le=1000, description="a motor is silent after this many of its intervals")
    ] = 3.0

    def core(self) -> Policy:
        """What of it the core decides by."""
        return Policy(self.max_past_s, self.max_future_s, self.unknown_motor)


class InboxSettings(_Table):
    """How much may wait inside the service; what exceeds it waits at the broker, for as long as a burst lasts."""

    max_readings: Annotated[int, Field(ge=16, le=1_000_000)] = 2048
    max_mib: Annotated[int, Field(ge=2, le=65_536)] = 96
    patience_s: Annotated[
        float, Field(ge=0, le=86_400, description="full for longer: newer readings displace older ones of their motor")
    ] = 60.0
    batch: Annotated[int, Field(ge=1, le=4096, description="most readings that one step takes")] = 128
    gather_s: Annotated[float, Field(ge=0, le=1, description="a reading waits so long for company: spares CPU")] = 0.0


class TrustSettings(_Table):
    """Whose bundles are taken at run time; the installation's own is trusted as part of the installation."""

    keys: Annotated[
        tuple[Path, ...],
        Field(description="files with Ed25519 public keys, PEM or base64; in the environment separated by ':'"),
    ] = ()
    require_signature: Annotated[bool, Field(description="false: unsigned bundles are taken too")] = True

    @field_validator("keys", mode="before")
    @classmethod
    def _separated(cls, raw: Any) -> Any:
        return tuple(filter(None, raw.split(os.pathsep))) if isinstance(raw, str) else raw


class SwapSettings(_Table):
    """How a new bundle is tried before and after it takes over; see ``service.swap``."""

    min_readings: Annotated[int, Field(ge=1, le=1_000_000, description="fewer decide nothing, shadow and soak")] = 200
    shadow_max_s: Annotated[float, Field(gt=0, description="longest time beside the running bundle")] = 3600.0
    shadow_share: Annotated[float, Field(gt=0, le=1, description="of one core, for the shadow")] = 0.25
    soak_s: Annotated[float, Field(ge=0, description="probation after the swap")] = 600.0
    soak_max_s: Annotated[float, Field(gt=0, description="probation at most, when readings are few")] = 7200.0
    max_disagreement: Annotated[float, Field(ge=0, le=1, description="of readings, in diagnosis or alarm")] = 0.10
    max_slowdown: Annotated[float, Field(ge=1, description="of the graphs, and of a reading's p95")] = 3.0
    max_alert_ratio: Annotated[float, Field(ge=1, description="of alerts opened; five more are forgiven")] = 3.0
    trial_s: Annotated[float, Field(gt=0, le=600, description="for loading a bundle and its golden vectors")] = 60.0
    trial_memory_mib: Annotated[int, Field(ge=384, le=65_536, description="address space of the trial process")] = 768


class WatchdogSettings(_Table):
    """When the service gives itself up, to be started again."""

    run_s: Annotated[float, Field(ge=0.5, le=3600, description="longest time that one run of a graph may take")] = 4.0


class MotorSettings(_Table):
    """A motor that cannot introduce itself: the content of its birth message. It outranks a birth over MQTT."""

    name: Annotated[str, Field(max_length=128)] = ""
    nameplate: Nameplate
    bearing: Annotated[BearingGeometry | None, Field(description="geometry, or a catalogue name such as 6205")] = None
    interval_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    clock: Literal["wall", "simulated"] = "wall"

    @model_validator(mode="before")
    @classmethod
    def _catalogue_name(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("bearing"), str):
            name = raw["bearing"]
            if name not in CATALOGUE:
                raise ValueError(f"bearing {name!r} is not in the catalogue: {', '.join(CATALOGUE)}")
            return {**raw, "bearing": CATALOGUE[name]}
        return raw

    def birth(self, motor: str) -> Birth:
        """The birth message this table stands for."""
        return Birth(
            motor=motor,
            ts_s=time.time(),
            name=self.name,
            nameplate=self.nameplate,
            bearing=self.bearing,
            interval_s=self.interval_s,
            clock=self.clock,
        )


_NAMED: dict[str, type[BaseModel]] = {"motors": MotorSettings, "webhooks": WebhookSettings}
"""Tables of tables, by names that the operator gives; they stand in the file only."""


class Settings(_Table):
    """Everything that can be set."""

    node: Annotated[str, Field(pattern=ID_PATTERN, description="names this edge; also the MQTT client id")] = "edge"
    data_dir: Annotated[Path, Field(default_factory=_state_folder, description="what must survive a power cut")]
    bundle: Annotated[Path, Field(description="folder of the model bundle")] = _BUNDLE
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    mqtt: MqttSettings
    http: HttpSettings = HttpSettings()
    policy: PolicySettings = PolicySettings()
    inbox: InboxSettings = InboxSettings()
    trust: TrustSettings = TrustSettings()
    swap: SwapSettings = SwapSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    historian: HistorianSettings = HistorianSettings()
    money: MoneySettings = MoneySettings()
    homeassistant: HomeAssistantSettings = HomeAssistantSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    mail: MailSettings = MailSettings()
    webhooks: dict[Annotated[str, Field(pattern=ID_PATTERN)], WebhookSettings] = Field(default_factory=dict)
    motors: dict[Annotated[str, Field(pattern=ID_PATTERN)], MotorSettings] = Field(default_factory=dict)

    def shown(self) -> str:
        """The settings as JSON, secrets hidden."""
        return self.model_dump_json(indent=2)


def load(config: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML file (or ``MOTORTWIN_CONFIG``) and the environment; raises ``SettingsError``."""
    path = config or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    tree = _file(path) if path is not None else {}
    for keys, text in _from_environment(environment):
        table = tree
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{'.'.join(keys[:-1])} must be a table in {path}")
        table[keys[-1]] = text
    if isinstance(tree.setdefault("mqtt", {}), dict) and not tree["mqtt"].get("url"):
        raise SettingsError("mqtt.url is missing: set MQTT_URL=mqtt://host:1883, or [mqtt] url in the settings file")
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from error


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_readable(path, "settings file"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}") from error


def _leaves(table: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, _Table):
            yield from _leaves(kind, (*path, name))
        elif name not in _NAMED:
            yield (*path, name)


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    known = {_PREFIX + "_".join(keys).upper(): keys for keys in _leaves()}
    for name in environment:
        if name.startswith(_PREFIX) and name not in known and name != CONFIG_VARIABLE:
            raise SettingsError(f"environment variable {name} is unknown{_nearest(name, known)}")
    aliases = {_MQTT_PREFIX + keys[-1].upper(): keys for keys in known.values() if keys[0] == "mqtt"}
    for name, keys in (known | aliases).items():
        if environment.get(name):
            yield keys, environment[name]


def _nearest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"


def _one_line(error: ValidationError) -> str:
    """The first problem as field, what is wrong and, for an unknown key, the nearest known one."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    # a misspelt key is the likelier cause than the required one it leaves missing
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        return f"{where} is unknown{_nearest(str(first['loc'][-1]), _siblings(first['loc']))}"
    return f"{where or 'settings'}: {first['msg'].removeprefix('Value error, ')}"


def _siblings(loc: tuple[int | str, ...]) -> set[str]:
    """The keys that are known where an unknown one stood."""
    if loc[0] in _NAMED and len(loc) > 2:
        if loc[0] != "motors":
            return set(_NAMED[str(loc[0])].model_fields)
        deeper: dict[str, type[BaseModel]] = {"nameplate": Nameplate, "bearing": BearingGeometry}
        return set((deeper.get(str(loc[2]), MotorSettings) if len(loc) > 3 else MotorSettings).model_fields)
    parent: type[BaseModel] = Settings
    for part in loc[:-1]:
        kind = parent.model_fields[str(part)].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            parent = kind
    return set(parent.model_fields)
