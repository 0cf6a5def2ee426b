"""Real bearing recordings through everything: replay, real mosquitto, service, alerts as another client hears them.

``python -m tests.bench.recordings`` replays all CWRU 12 kHz drive-end fault recordings and the decimated normal one
below ``MOTOR_DATA`` and prints, per recording, which alerts opened and the mean probabilities. A fault counts as
*alerted* if any alert opened and as *named* if the alert of the labelled fault did. Writes ``build/recordings.json``.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.messages import Alert, Health
from simulator import playback, recording, replay
from simulator.listen import Ear
from simulator.publish import Broker, Link
from tests.bench.processes import HOST, Edge, Mosquitto

FAULTS = {"IR": "inner_race", "OR": "outer_race", "B": "ball"}
STALL_S = 20.0


def played(files: list[Path], broker: Mosquitto, edge: Edge) -> dict[str, dict[str, object]]:
    """Replays files one after another as motors of their own; what the edge said of each."""
    needs = replay.demand()
    heard: dict[str, dict[str, object]] = {}
    node = f"bench-{edge.http_port}"
    link_to = Broker(HOST, broker.port)
    health: dict[str, list[Health]] = collections.defaultdict(list)
    alerts: dict[str, list[str]] = collections.defaultdict(list)
    with Ear(link_to, node) as ear, Link(link_to) as link:
        for file in files:
            taken = recording.read(str(file))
            if taken.fs_hz is not None:
                taken = replay.resampled(taken, replay.target_fs_hz(taken.fs_hz, needs.fs_hz))
            motor = f"cwru-{file.stem}"
            before = link.counts.readings
            playback.play(
                taken, link, motor, boot="replay", bearing=CATALOGUE["6205"], rate_hz=200.0, channel="DE", needs=needs
            )
            expected, moved = link.counts.readings - before, time.monotonic()
            while len(health[motor]) < expected:
                news = ear.heard()
                for message in news:
                    if isinstance(message, Health):
                        health[message.motor].append(message)
                    elif isinstance(message, Alert) and message.state == "open":
                        alerts[message.motor].append(message.condition)
                moved = time.monotonic() if news else moved
                if time.monotonic() - moved > STALL_S:
                    raise TimeoutError(f"{file.name}: {len(health[motor])} of {expected} readings were answered")
                time.sleep(0.02)
            said = health[motor]
            faults = sorted({fault for message in said for fault in message.probabilities})
            heard[file.stem] = {
                "readings": expected,
                "alerts": sorted(set(alerts[motor])),
                "anomaly": round(float(np.mean([m.anomaly for m in said if m.anomaly is not None])), 3),
                "probability": {f: round(float(np.mean([m.probabilities[f] for m in said])), 3) for f in faults},
            }
        time.sleep(0.5)
        for message in ear.heard():
            if isinstance(message, Alert) and message.state == "open":
                entry = heard[message.motor.removeprefix("cwru-")]
                entry["alerts"] = sorted({*entry["alerts"], message.condition})
    return heard


def main() -> int:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recordings", description=__doc__)
    parser.add_argument("--only", nargs="*", help="file stems, e.g. 105 130 97; default all 60 and 97")
    parser.add_argument("--out", type=Path, default=Path("build/recordings.json"))
    args = parser.parse_args()
    folder = Path(os.environ.get("MOTOR_DATA", "data")) / "cwru"
    if not (folder / "cwru.tar.xz").is_file():
        parser.error(f"{folder}/cwru.tar.xz is missing; set MOTOR_DATA to the folder that holds cwru/")
    with (folder / "MANIFEST.csv").open(newline="") as table:
        labels = {Path(row["file"]).stem: row for row in csv.DictReader(table)}
    with tempfile.TemporaryDirectory(prefix="recordings-") as name:
        work = Path(name)
        with tarfile.open(folder / "cwru.tar.xz") as archive:
            archive.extractall(work, filter="data")
        (work / "MANIFEST.csv").write_bytes((folder / "MANIFEST.csv").read_bytes())
        for place in ("12k_DE", "normal"):
            (work / place / "MANIFEST.csv").write_bytes((folder / "MANIFEST.csv").read_bytes())
        files = [*sorted((work / "12k_DE").glob("*.mat")), work / "normal" / "97.mat"]
        files = [file for file in files if not args.only or file.stem in args.only]
        broker = Mosquitto(work)
        edge = Edge(broker, work)
        try:
            heard = played(files, broker, edge)
        finally:
            edge.stop()
            broker.stop()
    alerted = named = faulty = 0
    sums: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    for stem, said in heard.items():
        label = labels[stem]
        truth = FAULTS.get(label["fault_type"], "healthy")
        hit = truth in said["alerts"]
        if truth != "healthy":
            faulty, alerted, named = faulty + 1, alerted + bool(said["alerts"]), named + hit
            for key in (truth, f"{truth} {label['diameter_in']}"):
                sums[key][0] += 1
                sums[key][1] += bool(said["alerts"])
                sums[key][2] += hit
        said["truth"] = truth
        top = ", ".join(f"{f} {p:.2f}" for f, p in sorted(said["probability"].items(), key=lambda kv: -kv[1])[:3])
        sys.stdout.write(
            f"{stem:>5} {truth:<11}{label['diameter_in']:>6} in {label['load_hp']:>2} hp  "
            f"anomaly {said['anomaly']:5.2f}  alerts {','.join(said['alerts']) or '-':<24} {top}\n"
        )
    for key, (count, any_alert, right) in sorted(sums.items()):
        sys.stdout.write(f"{key:<20} recordings {count:3d}  alerted {any_alert:3d}  named {right:3d}\n")
    sys.stdout.write(f"recordings: faulty={faulty} alerted={alerted} named={named}\n")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(heard, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
