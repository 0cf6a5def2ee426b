"""The report for the shift book: what it says, that nothing in it runs or loads, that it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import topics
from tests.system.conftest import wait_until
from tests.system.test_console import TOKEN, motor
from tests.system.test_page_views import fail, introduce

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.system.browser import Browser
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system
__all__ = ["motor"]


@pytest.fixture
def told(edge: Edge, watcher: Watcher, reading: Callable[..., Reading], motor: Any) -> Edge:
    """An edge with a failing motor of a hostile name, whose alert somebody has acknowledged."""
    edge.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_HISTORIAN_INTERVAL_S="0").start()
    introduce(watcher)
    introduce(watcher, "m2", "Fan 2")
    fail(watcher, reading)
    watcher.wait_for(topics.motor("m1", "health"), lambda body: body["seq"] == 3)
    assert motor("ack", "m1", "-m", "<b>bearing ordered</b>", "--by", "Anna & Bob").returncode == 0
    wait_until(lambda: len(edge.json("/v1/motors/m1/history")["columns"]["ts_s"]) == 4, "four samples")
    return edge


def test_the_fleets_report_names_motors_alerts_and_what_was_said(told: Edge) -> None:
    status, raw = told.answer("/v1/report?hours=8")
    text = raw.decode()
    assert status == 200
    assert "Fleet of edge" in text
    assert "1 alarm, 1 unheard" in text
    assert "Fan 2" in text
    assert "Alerts, last 8 hours" in text
    assert "inner race" in text
    assert "acknowledged by Anna &amp; Bob" in text
    assert "&lt;b&gt;bearing ordered&lt;/b&gt;" in text
    assert "36,000 EUR" in text, "one motor x 240 min x 150 EUR"


def test_a_motors_report_has_its_trends_and_its_plate(told: Edge) -> None:
    text = told.answer("/v1/motors/m1/report")[1].decode()
    assert text.count("<svg") >= 3
    assert "Winding: 83 °C (from 80 to 83)" in text
    assert "rated speed<td>" in text, "with its unit behind the number"
    assert "1450 1/min" in text
    assert told.answer("/v1/motors/nobody/report")[0] == 404
    assert told.answer("/v1/report?hours=0")[0] == 422


def test_nothing_in_a_report_runs_or_loads(told: Edge) -> None:
    for path in ("/v1/report", "/v1/motors/m1/report"):
        with urllib.request.urlopen(told.address + path, timeout=5.0) as answer:  # noqa: S310 - our own address
            policy, text = answer.headers["content-security-policy"], answer.read().decode()
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "<img" not in text
        assert "&lt;img src=x onerror=" in text
        assert not re.search(r"(src|href)=|<script|javascript:|url\(|@import| style=", text.replace("&lt;img src=", ""))


def test_a_report_opens_without_complaint_and_for_everybody(told: Edge, browse: Callable[[int, int], Browser]) -> None:
    browser = browse(1000, 1200)
    for path in ("/v1/report", "/v1/motors/m1/report"):
        browser.open(told.address + path)
        assert browser.run("return getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
        assert browser.run("return document.title").endswith("edge")
        assert browser.grave_violations() == []
        assert browser.log() == []


def test_it_is_written_at_the_terminal_and_prints_as_pdf(told: Edge, motor: Any, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = motor("report", "m1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(b"<!doctype html>")
    assert motor("report", "nobody").returncode == 4
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is absent; apt-get install chromium")
    pdf = tmp_path / "report.pdf"
    call = [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={pdf}", out.as_uri()]
    subprocess.run(call, check=True, capture_output=True, timeout=60)
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert told.process is not None
