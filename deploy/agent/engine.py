"""The container engine, over its API's socket: the only module that knows it.

Whoever may talk to that socket is root on the machine. The agent uses it for one container by its name: nothing that
comes from a release reaches the engine but the image itself, which a pinned key has signed.

Replacing goes through names, so that whoever dies in between finds what stands there and goes on: ``NAME-next`` is made
of ``NAME``'s own settings while that one still runs; then ``NAME`` is stopped and becomes ``NAME-before``, and the next
takes its name and starts. ``keep`` removes the one before, ``restore`` brings it back.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE = "org.motortwin.release"
"""Label of a container that an agent made: the digest of its release."""
COMPOSE_IMAGE = "com.docker.compose.image"
"""What compose compares before it makes a container anew."""
TIMEOUT_S, LOAD_S = 60.0, 900.0
STOP_S, REMOVE_S = 20, 5
"""A container is given so long to end in good order; one that did not do well, less."""
_MAX_ANSWER_BYTES = 8 << 20
_ABSENT, _CONFLICT, _UNCHANGED = 404, 409, 304


class EngineError(Exception):
    """The engine refuses; one line."""


class EngineSilent(EngineError):  # noqa: N818 - says what it is
    """The engine does not answer."""


class _Line(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One engine, and the container that it is asked about.

    Args:
        socket_path: of its API.
        name: of the container.
    """

    def __init__(self, socket_path: str, name: str) -> None:
        self._path, self._name = socket_path, name
        self._next, self._before = f"{name}-next", f"{name}-before"

    def processor(self) -> str:
        """``amd64`` or ``arm64``."""
        return str(self._call("GET", "/version")["Arch"])

    def load(self, archive: Iterator[bytes], tag: str, diff_ids: tuple[str, ...]) -> str:
        """Takes an image in; its id. Raises ``EngineError`` where it has other layers than it should."""
        told = self._call("POST", "/images/load?quiet=1", archive, timeout_s=LOAD_S)
        found = self._call("GET", f"/images/{quote(tag, safe=':/')}/json", absent={})
        if tuple(found.get("RootFS", {}).get("Layers") or ()) != diff_ids:
            raise EngineError(f"the engine did not take the image in: {str(told)[:200]}")
        return str(found["Id"])

    def standing(self) -> dict[str, Any] | None:
        """What the engine knows of the container; None where there is none."""
        return self._container(self._name)

    def replace(self, image: str, release: str) -> None:
        """The container runs this image afterwards, or an ``EngineError`` says why it does not start."""
        now = self._container(self._name)
        if now is None or now["Config"]["Labels"].get(RELEASE) != release:
            pattern = now or self._container(self._before)
            if pattern is None:
                raise EngineError(f"there is no container {self._name}")
            # once the old one has given its name away, the next is complete
            if now is not None or self._container(self._next) is None:
                self._remove(self._next)
                self._make(pattern, image, release)
            if now is not None:
                self._stop(self._name, STOP_S)
                self._rename(self._name, self._before)
            self._rename(self._next, self._name)
        self._start(self._name)

    def restore(self, release: str, previous: str) -> None:
        """The container from before this release runs again; nothing changes where it does already.

        Where somebody has removed it meanwhile, one is made of the previous image.
        """
        now, before = self._container(self._name), self._container(self._before)
        ours = now is not None and now["Config"]["Labels"].get(RELEASE) == release
        if before is None and now is not None and ours:
            self._remove(self._next)
            self._make(now, previous, "")
            self._rename(self._next, self._before)
            before = now
        if ours:
            self._remove(self._name)
        if before is not None and (ours or now is None):
            self._rename(self._before, self._name)
        self._remove(self._next)
        self._start(self._name)

    def keep(self) -> None:
        """The one before is done for. Its image's name means the new one from now on, so that compose leaves it."""
        before, now = self._container(self._before), self._container(self._name)
        if before is not None and now is not None:
            repository, _, tag = before["Config"]["Image"].rpartition(":")
            if repository and "@" not in before["Config"]["Image"] and "/" not in tag:
                query = urlencode({"repo": repository, "tag": tag})
                self._call("POST", f"/images/{now['Image']}/tag?{query}")
        self._remove(self._before)

    def forget(self, image: str) -> None:
        """Removes an image, unless something else needs it."""
        self._call("DELETE", f"/images/{quote(image, safe=':')}", absent={}, fine=(_CONFLICT,))

    def _make(self, pattern: dict[str, Any], image: str, release: str) -> None:
        """``NAME-next``, with the settings that somebody gave the old one; the image's own come from the new image."""
        theirs = self._call("GET", f"/images/{pattern['Image']}/json", absent={}).get("Config") or {}
        config = _given(pattern["Config"], theirs)
        if str(pattern["Id"]).startswith(str(config.get("Hostname") or "-")):
            del config["Hostname"]
        labels = {**config.get("Labels", {}), RELEASE: release}
        if COMPOSE_IMAGE in labels:
            labels[COMPOSE_IMAGE] = image
        networks = {
            name: {
                "IPAMConfig": told.get("IPAMConfig"),
                "Links": told.get("Links"),
                "Aliases": [alias for alias in told.get("Aliases") or [] if not str(pattern["Id"]).startswith(alias)],
            }
            for name, told in pattern["NetworkSettings"]["Networks"].items()
        }
        mode = pattern["HostConfig"]["NetworkMode"]
        first = {mode: networks.pop(mode)} if mode in networks and mode not in ("host", "none", "bridge") else {}
        body = {
            **config,
            "Image": image,
            "Labels": labels,
            "HostConfig": pattern["HostConfig"],
            "NetworkingConfig": {"EndpointsConfig": first},
        }
        self._call("POST", f"/containers/create?name={quote(self._next)}", body)
        if first:
            for name, settings in networks.items():
                link = {"Container": self._next, "EndpointConfig": settings}
                self._call("POST", f"/networks/{quote(name)}/connect", link)

    def _container(self, name: str) -> dict[str, Any] | None:
        found = self._call("GET", f"/containers/{quote(name)}/json", absent={})
        if not found:
            return None
        found["Config"]["Labels"] = found["Config"].get("Labels") or {}
        return found

    def _start(self, name: str) -> None:
        self._call("POST", f"/containers/{quote(name)}/start", fine=(_UNCHANGED,))

    def _stop(self, name: str, within_s: int) -> None:
        self._call("POST", f"/containers/{quote(name)}/stop?t={within_s}", fine=(_UNCHANGED,), timeout_s=TIMEOUT_S)

    def _rename(self, name: str, new: str) -> None:
        self._call("POST", f"/containers/{quote(name)}/rename?{urlencode({'name': new})}")

    def _remove(self, name: str) -> None:
        # in good order: it may be writing to the data folder
        if self._container(name) is not None:
            self._stop(name, REMOVE_S)
            self._call("DELETE", f"/containers/{quote(name)}?force=1", absent={})

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | Iterator[bytes] | None = None,
        *,
        absent: dict[str, Any] | None = None,
        fine: tuple[int, ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """The answer as an object; ``absent`` where the engine knows no such thing."""
        line = _Line(self._path, timeout_s)
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = "application/json" if isinstance(body, dict) else "application/x-tar"
        try:
            line.request(method, path, body=sent, headers={"Content-Type": kind})
            answer = line.getresponse()
            raw = answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise EngineSilent(f"the engine at {self._path}: {error or type(error).__name__}") from error
        finally:
            line.close()
        if answer.status == _ABSENT and absent is not None:
            return absent
        if answer.status >= 400 and answer.status not in fine:
            raise EngineError(f"the engine: {_message(raw)}")
        return _object(raw)


def _given(config: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """What a container was given beside its image's own settings, so that the next image may bring its own."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        theirs = image.get(key)
        if key == "Env":
            kept[key] = [line for line in value or [] if line not in (theirs or [])]
        elif key in ("Labels", "ExposedPorts", "Volumes"):
            kept[key] = {name: inner for name, inner in (value or {}).items() if (theirs or {}).get(name) != inner}
        elif key not in ("Image", "MacAddress") and value != theirs:
            kept[key] = value
    return kept


def _message(raw: bytes) -> str:
    return str(_object(raw).get("message") or raw[:200].decode(errors="replace")).splitlines()[0][:200]


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:  # progress, line by line
        return {"text": raw[-400:].decode(errors="replace")}
    return document if isinstance(document, dict) else {"list": document}
