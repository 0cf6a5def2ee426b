"""``make bench``: figures of the edge beside a naive loop and the ONNX Runtime floor, in one run, as ratios.

The readings are those of the twin's healthy machines (``tests.bench.load``): no alert is raised, as on nearly every day
of a plant. Floor, naive loop and edge get the same ones.

A backlog of readings is laid up in a real mosquitto while the consumer is stopped (SIGSTOP); then it is let go and
timed until it has processed everything. The naive loop gets the same readings the same way. CPU a reading is the
service process's own, beside the graphs it runs on ready-made batches (``edge.vs_ort_floor``), and beside the three
models run one by one (``edge.vs_three_models``), which is what a service that does not merge them would start from. A
shared machine's speed wanders by a factor of two within a minute, so the floor is measured just before and just after
the edge works, three times; the figure is the median of the three ratios, its ``spread`` the largest less the smallest.

The steady load that latency is measured with comes from a lean sender (``tests.bench.sender``): a plant's sensors do
not run on the gateway, so what they take of its processor here is taken from the edge. ``load.cpu_share`` says how much
that is, ``load.late_p99_ms`` how late readings left; latency counts from when they did leave.

Writes ``build/bench.json`` (flat keys) and ``build/bench.png`` (cost a reading against motors), and prints the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench import backlog, floor, latency, twin

BUNDLE = Path("service/models")
MOTORS = 200
FLEETS = (10, 100, 1000, 10_000)
BATCH = 32
PAIRS = 3
FLOOR_S = 2.0
GATHER_MS = 10


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _own_floor_s() -> float:
    return floor.cpu_s_per_reading(BUNDLE, BATCH, merge=True, seconds=FLOOR_S)


def _throughput(folder: Path, count: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    runs = []
    for number in range(1, PAIRS + 1):
        _say(f"bench: cbor backlog of {count} readings, edge, between two floors ({number} of {PAIRS}) ...")
        runs.append(backlog.edge(folder, "cbor", count, motors=MOTORS, floor=_own_floor_s))
    three_us = floor.cpu_s_per_reading(BUNDLE, BATCH, merge=False) * 1e6
    _say(f"bench: json backlog of {count // 2} readings, edge ...")
    spoken = backlog.edge(folder, "json", count // 2, motors=MOTORS)
    for encoding, readings in (("cbor", count), ("json", count // 2)):
        _say(f"bench: {encoding} backlog of {readings} readings, naive loop ...")
        figures[f"naive.readings_per_s.{encoding}"] = backlog.naive(folder, BUNDLE, encoding, readings, motors=MOTORS)
    loop = figures["naive.readings_per_s.json"]
    rate, cost_us = median(run.per_s for run in runs), median(run.cpu_s for run in runs) * 1e6
    ratios = [run.floor_cpu_s / run.cpu_s for run in runs]
    return figures | {
        "floor.cpu_us_per_reading": median(run.floor_cpu_s for run in runs) * 1e6,
        "floor.three_models_us_per_reading": three_us,
        "edge.readings_per_s.cbor": rate,
        "edge.cpu_us_per_reading.cbor": cost_us,
        "edge.readings_per_s.json": spoken.per_s,
        "edge.cpu_us_per_reading.json": spoken.cpu_s * 1e6,
        "edge.vs_naive.cbor": rate / loop,
        "edge.vs_naive.json": spoken.per_s / loop,
        "edge.vs_naive_same_encoding.cbor": rate / figures["naive.readings_per_s.cbor"],
        "edge.vs_ort_floor": median(ratios),
        "edge.vs_ort_floor.spread": max(ratios) - min(ratios),
        "edge.vs_three_models": three_us / cost_us,
    }


def _fleets(folder: Path, count: int, plot: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    costs = []
    for motors in FLEETS:
        _say(f"bench: {max(count, motors)} readings of {motors} motors ...")
        worked = backlog.edge(folder, "cbor", max(count, motors), motors=motors)
        costs.append(worked.cpu_s * 1e6)
        figures[f"edge.cpu_us_per_reading.{motors}_motors"] = costs[-1]
        figures[f"edge.rss_after_backlog_mib.{motors}_motors"] = worked.rss_mib
    figures["edge.cost_10000_vs_10_motors"] = costs[-1] / costs[0]
    _draw(costs, plot)
    return figures


def _draw(costs_us: list[float], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.semilogx(FLEETS, costs_us, "o-")
    axes.set(xlabel="motors", ylabel="CPU a reading, µs", title="Cost of a reading, by number of motors")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _latency(folder: Path, seconds: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    gathering = {"MOTORTWIN_INBOX_GATHER_S": str(GATHER_MS / 1e3)}
    for motors, suffix, settings in (
        (MOTORS, "", {}),
        (MOTORS, f".gather_{GATHER_MS}_ms", gathering),
        (1000, ".1000_motors", {}),
    ):
        _say(f"bench: latency at {motors} motors x 1 Hz for {seconds} s {suffix} ...")
        answered = latency.steady(folder, seconds, motors=motors, **settings)
        figures[f"edge.p50_ms{suffix}"] = answered.p50_ms
        figures[f"edge.p99_ms{suffix}"] = answered.p99_ms
        figures[f"edge.cpu_share{suffix}"] = answered.cpu_share
        figures[f"edge.rss_mib{suffix}"] = answered.rss_mib
        figures[f"load.cpu_share{suffix}"] = answered.load_cpu_share
        figures[f"load.late_p99_ms{suffix}"] = answered.late_p99_ms
        if not suffix:
            figures["edge.start_s"] = answered.start_s
    return figures


def main() -> int:
    """Run everything and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=6000, help="readings of a CBOR backlog (JSON: half)")
    parser.add_argument("--latency-seconds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        figures = _throughput(folder, args.count) | _latency(folder, args.latency_seconds)
        figures |= _fleets(folder, args.count // 2, args.out.with_suffix(".png"))
    _say("bench: the twin, beside public motor simulators ...")
    figures |= twin.figures()
    args.out.write_text(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=2) + "\n")
    for key, value in figures.items():
        _say(f"{key:<38} {value:12.3f}")
    _say(f"bench: written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
