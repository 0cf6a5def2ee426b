"""All runs behind the report: jobs over worker processes, each result kept on disk so that a run resumes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import torch

from training.gan import tabular
from training.gan.downstream import DOMAINS, FAILURES, drawn
from training.gan.gallery import gallery
from training.gan.generator import Budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 140
"""Updates per generator: what lets the whole report fit into twenty minutes on two cores."""

VERSION = 1
"""Raise it when a change of the code changes results: kept results of other versions are not used."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        data: folder of the data sets.
        out: where results are kept and the report goes.
        domains: of ``downstream.DOMAINS``.
        failures: numbers of real failures K.
        seeds: paired draws per setting; at least 10 for intervals worth the name.
        budget: of every generator.
        table: folds of AI4I, at most ``tabular.FOLDS * tabular.REPEATS``; 0 leaves it out.
        workers: processes of one thread each.
    """

    data: Path
    out: Path
    domains: tuple[str, ...] = tuple(DOMAINS)
    failures: tuple[int, ...] = FAILURES
    seeds: int = 10
    budget: Budget = field(default_factory=lambda: Budget(steps=STEPS, check_every=STEPS // 4))
    table: int = tabular.FOLDS * tabular.REPEATS
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work; ``kind`` is draw, table, flaw or gallery."""

    kind: str
    domain: str = ""
    failures: int = 0
    seed: int = 0

    def name(self, budget: Budget) -> str:
        """File name of its result; depends on all that changes the result."""
        text = json.dumps([VERSION, asdict(self), asdict(budget)], sort_keys=True)
        return f"{self.kind}-{self.domain}-{self.failures}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def jobs(plan: Plan) -> list[Job]:
    """All jobs: pictures first, then draws, then the table."""
    found = [Job("gallery", domain, max(plan.failures)) for domain in plan.domains]
    if plan.table:
        found.append(Job("flaw"))
    # Seed by seed, so that what is on disk after an interruption is a smaller report, not half a table.
    for seed in range(plan.seeds):
        found += [Job("draw", domain, failures, seed) for failures in plan.failures for domain in plan.domains]
    found += [Job("table", seed=number) for number in range(plan.table)]
    return found


def run(plan: Plan, progress: Callable[[str], None]) -> dict[Job, Any]:
    """Runs what is not yet on disk; the results of all jobs. ``progress`` gets a line per finished job."""
    kept = plan.out / "results"
    kept.mkdir(parents=True, exist_ok=True)
    results: dict[Job, Any] = {}
    todo = []
    for job in jobs(plan):
        path = kept / f"{job.name(plan.budget)}.json"
        if path.exists():
            results[job] = json.loads(path.read_text())
        else:
            todo.append(job)
    total = len(results) + len(todo)
    if results:
        progress(f"{len(results)} of {total} results are kept from before in {kept}")
    began = time.monotonic()
    # Workers inherit it: small matrices gain nothing from threads, and threads of several workers fight for the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(plan.workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(done, job, plan.data, plan.budget): job for job in todo}
        for count, future in enumerate(as_completed(futures), start=1):
            job = futures[future]
            results[job] = future.result()
            path = kept / f"{job.name(plan.budget)}.json"
            part = path.with_suffix(".part")
            part.write_text(json.dumps(results[job]))
            part.replace(path)
            elapsed = time.monotonic() - began
            left = elapsed / count * (len(todo) - count)
            label = " ".join(str(part) for part in (job.kind, job.domain, job.failures or "", job.seed) if part != "")
            progress(f"[{len(results)}/{total}] {label:24s} {elapsed:5.0f} s, about {left:4.0f} s to go")
    return results


def _one_thread() -> None:
    torch.set_num_threads(1)


def done(job: Job, data: Path, budget: Budget) -> Any:
    """The result of a job as plain JSON."""
    if job.kind == "draw":
        draw = drawn(DOMAINS[job.domain], data, job.failures, job.seed, budget)
        return {
            "scores": [[*key, asdict(score)] for key, score in draw.scores.items()],
            "qualities": draw.qualities,
            "seconds": draw.seconds,
        }
    if job.kind == "table":
        return tabular.fold_scores(data, job.seed, budget)
    if job.kind == "flaw":
        return tabular.window_flaw(data)
    return gallery(DOMAINS[job.domain], data, job.failures, budget)
