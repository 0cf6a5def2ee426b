"""What ``motor`` asks the edge. Answers are JSON; whatever goes wrong is an ``Exit`` with a remedy."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from service.console.exits import AWAY, REFUSED, USAGE, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

URL_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE = "MOTOR_URL", "MOTOR_TOKEN", "MOTOR_TOKEN_FILE"
_OWN = "MOTORTWIN_HTTP_"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing is bound
_PATIENCE_S = 30.0
_STREAM_PATIENCE_S = 40.0  # the edge says something every 3 s
_MAX_BYTES = 256 * 1024 * 1024


class Edge:
    """One edge, by its address; the token is shown only where something is changed."""

    def __init__(self, url: str, token: str | None, ca_file: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname, parts.port
        except ValueError as error:
            raise Exit(USAGE, f"{url!r} is not an address: {error}") from error
        if parts.scheme not in ("http", "https") or not self._host:
            raise Exit(USAGE, f"{url!r} must read http://host:port or https://host")
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._tls = parts.scheme == "https"
        self._token = token
        self._ca_file = ca_file

    def get(self, *steps: str, **query: Any) -> Any:
        """What a GET brings."""
        return self._json("GET", steps, query, None)

    def post(self, *steps: str, body: Any = None, timeout_s: float = _PATIENCE_S) -> Any:
        """What a POST brings; the token goes along."""
        return self._json("POST", steps, {}, body, timeout_s)

    def status(self, *steps: str) -> tuple[int, Any]:
        """Status and body of a GET that may fail and still say something."""
        with self._answer("GET", steps, {}, None, _PATIENCE_S) as answer:
            return answer.status, _decoded(answer.read(_MAX_BYTES))

    def lines(self, *steps: str, timeout_s: float = _STREAM_PATIENCE_S, **query: Any) -> Iterator[bytes]:
        """A long answer, line by line as it comes."""
        with self._answer("GET", steps, query, None, timeout_s) as answer:
            if answer.status != http.client.OK:
                raise self._refused(answer)
            try:
                while line := answer.readline(_MAX_BYTES):
                    yield line
            except (OSError, http.client.HTTPException) as error:
                raise self._away(error) from error

    def _json(
        self, method: str, steps: tuple[str, ...], query: Mapping[str, Any], body: Any, timeout_s: float = _PATIENCE_S
    ) -> Any:
        with self._answer(method, steps, query, body, timeout_s) as answer:
            if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
                raise self._refused(answer)
            try:
                return _decoded(answer.read(_MAX_BYTES))
            except (OSError, http.client.HTTPException) as error:
                raise self._away(error) from error

    @contextlib.contextmanager
    def _answer(
        self, method: str, steps: tuple[str, ...], query: Mapping[str, Any], body: Any, timeout_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        path = "/".join((self._path, *(quote(step, safe="") for step in steps))) + (f"?{asked}" if asked else "")
        headers = {"accept": "application/json"}
        if method != "GET" and self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["content-type"] = "application/json"
        connection = self._connection(timeout_s)
        try:
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise self._away(error) from error
            yield answer
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        assert self._host is not None
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise Exit(USAGE, f"--ca-file {self._ca_file} cannot be used: {error}") from error
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)

    def _away(self, error: Exception) -> Exit:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Exit(AWAY, f"{self.url} does not answer: {why}; start the edge, or name it with --url or {URL_VARIABLE}")

    def _refused(self, answer: http.client.HTTPResponse) -> Exit:
        body = _decoded(answer.read(_MAX_BYTES))
        problem = body.get("error") if isinstance(body, dict) else None
        if isinstance(problem, dict):
            text = f"{problem.get('message')}; {problem.get('remedy')}"
        else:
            text = str(problem or f"status {answer.status}; is {self.url} a motortwin edge?")
        if answer.status == http.client.UNAUTHORIZED:
            text = f"the token is missing or wrong; give --token-file FILE, {TOKEN_FILE_VARIABLE} or {TOKEN_VARIABLE}"
        return Exit(REFUSED, f"the edge refuses: {text}")


def address(url: str | None, environment: Mapping[str, str]) -> str:
    """Where the edge is: as asked for, from ``MOTOR_URL``, or on this machine as its own settings say."""
    if url or environment.get(URL_VARIABLE):
        return url or environment[URL_VARIABLE]
    host = environment.get(f"{_OWN}HOST") or "127.0.0.1"
    return f"http://{_ANYWHERE.get(host, host)}:{environment.get(f'{_OWN}PORT') or 8080}"


def token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The token, from a file or the environment; None where there is none."""
    named = file or next(
        (Path(environment[name]) for name in (TOKEN_FILE_VARIABLE, f"{_OWN}TOKEN_FILE") if environment.get(name)), None
    )
    if named is not None and not (file is None and environment.get(TOKEN_VARIABLE)):
        try:
            return named.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise Exit(USAGE, f"token file {named} cannot be read: {reason}") from error
    return environment.get(TOKEN_VARIABLE) or environment.get(f"{_OWN}TOKEN") or None


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw.strip() else None
    except ValueError:
        return None
