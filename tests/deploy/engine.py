"""A container engine's API on a socket, as far as the agent uses it: containers are rows of a table."""

from __future__ import annotations

import hashlib
import io
import json
import socketserver
import tarfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Engine:
    """Containers and images by name; ``on_start`` hears which image a container starts with.

    Attributes:
        calls: what was asked for, in order.
        refuse: path parts that are answered with an error.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.images: dict[str, dict[str, Any]] = {"sha256:old": {"Id": "sha256:old", "Config": {"Env": ["A=image"]}}}
        self.tags: dict[str, str] = {"motortwin/edge:latest": "sha256:old"}
        self.containers: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.refuse: tuple[str, ...] = ()
        self.containers[name] = self._container(
            "motortwin/edge:latest", "sha256:old", {"Labels": {"com.docker.compose.image": "sha256:old"}}
        )
        self.containers[name]["State"]["Running"] = True
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                status, document = engine.answer(self.command, self.path, self._body())
                raw = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_DELETE = _do  # noqa: N815 - the server's names

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                whole = b""
                while size := int(self.rfile.readline(), 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def log_message(self, *_: object) -> None:
                """Silence."""

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def get_request(self) -> tuple[Any, Any]:
                request, _ = super().get_request()
                return request, ("local", 0)

            def handle_error(self, *_: object) -> None:
                """A client that was killed in the middle."""

        self._server = Server(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()

    def running(self) -> str:
        """Id of the image under the edge's name, empty where that does not run."""
        found = self.containers.get(self.name)
        return str(found["Image"]) if found and found["State"]["Running"] else ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911 - a table of places
        """Status and document."""
        self.calls.append(f"{method} {path}")
        if any(part in path for part in self.refuse):
            return 500, {"message": "the engine will not"}
        place, _, query = path.partition("?")
        words = [urllib.parse.unquote(word) for word in place.strip("/").split("/")]
        asked = dict(urllib.parse.parse_qsl(query))
        if words[0] == "version":
            return 200, {"Arch": "amd64"}
        if words[:2] == ["images", "load"]:
            return 200, self._load(body)
        if words[0] == "images":
            return self._image(method, "/".join(words[1:]), asked)
        if words[:2] == ["containers", "create"]:
            given = json.loads(body)
            if asked["name"] in self.containers:
                return 409, {"message": "the name is taken"}
            self.containers[asked["name"]] = self._container(given["Image"], given["Image"], given)
            return 201, {}
        if words[0] == "containers" and words[1] in self.containers:
            return self._act(method, words[1], words[2] if len(words) > 2 else "", asked)
        return (200, {}) if words[0] == "networks" else (404, {"message": "no such thing"})

    def _container(self, reference: str, image: str, given: dict[str, Any]) -> dict[str, Any]:
        image = self.tags.get(image, image)
        networks = {f"plant_{name}": {"Aliases": ["edge"]} for name in ("field", "watch")}
        environment = given.get("Env", ["A=image", "B=given"])
        return {
            "Id": hashlib.sha256(f"{image}{len(self.calls)}".encode()).hexdigest(),
            "Image": image,
            "Config": {
                "Image": reference,
                "Labels": given.get("Labels"),
                "Env": environment,
            },
            "HostConfig": given.get("HostConfig", {"NetworkMode": "plant_field", "ReadonlyRootfs": True}),
            "NetworkSettings": {"Networks": networks},
            "State": {"Running": False, "Status": "created", "ExitCode": 0},
            "RestartCount": 0,
        }

    def _load(self, body: bytes) -> dict[str, Any]:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            content = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        (told,) = json.loads(content["manifest.json"])
        config = json.loads(content[told["Config"]])
        found = f"sha256:{hashlib.sha256(content[told['Config']]).hexdigest()}"
        assert all(layer in content for layer in told["Layers"])
        layers = config["rootfs"]["diff_ids"]
        self.images[found] = {"Id": found, "RootFS": {"Layers": layers}, "Config": config.get("config", {})}
        self.tags[told["RepoTags"][0]] = found
        return {"stream": "loaded"}

    def _image(self, method: str, name: str, asked: dict[str, str]) -> tuple[int, Any]:
        if method == "DELETE":
            return (200, {}) if self.tags.pop(name, None) else (404, {"message": "no such image"})
        if name.endswith("/tag"):
            self.tags[f"{asked['repo']}:{asked['tag']}"] = name.removesuffix("/tag")
            return 201, {}
        name = name.removesuffix("/json")
        found = self.images.get(self.tags.get(name, name))
        return (200, found) if found else (404, {"message": "no such image"})

    def _act(self, method: str, name: str, verb: str, asked: dict[str, str]) -> tuple[int, Any]:
        found = self.containers[name]
        if method == "DELETE":
            del self.containers[name]
        elif verb == "json":
            return 200, found
        elif verb == "rename":
            if asked["name"] in self.containers:
                return 409, {"message": "the name is taken"}
            self.containers[asked["name"]] = self.containers.pop(name)
        elif verb in ("start", "stop"):
            running = [other for other, one in self.containers.items() if one["State"]["Running"] and other != name]
            assert verb == "stop" or not running, f"{name} starts while {running} still uses the data folder"
            found["State"]["Running"] = verb == "start"
            found["State"]["Status"] = "running" if verb == "start" else "exited"
        return 204, {}
