"""The gate's report as a run's summary and as one comment of a pull request, against a server that speaks the API."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.hub import Hub, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "gate-report"
MARK = "<!-- motortwin gate -->"


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], str]]:
    with serving() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "build" / "gate").mkdir(parents=True)
    (tmp_path / "build" / "gate" / "gate.md").write_text("## Gate: passed\n")
    return tmp_path


def said(what: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, what],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def on(url: str, number: str = "7") -> dict[str, str]:
    return {"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "t0ken", "PULL_REQUEST": number}


def test_the_summary_gets_the_report_after_what_stands_there(folder: Path) -> None:
    (folder / "summary.md").write_text("before\n")
    assert said("summary", folder, GITHUB_STEP_SUMMARY=str(folder / "summary.md")).returncode == 0
    assert (folder / "summary.md").read_text() == "before\n## Gate: passed\n"
    assert said("summary", folder).stdout == "## Gate: passed\n"


def test_a_gate_that_left_no_report_is_told_too(tmp_path: Path) -> None:
    assert said("summary", tmp_path).stdout.startswith("## Gate: no verdict")


def test_a_pull_request_gets_one_comment_that_is_renewed(folder: Path, hub: tuple[type[Hub], str]) -> None:
    handler, url = hub
    handler.comments += [{"id": n + 1, "body": f"somebody's {n}"} for n in range(100)]
    assert said("comment", folder, **on(url)).stdout == "comment 101\n"
    (folder / "build" / "gate" / "gate.md").write_text("## Gate: refused\n")
    assert said("comment", folder, **on(url)).stdout == "comment 101\n"
    assert [one["body"] for one in handler.comments[100:]] == [f"{MARK}\n## Gate: refused\n"]
    assert set(handler.tokens) == {"Bearer t0ken"}


def test_a_long_report_is_cut_to_what_a_comment_may_hold(folder: Path, hub: tuple[type[Hub], str]) -> None:
    handler, url = hub
    (folder / "build" / "gate" / "gate.md").write_text("x" * 100_000)
    assert said("comment", folder, **on(url)).returncode == 0
    assert len(handler.comments[0]["body"]) < 65_536


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"PULL_REQUEST": "1/../2"}, "PULL_REQUEST='1/../2' is no number"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1"}, "Connection refused"),
    ],
)
def test_what_is_missing_is_one_line(
    folder: Path, hub: tuple[type[Hub], str], change: dict[str, str], complaint: str
) -> None:
    done = said("comment", folder, **(on(hub[1]) | change))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_token_that_may_not_write_is_one_line(folder: Path, hub: tuple[type[Hub], str]) -> None:
    hub[0].refuse = True
    done = said("comment", folder, **on(hub[1]))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "403" in done.stderr
    assert "t0ken" not in done.stderr


def test_another_word_is_answered_with_the_usage(folder: Path) -> None:
    done = said("shout", folder)
    assert done.returncode == 2
    assert "deploy/gate-report summary" in done.stderr
