"""``python -m tests.pictures``: the README's pictures of the page anew, from the demo and the bundle of this tree.

The demo's twin repeats itself by its seed, but its clock begins now and the browser looks at it at some moment: the
same motors with the same faults, not the same bytes. Needs mosquitto, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, free_port
from tests.system.browser import Browser

ASSETS = ROOT / ".github" / "assets"
MOTOR = "pump-3"
START_S, SETTLE_S = 60.0, 5.0


def main() -> int:
    """Exit status 0, 1 with one line where the demo or the browser does not start."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder (default: the README's)")
    parser.add_argument("--after", type=float, default=34.0, help="seconds of the demo before they are taken")
    options = parser.parse_args()
    driver = shutil.which("chromedriver")
    if driver is None:
        sys.stderr.write("chromedriver is absent; apt-get install chromium-driver\n")
        return 1
    with tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, "-m", "simulator", "demo", "--seconds", str(options.after + 60.0)]
        own = {**os.environ, "PYTHONUNBUFFERED": "1"}
        demo = subprocess.Popen(command, cwd=ROOT, env=own, stdout=said, stderr=said)
        port = free_port()
        browser = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            page = _page(said.fileno(), time.monotonic() + START_S)
            time.sleep(options.after)
            for name, width, height, view in (
                ("page-motor", 1280, 980, f"#/motor/{MOTOR}"),
                ("page-phone", 360, 740, "#/"),
            ):
                (options.out / f"{name}.png").write_bytes(_picture(port, width, height, page + view))
        except TimeoutError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            for process in (demo, browser):
                process.terminate()
                process.wait(30.0)
    return 0


def _page(descriptor: int, deadline_s: float) -> str:
    """The address that the demo prints."""
    while time.monotonic() < deadline_s:
        found = re.search(rb"page (http://\S+)", os.pread(descriptor, 65_536, 0))
        if found is not None:
            return found[1].decode()
        time.sleep(0.2)
    raise TimeoutError("the demo printed no address of its page; run it by hand: make demo")


def _picture(port: int, width: int, height: int, address: str) -> bytes:
    browser = Browser(port, width, height)
    try:
        browser.open(address)
        browser.run("document.documentElement.dataset.theme = 'light'")
        time.sleep(SETTLE_S)
        return browser.screenshot()
    finally:
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
