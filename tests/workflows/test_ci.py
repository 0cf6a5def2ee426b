"""``ci``, its quick job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.workflows.conftest import Runner


def test_a_pull_request_is_checked(runner: Runner) -> None:
    done = runner.run("ci", "pull_request", "--job", "check")
    assert done.returncode == 0, done.stdout[-3000:]
    for name in ("lint", "types", "workflows", "actions", "policy", "dockerfile"):
        assert f"ok      {name}" in done.stdout
