"""What the workflows may do: call make or a script of deploy, with pinned actions, few rights and an environment."""

from __future__ import annotations

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
CALL = re.compile(r"make ([a-z0-9-]+)|(deploy/[a-z-]+)( (--)?[a-z0-9-]+)*")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
LINE = re.compile(r"uses: +(?P<action>[^\s@]+)@(?P<sha>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$")
HOSTED = {"ubuntu-24.04", "ubuntu-24.04-arm"}
TOUCHING = re.compile(r"deploy/(release (bundle|make)|registry (publish|wave)) ?.*")
"""What reaches an edge, or signs what an edge will run."""

Workflow = dict[str, Any]


def parsed(text: str) -> Workflow:
    workflow: Workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key "on" as true
    workflow["on"] = workflow.pop(True, workflow.get("on"))
    return workflow


def jobs(workflow: Workflow) -> dict[str, Any]:
    found: dict[str, Any] = workflow["jobs"]
    return found


def steps(workflow: Workflow) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs(workflow).items():
        for step in job.get("steps", ()):
            yield name, step


def triggers(workflow: Workflow) -> set[str]:
    on = workflow["on"]
    return {on} if isinstance(on, str) else set(on)


def runners(job: dict[str, Any]) -> set[str]:
    """Every machine that a job may run on, its matrix written out."""
    said = job.get("runs-on", "ubuntu-24.04")
    if isinstance(said, list):
        return set(said)
    match = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", said)
    if match is None:
        return {said}
    matrix = job["strategy"]["matrix"]
    return {*matrix.get(match[1], ()), *(one[match[1]] for one in matrix.get("include", ()) if match[1] in one)}


def rights_at_the_top(workflow: Workflow) -> list[str]:
    return [] if workflow.get("permissions", "unset") == {} else ["permissions: {} is not at the top"]


def rights_by_job(workflow: Workflow) -> list[str]:
    return [f"{name} states no permissions" for name, job in jobs(workflow).items() if "permissions" not in job]


def rare_rights(workflow: Workflow) -> list[str]:
    known = {"contents": {"read"}, "packages": {"write"}, "id-token": {"write"}, "attestations": {"write"}}
    known["pull-requests"] = {"write"}
    return [
        f"{name} has {right}: {level}"
        for name, job in jobs(workflow).items()
        for right, level in (job.get("permissions") or {}).items()
        if level not in known.get(right, set())
    ]


def one_call_a_step(workflow: Workflow) -> list[str]:
    return [
        f"{name} runs {step['run']!r}"
        for name, step in steps(workflow)
        if "run" in step and (not CALL.fullmatch(step["run"]) or "shell" in step or "working-directory" in step)
    ]


def pinned(workflow: Workflow) -> list[str]:
    used = [step["uses"] for _, step in steps(workflow) if "uses" in step]
    called = [job["uses"] for job in jobs(workflow).values() if "uses" in job]
    foreign = [one for one in called if not re.fullmatch(r"\./\.github/workflows/[a-z-]+\.yml", one)]
    return [one for one in used if not PINNED.fullmatch(one)] + foreign


def one_at_a_time(workflow: Workflow) -> list[str]:
    given = workflow.get("concurrency", {})
    return [] if {"group", "cancel-in-progress"} <= set(given) else ["no concurrency"]


def bounded(workflow: Workflow) -> list[str]:
    return [
        f"{name} has no timeout"
        for name, job in jobs(workflow).items()
        if "uses" not in job and not 0 < job.get("timeout-minutes", 0) <= 120
    ]


def hosted_machines(workflow: Workflow) -> list[str]:
    """Strangers' code, which a pull request may be, never reaches a machine of ours."""
    strange = {name: runners(job) - HOSTED for name, job in jobs(workflow).items()}
    return [f"{name} runs on {', '.join(sorted(found))}" for name, found in strange.items() if found]


def safe_triggers(workflow: Workflow) -> list[str]:
    return sorted(triggers(workflow) & {"pull_request_target", "workflow_run", "issue_comment"})


def no_credentials_kept(workflow: Workflow) -> list[str]:
    return [
        f"{name} keeps its token after checkout"
        for name, step in steps(workflow)
        if step.get("uses", "").startswith("actions/checkout@")
        and step.get("with", {}).get("persist-credentials") is not False
    ]


def environments(workflow: Workflow) -> list[str]:
    return [
        f"{name} runs '{step['run']}' outside of any environment"
        for name, step in steps(workflow)
        if TOUCHING.fullmatch(step.get("run", "")) and "environment" not in jobs(workflow)[name]
    ]


