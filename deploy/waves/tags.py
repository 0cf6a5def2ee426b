"""Where a wave's tag points. Moving it is one PUT of the very manifest that stands under the release's number."""

from __future__ import annotations

import http
import json
import time
import urllib.error
import urllib.request

from deploy.agent.content import Manifest, PullError
from deploy.agent.registry import Registry

TIMEOUT_S = 20.0
_DEFAULT = "application/vnd.oci.image.manifest.v1+json"


class Tags(Registry):
    """The tags of ``motortwin/release``."""

    def at(self, tag: str) -> Manifest | None:
        """What stands there; None where nothing does. Raises ``PullError``."""
        try:
            return self.manifest("release", tag)
        except PullError as error:
            cause = error.__cause__
            if isinstance(cause, urllib.error.HTTPError) and cause.code == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def move(self, tag: str, manifest: Manifest) -> None:
        """Afterwards the tag points there; raises ``PullError``."""
        url = self._url("release", "manifests", tag)
        kind = str(manifest.document.get("mediaType") or _DEFAULT)
        headers = {"Content-Type": kind}
        if self._basic:
            headers["Authorization"] = f"Basic {self._basic}"
        try:
            try:
                self._put(url, manifest.raw, headers)
            except urllib.error.HTTPError as error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != http.HTTPStatus.UNAUTHORIZED or not challenge.startswith("Bearer "):
                    raise
                headers["Authorization"] = f"Bearer {self._token(challenge, time.monotonic() + TIMEOUT_S)}"
                self._put(url, manifest.raw, headers)
        except (OSError, json.JSONDecodeError) as error:
            raise PullError(f"{url}: {error}") from error

    def _put(self, url: str, raw: bytes, headers: dict[str, str]) -> None:
        request = urllib.request.Request(url, data=raw, method="PUT", headers=headers)  # noqa: S310 - the scheme is ours
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()  # noqa: S310 - as above
