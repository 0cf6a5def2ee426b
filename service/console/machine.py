"""What can be looked at on the edge's own machine, with its own settings: broker, disk, bundle, permissions, clock."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import ssl
import stat
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from service.console.exits import Exit
from service.console.finding import Finding
from service.errors import EdgeError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from service.console.edge import Edge
    from service.settings import Settings

_TIMEOUT_S = 5.0
_LEAST_FREE_MIB = 200
_MIB = 1_048_576
_ANSWERS = {
    1: "it does not take MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "user or password is wrong",
    5: "this user may not connect",
}
_UNSYNCHRONISED = 5
_TIMEX_BYTES = 512  # more than struct timex on any Linux


def examined(config: Path | None, environment: Mapping[str, str], edge: Edge) -> Iterator[Finding]:
    """All of it, or one finding where this machine has no settings of an edge."""
    yield _clock()
    if config is None and not any(
        environment.get(name) for name in ("MQTT_URL", "MOTORTWIN_MQTT_URL", "MOTORTWIN_CONFIG")
    ):
        yield Finding("settings", "skip", "no settings here", "run it where the edge runs, or give --config FILE")
        return
    from service import settings  # noqa: PLC0415 - only here is more than the standard library needed

    try:
        chosen = settings.load(config, environment)
    except SettingsError as error:
        yield Finding("settings", "fail", str(error), "correct the settings; the edge does not start with them")
        return
    yield Finding("settings", "ok", f"node {chosen.node}, broker {chosen.mqtt.url}")
    looks: dict[str, Callable[[Settings, Edge], Finding]] = {
        "broker": _broker,
        "disk": _disk,
        "bundle": _bundle,
        "permissions": _permissions,
    }
    for about, look in looks.items():
        try:
            yield look(chosen, edge)
        except (OSError, EdgeError) as error:
            yield Finding(about, "fail", str(error), "correct the settings or the file's permissions")


def _broker(chosen: Settings, _edge: Edge) -> Finding:
    mqtt = chosen.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        with socket.create_connection((mqtt.host, mqtt.port), _TIMEOUT_S) as plain:
            connection: socket.socket = plain
            if mqtt.tls:
                context = ssl.create_default_context(cafile=None if mqtt.ca_file is None else str(mqtt.ca_file))
                if mqtt.cert_file is not None:
                    context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
                connection = context.wrap_socket(plain, server_hostname=mqtt.host)
            with connection:
                connection.sendall(_connect(mqtt.username, mqtt.secret()))
                answer = connection.recv(4)
    except ssl.SSLError as error:
        return Finding(
            "broker", "fail", f"{where}: TLS fails: {error.reason or error}", "correct mqtt.ca_file or the URL"
        )
    except OSError as error:
        remedy = "start it, open the firewall, or correct MQTT_URL"
        return Finding("broker", "fail", f"{where} does not answer: {error.strerror or error}", remedy)
    if len(answer) != 4 or answer[0] != 0x20:
        return Finding(
            "broker", "fail", f"{where} answers, and not like a broker", "correct MQTT_URL (port, mqtt or mqtts)"
        )
    if answer[3]:
        said = _ANSWERS.get(answer[3], f"code {answer[3]}")
        return Finding("broker", "fail", f"{where} refuses: {said}", "correct MQTT_USERNAME and MQTT_PASSWORD_FILE")
    return Finding("broker", "ok", f"{where} lets this user in")


def _connect(username: str | None, password: str | None) -> bytes:
    """MQTT 3.1.1 CONNECT, OASIS standard section 3.1, as a client of a name of its own."""

    def text(raw: bytes) -> bytes:
        return struct.pack("!H", len(raw)) + raw

    flags = (
        0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None and username is not None else 0)
    )
    payload = text(f"motor-doctor-{secrets.token_hex(4)}".encode())
    if username is not None:
        payload += text(username.encode())
        if password is not None:
            payload += text(password.encode())
    rest = text(b"MQTT") + struct.pack("!BBH", 4, flags, 10) + payload
    length, size = bytearray(), len(rest)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return b"\x10" + bytes(length) + rest


def _disk(chosen: Settings, _edge: Edge) -> Finding:
    folder = chosen.data_dir
    if not folder.is_dir():
        return Finding("disk", "warn", f"{folder} does not exist yet", "the edge makes it at its first start")
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"motortwin")
    except OSError as error:
        remedy = f"give {folder} to the user that the edge runs as (in the image: 10001)"
        return Finding("disk", "fail", f"{folder} cannot be written: {error.strerror}", remedy)
    free_mib = shutil.disk_usage(folder).free // _MIB
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // _MIB
    wanted = max(chosen.historian.max_mib - held, 0) + _LEAST_FREE_MIB
    if free_mib < _LEAST_FREE_MIB:
        return Finding("disk", "fail", f"{folder}: {free_mib} MiB free", "free some, or lower historian.max_mib")
    if free_mib < wanted:
        text = f"{folder}: {free_mib} MiB free, and history may still take {wanted - _LEAST_FREE_MIB}"
        return Finding("disk", "warn", text, "lower historian.max_mib, or give it more room")
    return Finding("disk", "ok", f"{folder}: {held} MiB held, {free_mib} MiB free")


def _bundle(chosen: Settings, edge: Edge) -> Finding:
    from service import bundle  # noqa: PLC0415 - loads the graphs' runtime

    try:
        models = bundle.load(chosen.bundle)
    except EdgeError as error:
        return Finding("bundle", "fail", str(error), "install the bundle again, or correct MOTORTWIN_BUNDLE")
    digest = models.digest[:12]
    try:
        running = edge.get("v1", "model")["digest"][:12]
    except Exit:
        running = digest
    swapped = "" if running == digest else f"; the edge runs {running}, which was swapped in"
    return Finding("bundle", "ok", f"{models.manifest.name} {digest}, golden vectors agree{swapped}")


def _permissions(chosen: Settings, _edge: Edge) -> Finding:
    mail, http, mqtt = chosen.mail, chosen.http, chosen.mqtt
    files = [mqtt.password_file, mqtt.key_file, http.token_file, mail.password_file]
    for webhook in chosen.webhooks.values():
        files += [webhook.url_file, webhook.secret_file, webhook.token_file]
    secret = [file for file in files if file is not None]
    for file in secret:
        if not os.access(file, os.R_OK):
            return Finding("permissions", "fail", f"{file} cannot be read", "give it to the user that the edge runs as")
    everybody = [str(file) for file in secret if file.stat().st_mode & stat.S_IRWXO]
    if everybody:
        remedy = f"chmod o= {' '.join(everybody)}"
        return Finding("permissions", "warn", f"everybody on this machine may use {', '.join(everybody)}", remedy)
    if chosen.data_dir.is_dir() and chosen.data_dir.stat().st_mode & stat.S_IWOTH:
        text = f"everybody on this machine may write to {chosen.data_dir}"
        return Finding("permissions", "warn", text, f"chmod o-w {chosen.data_dir}")
    return Finding("permissions", "ok", f"{len(secret)} secret files, none for everybody")


def _clock() -> Finding:
    """Whether this machine's clock is plausible, and whether the kernel says that somebody sets it."""
    newest_s = Path(__file__).stat().st_mtime
    if time.time() < newest_s - 86_400:
        return Finding("clock", "fail", f"it is before this program was made: {time.ctime()}", "set it (NTP)")
    state = _kernel_clock()
    if state is None:
        return Finding("clock", "skip", f"{time.ctime()}; the kernel does not say whether it is synchronised")
    if state == _UNSYNCHRONISED:
        return Finding("clock", "warn", f"{time.ctime()}; nothing keeps it right", "run an NTP client, such as chrony")
    return Finding("clock", "ok", f"{time.ctime()}, synchronised")


def _kernel_clock() -> int | None:
    """``adjtimex(2)`` with nothing to change: the clock's state, None where it may not be asked."""
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state