def secrets_in_environments(workflow: Workflow) -> list[str]:
    """The registry's token may be the run's own; every other secret belongs to an environment, or is handed by name."""
    return [
        f"{name} reads secrets.{named}"
        for name, job in jobs(workflow).items()
        for named in re.findall(r"secrets\.(\w+)", yaml.safe_dump(job))
        if named != "REGISTRY_TOKEN" and "environment" not in job and "uses" not in job
    ] + [f"{name} hands all secrets on" for name, job in jobs(workflow).items() if job.get("secrets") == "inherit"]


def nothing_of_a_stranger_deploys(workflow: Workflow) -> list[str]:
    """A job that holds an environment, or calls a workflow that does, never starts for a pull request."""
    if "pull_request" not in triggers(workflow):
        return []
    guard = "github.event_name != 'pull_request'"
    return [
        f"{name} may start for a pull request"
        for name, job in jobs(workflow).items()
        if ("environment" in job or "uses" in job) and guard not in str(job.get("if", ""))
    ]


RULES: tuple[Callable[[Workflow], list[str]], ...] = (
    rights_at_the_top,
    rights_by_job,
    rare_rights,
    one_call_a_step,
    pinned,
    one_at_a_time,
    bounded,
    hosted_machines,
    safe_triggers,
    no_credentials_kept,
    environments,
    secrets_in_environments,
    nothing_of_a_stranger_deploys,
)


def test_the_four_workflows_are_there() -> None:
    assert {file.stem for file in FILES} == {"ci", "train", "release", "deploy"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_workflow_keeps_every_rule(file: Path, rule: Callable[[Workflow], list[str]]) -> None:
    assert rule(parsed(file.read_text())) == []


SOUND = """
on: {push: {}, pull_request: {}}
permissions: {}
concurrency: {group: x, cancel-in-progress: true}
jobs:
  a:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {contents: read}
    steps:
      - uses: actions/checkout@0000000000000000000000000000000000000000
        with: {persist-credentials: false}
      - run: make test
  b:
    if: github.event_name != 'pull_request'
    environment: release
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {contents: read}
    steps:
      - run: deploy/release make
        env: {RELEASE_KEY: "${{ secrets.RELEASE_KEY }}"}
"""


def broken(*path: str | int, value: Any = None) -> Workflow:
    """``SOUND`` with one thing changed, or taken away."""
    workflow = deepcopy(parsed(SOUND))
    at: Any = workflow
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return workflow


@pytest.mark.parametrize(
    ("rule", "workflow"),
    [
        (rights_at_the_top, broken("permissions")),
        (rights_by_job, broken("jobs", "a", "permissions")),
        (rare_rights, broken("jobs", "a", "permissions", value={"contents": "write"})),
        (one_call_a_step, broken("jobs", "a", "steps", 1, "run", value="make test && curl example.org")),
        (one_call_a_step, broken("jobs", "a", "steps", 1, "run", value="make ${{ github.head_ref }}")),
        (one_call_a_step, broken("jobs", "a", "steps", 1, "run", value="pip install x")),
        (pinned, broken("jobs", "a", "steps", 0, "uses", value="actions/checkout@v4")),
        (one_at_a_time, broken("concurrency")),
        (bounded, broken("jobs", "a", "timeout-minutes")),
        (hosted_machines, broken("jobs", "a", "runs-on", value=["self-hosted", "linux"])),
        (safe_triggers, broken("on", value={"pull_request_target": {}})),
        (no_credentials_kept, broken("jobs", "a", "steps", 0, "with")),
        (environments, broken("jobs", "b", "environment")),
        (secrets_in_environments, broken("jobs", "b", "environment")),
        (secrets_in_environments, broken("jobs", "b", "secrets", value="inherit")),
        (nothing_of_a_stranger_deploys, broken("jobs", "b", "if")),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_workflow_that_breaks_a_rule_is_noticed(rule: Callable[[Workflow], list[str]], workflow: Workflow) -> None:
    assert rule(parsed(SOUND)) == []
    assert rule(workflow) != []


def test_every_pin_says_its_version_and_an_action_has_one_pin_only() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for file in FILES:
        for line in file.read_text().splitlines():
            if "uses:" in line and "./" not in line:
                match = LINE.search(line.strip())
                assert match, f"{file.name}: {line.strip()}"
                pins.setdefault(match["action"], set()).add((match["sha"], match["version"]))
    assert len(pins) >= 3
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_what_workflows_call_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = [
        CALL.fullmatch(step["run"]) for file in FILES for _, step in steps(parsed(file.read_text())) if "run" in step
    ]
    assert {match[1] for match in called if match and match[1]} - targets == set()
    scripts = {match[2] for match in called if match and match[2]}
    assert [script for script in scripts if not os.access(ROOT / script, os.X_OK)] == []


def test_updates_wait_for_a_week() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {one["package-ecosystem"] for one in updates} >= {"github-actions", "docker", "pip"}
    assert [one for one in updates if one.get("cooldown", {}).get("default-days", 0) < 7] == []
