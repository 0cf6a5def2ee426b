"""Headless Chromium over the WebDriver protocol, and axe-core, which looks for what some people could not use.

axe-core 4.14.1 (MPL-2.0, beside this file) is injected by the tests; it is no part of the page.
"""

from __future__ import annotations

import base64
import gzip
import json
import urllib.request
from pathlib import Path
from typing import Any

AXE = Path(__file__).with_name("axe-4.14.1.min.js.gz")
_GRAVE = ("serious", "critical")
_RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((v) => [
    v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary)])),
  (error) => done([["critical", "axe itself failed", [String(error)]]]),
);
"""


class Browser:
    """One window."""

    def __init__(self, port: int, width: int, height: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {
            "args": [
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--js-flags=--expose-gc", "--enable-precise-memory-info"),
            ]
        }
        metrics = {"width": width, "height": height, "pixelRatio": 1}
        options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = self._call("POST", "/session", {"capabilities": wanted})["sessionId"]

    def open(self, url: str) -> None:
        """Go to a page."""
        self._call("POST", f"/session/{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"/session/{self._session}/execute/sync", body)

    def log(self) -> list[str]:
        """What the page complained of since the last call."""
        return [
            entry["message"] for entry in self._call("POST", f"/session/{self._session}/se/log", {"type": "browser"})
        ]

    def screenshot(self) -> bytes:
        """A PNG of the page."""
        return base64.b64decode(self._call("GET", f"/session/{self._session}/screenshot"))

    def text(self, selector: str) -> str:
        """What a person reads in the first element of a selector; empty where there is none."""
        found: str = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return found

    def press(self, key: str) -> None:
        """One key, wherever the focus is."""
        actions = [
            {"type": "key", "id": "keys", "actions": [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]}
        ]
        self._call("POST", f"/session/{self._session}/actions", {"actions": actions})

    def grave_violations(self) -> list[Any]:
        """What axe-core calls serious or critical in the page as it stands."""
        if not self.run("return Boolean(window.axe)"):
            self.run(gzip.decompress(AXE.read_bytes()).decode())
        found = self._call("POST", f"/session/{self._session}/execute/async", {"script": _RUN_AXE, "args": []})
        return [violation for violation in found if violation[0] in _GRAVE]

    def close(self) -> None:
        """End the session."""
        self._call("DELETE", f"/session/{self._session}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._address + path, data, headers, method=method)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())["value"]
