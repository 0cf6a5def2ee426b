"""``make bench``: figures of the edge beside a naive loop and the ONNX Runtime floor, in one run, as ratios.

A backlog of readings is laid up in a real mosquitto while the consumer is stopped (SIGSTOP); then it is let go and
timed until it has processed everything. The naive loop gets the same readings the same way. CPU a reading is the
service process's own, beside the same three graphs on ready-made batches.

Writes ``build/bench.json`` (flat keys) and prints the table.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt

from service.contract import topics
from tests.bench import floor, twin
from tests.bench.load import Publisher, Readings, births, motor_id
from tests.bench.processes import HOST, Edge, Mosquitto

BUNDLE = Path("service/models")
MOTORS = 200
BATCH = 32
STALL_S = 120.0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fill(broker: Mosquitto, encoding: str, count: int, boot: str) -> None:
    publisher = Publisher(HOST, broker.port)
    readings = Readings(encoding, boot=boot)
    for index in range(count):
        publisher.publish(*readings.payload(index % MOTORS, index // MOTORS))
    publisher.drain()
    publisher.close()


def edge_throughput(folder: Path, encoding: str, count: int) -> tuple[float, float, float]:
    """``(readings/s, CPU s a reading, RSS MiB)`` of the service working off a backlog of ``count`` readings."""
    broker = Mosquitto(folder)
    announcer = Publisher(HOST, broker.port)
    announcer.publish_all(births(MOTORS), retain=True)
    announcer.close()
    edge = Edge(broker, folder)
    try:
        _fill(broker, encoding, MOTORS, "warm")
        _await(edge, MOTORS)
        edge.child.send_signal(signal.SIGSTOP)
        _fill(broker, encoding, count, "bench")
        cpu_s, started = edge.cpu_s(), time.perf_counter()
        edge.child.send_signal(signal.SIGCONT)
        finished = _await(edge, MOTORS + count)
        lost = edge.metric("motortwin_rejected_total") + edge.metric("motortwin_shed_total")
        if lost:
            raise RuntimeError(f"the service refused or shed {lost:.0f} readings; the figure would be a lie")
        return count / (finished - started), (edge.cpu_s() - cpu_s) / count, edge.rss_mib()
    finally:
        edge.stop()
        broker.stop()


def _await(edge: Edge, total: int) -> float:
    seen, moved = 0.0, time.monotonic()
    while seen < total:
        edge.alive()
        now = edge.metric("motortwin_readings_total")
        if now > seen:
            seen, moved = now, time.monotonic()
        elif time.monotonic() - moved > STALL_S:
            raise TimeoutError(f"the service stands still at {seen:.0f} of {total} readings")
        time.sleep(0.05)
    return time.perf_counter()


def naive_throughput(folder: Path, encoding: str, count: int) -> float:
    """Readings/s of the naive loop working off the same backlog."""
    broker = Mosquitto(folder)
    command = [sys.executable, "-m", "tests.bench.naive", HOST, str(broker.port), str(BUNDLE), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            if child.stdout is None or child.stdout.readline().strip() != "ready":
                raise RuntimeError("the naive loop did not start")
            child.send_signal(signal.SIGSTOP)
            _fill(broker, encoding, count, "bench")
            child.send_signal(signal.SIGCONT)
            _, elapsed, _ = child.stdout.readline().split()
            return count / float(elapsed)
        finally:
            child.kill()
            broker.stop()


def latency_ms(folder: Path, seconds: int) -> tuple[float, float, float, float]:
    """``(p50, p99, RSS MiB, start s)`` at 200 motors x 1 Hz, publish -> health as another MQTT client sees it."""
    broker = Mosquitto(folder)
    publisher = Publisher(HOST, broker.port)
    publisher.publish_all(births(MOTORS), retain=True)
    edge = Edge(broker, folder)
    sent: dict[tuple[str, int], float] = {}
    delays: list[float] = []
    done = threading.Event()
    expected = MOTORS * seconds

    def on_message(_: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        now = time.perf_counter()
        body = json.loads(message.payload)
        at = sent.pop((body["motor"], body["seq"]), None)
        if at is not None:
            delays.append((now - at) * 1e3)
            if len(delays) >= expected:
                done.set()

    listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    listener.on_message = on_message
    subscribed = threading.Event()
    listener.on_subscribe = lambda *_: subscribed.set()
    listener.connect(HOST, broker.port)
    listener.subscribe(topics.every_motor("health"), qos=0)
    listener.loop_start()
    try:
        if not subscribed.wait(10):
            raise TimeoutError("the listener could not subscribe")
        readings = Readings("cbor", boot="live")
        ready = [(i, seq, *readings.payload(i, seq)) for seq in range(seconds) for i in range(MOTORS)]
        start = time.perf_counter() + 0.1
        for number, (motor, seq, topic, payload) in enumerate(ready):
            pause = start + number / MOTORS - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            sent[motor_id(motor), seq] = time.perf_counter()
            publisher.publish(topic, payload)
        done.wait(15)
        if len(delays) < expected:
            raise RuntimeError(f"only {len(delays)} of {expected} readings were answered")
        p50, p99 = np.percentile(delays, [50, 99])
        return float(p50), float(p99), edge.rss_mib(), edge.start_s
    finally:
        publisher.close()
        listener.disconnect()
        listener.loop_stop()
        edge.stop()
        broker.stop()


def main() -> int:
    """Run everything and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=6000, help="readings of a CBOR backlog (JSON: half)")
    parser.add_argument("--latency-seconds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        floor_cpu_s = floor.cpu_s_per_reading(BUNDLE, BATCH, merge=True)
        figures["floor.cpu_us_per_reading"] = floor_cpu_s * 1e6
        three_cpu_s = floor.cpu_s_per_reading(BUNDLE, BATCH, merge=False)
        figures["floor.three_models_us_per_reading"] = three_cpu_s * 1e6
        for encoding, count in (("cbor", args.count), ("json", args.count // 2)):
            _say(f"bench: {encoding} backlog of {count} readings, naive loop ...")
            naive = naive_throughput(folder, encoding, count)
            figures[f"naive.readings_per_s.{encoding}"] = naive
            _say(f"bench: {encoding} backlog of {count} readings, edge ...")
            rate, cpu_s, _ = edge_throughput(folder, encoding, count)
            figures[f"edge.readings_per_s.{encoding}"] = rate
            figures[f"edge.cpu_us_per_reading.{encoding}"] = cpu_s * 1e6
        figures["edge.vs_naive.cbor"] = figures["edge.readings_per_s.cbor"] / figures["naive.readings_per_s.json"]
        figures["edge.vs_naive.json"] = figures["edge.readings_per_s.json"] / figures["naive.readings_per_s.json"]
        figures["edge.vs_naive_same_encoding.cbor"] = (
            figures["edge.readings_per_s.cbor"] / figures["naive.readings_per_s.cbor"]
        )
        figures["edge.vs_ort_floor"] = floor_cpu_s * 1e6 / figures["edge.cpu_us_per_reading.cbor"]
        figures["edge.vs_three_models"] = three_cpu_s * 1e6 / figures["edge.cpu_us_per_reading.cbor"]
        _say(f"bench: latency at {MOTORS} motors x 1 Hz for {args.latency_seconds} s ...")
        p50, p99, rss, start = latency_ms(folder, args.latency_seconds)
        figures |= {"edge.p50_ms": p50, "edge.p99_ms": p99, "edge.rss_mib": rss, "edge.start_s": start}
    _say("bench: the twin, beside public motor simulators ...")
    figures |= twin.figures()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=2) + "\n")
    for key, value in figures.items():
        _say(f"{key:<36} {value:12.3f}")
    _say(f"bench: written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
