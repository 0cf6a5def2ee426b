"""What stays the same however long the edge runs: memory, file descriptors, threads."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from tests.bench.load import Publisher, Readings, births
from tests.conftest import ROOT, Broker
from tests.system.conftest import Edge, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.system

MOTORS = 200
BURST = 5
"""Readings of every motor at once before anything is judged: the largest batch that a step takes, and its memory."""


class Sample(NamedTuple):
    """What the kernel says of the process."""

    at_s: float
    rss_mib: float
    files: list[str]
    threads: int


def open_files(process: Path) -> list[str]:
    """What each descriptor leads to; sockets and pipes without their numbers, which change when one is opened anew."""
    found = []
    for fd in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(re.sub(r"\[\d+\]$", "", str(fd.readlink())))
    return sorted(found)


def unlike(sample: Sample, first: Sample) -> list[str]:
    """Files that one of two samples has oftener than the other."""
    now, then = Counter(sample.files), Counter(first.files)
    return sorted((now - then) + (then - now))


def sampled(pid: int) -> Sample:
    """The process now; of its files the fewest of five looks, as one may be open for an instant only."""
    process = Path(f"/proc/{pid}")
    looks = []
    for _ in range(5):
        looks.append(open_files(process))
        time.sleep(0.01)
    status = (process / "status").read_text()
    found = {key: int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1]) for key in ("VmRSS", "Threads")}
    return Sample(time.monotonic(), found["VmRSS"] / 1024.0, min(looks, key=len), found["Threads"])


def slope(t: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Least-squares slope and the half-width of its 95 % interval for errors that are alike for a while.

    Newey and West (1987), Bartlett weights over n^(1/2) lags: a resident set moves in steps that last, so the
    errors' own time is longer than the usual 4 (n / 100)^(2/9).
    """
    x = t - t.mean()
    b = float(x @ (y - y.mean()) / (x @ x))
    u = x * (y - y.mean() - b * x)
    lags = math.isqrt(len(t))
    spread = u @ u + 2.0 * sum((1.0 - lag / (lags + 1)) * (u[lag:] @ u[:-lag]) for lag in range(1, lags + 1))
    return b, 1.96 * math.sqrt(spread) / float(x @ x)


def test_the_interval_of_the_slope_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    t, held = np.arange(300.0), 0
    for _ in range(400):
        errors = np.zeros(300)
        for step in range(1, 300):
            errors[step] = 0.7 * errors[step - 1] + rng.normal()
        b, half = slope(t, 0.01 * t + errors)
        held += abs(b - 0.01) < half
    assert 0.84 < held / 400 < 0.97


@pytest.fixture
def listening(tmp_path: Path, broker: Broker) -> Iterator[Edge]:
    """An edge with the shipped models."""
    edge = Edge(tmp_path, ROOT / "service" / "models", broker.url)
    yield edge
    edge.kill()


@pytest.mark.parametrize(
    ("warm_s", "run_s", "every_s"), [(10.0, 20.0, 1.0), pytest.param(2400.0, 3600.0, 10.0, marks=pytest.mark.soak)]
)
def test_two_hundred_motors_cost_the_same_memory_files_and_threads_all_the_time(
    listening: Edge, broker: Broker, warm_s: float, run_s: float, every_s: float
) -> None:
    """Memory is judged in the hour only: seconds cannot tell a leak from a heap that finds its size.

    It finds it by bursts: a batch larger than all before leaves its mark in every heap, whenever the machine is busy
    elsewhere for a moment. So the largest comes first. And it finds it slowly: what lasts and what passes share its
    pages, which takes some half an hour to even out.
    """
    publisher, readings = Publisher("127.0.0.1", broker.port), Readings("cbor", boot="b1")
    publisher.publish_all(births(MOTORS), retain=True)
    edge = listening.start()
    assert edge.process is not None
    samples: list[Sample] = []
    for seq in range(BURST):
        for motor in range(MOTORS):
            publisher.publish(*readings.payload(motor, seq))
    sent = BURST * MOTORS
    wait_until(lambda: edge.metric("motortwin_readings_total") == sent, "the burst answered", timeout_s=30.0)
    began = time.monotonic()
    for second in range(int(warm_s + run_s)):
        for motor in range(MOTORS):
            time.sleep(max(0.0, began + second + motor / MOTORS - time.monotonic()))
            publisher.publish(*readings.payload(motor, BURST + second))
            sent += 1
        if second >= warm_s and (second - warm_s) % every_s < 1.0:
            samples.append(sampled(edge.process.pid))
            edge.answer("/metrics")
    publisher.drain()
    wait_until(lambda: edge.metric("motortwin_readings_total") == sent, f"all {sent} readings answered")
    publisher.close()
    rss_mib = np.array([sample.rss_mib for sample in samples])
    t_h = (np.array([sample.at_s for sample in samples]) - samples[0].at_s) / 3600.0
    mib_per_h, half = slope(t_h, rss_mib)
    figures = {
        "motors": MOTORS,
        "readings": sent,
        "hours": float(t_h[-1]),
        "rss_mib": [float(rss_mib[0]), float(rss_mib[-1])],
        "rss_slope_mib_per_h": [mib_per_h, mib_per_h - half, mib_per_h + half],
        "fds": sorted({len(sample.files) for sample in samples}),
        "files_of_some_samples_only": sorted({name for sample in samples for name in unlike(sample, samples[0])}),
        "threads": sorted({sample.threads for sample in samples}),
    }
    folder = ROOT / "build" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"endurance-{run_s:.0f}.json").write_text(
        json.dumps(
            figures
            | {"samples": [[sample.at_s, sample.rss_mib, len(sample.files), sample.threads] for sample in samples]},
            indent=1,
        )
        + "\n"
    )
    assert figures["threads"] == [samples[0].threads]
    assert figures["fds"] == [len(samples[0].files)], figures["files_of_some_samples_only"]
    if run_s >= 3600.0:
        assert mib_per_h - half <= 0.0, f"resident memory grows: {mib_per_h:.2f} +- {half:.2f} MiB/h"
