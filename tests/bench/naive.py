"""What most people write first: one message, three ``session.run``, ``json``. The bench's rival.

Usage: ``python -m tests.bench.naive HOST PORT BUNDLE COUNT``. Prints ``ready`` when subscribed and ``done SECONDS CPU``
(first message to last answer) after COUNT readings.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt

from service.contract import topics
from service.contract.manifest import Manifest
from tests.bench.floor import nameplate_row
from tests.bench.load import INT16_SCALE


def main(host: str, port: int, folder: Path, count: int) -> None:
    """Consume ``count`` readings the simple way."""
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    sessions = {name: ort.InferenceSession(str(folder / spec.file)) for name, spec in manifest.graphs.items()}
    initial = (np.array([manifest.health.initial_state]), np.array([manifest.health.initial_cov]))
    filters: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    plate = nameplate_row()[None]
    progress: dict[str, float] = {"seen": 0, "start": 0.0, "cpu": 0.0}

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        if not progress["seen"]:
            progress["start"], progress["cpu"] = time.perf_counter(), time.process_time()
        if message.payload[:1] == b"{":
            body = json.loads(message.payload)
            samples = np.array(body["accel_m_s2"]["x"], dtype=np.float32)
        else:
            body = cbor2.loads(message.payload)
            samples = np.frombuffer(body["accel_m_s2"]["x"].value, "<i2").astype(np.float32) * INT16_SCALE
        fields = ("speed_rpm", "current_a", "load", "winding_c", "housing_c", "ambient_c")
        operating = np.array([[body[field] for field in fields]], dtype=np.float32)
        window = {
            "accel_m_s2": samples[None].astype(np.float32),
            "samples": np.array([len(samples)], np.float32),
            "fs_hz": np.array([body["fs_hz"]], np.float32),
            "operating": operating,
            "nameplate": plate,
        }
        anomaly = sessions["anomaly"].run(["anomaly"], _fitting(sessions["anomaly"], window))[0]
        probability, severity = sessions["classifier"].run(
            ["probability", "severity"], _fitting(sessions["classifier"], window)
        )
        state, cov = filters.get(body["motor"], initial)
        state, cov, health, rul_h = sessions["health"].run(
            ["state_next", "cov_next", "health", "rul_h"],
            {
                "state": state,
                "cov": cov,
                "operating": operating,
                "nameplate": plate,
                "severity": severity.astype(np.float64),
                "dt_s": np.array([1.0]),
            },
        )
        filters[body["motor"]] = (state, cov)
        answer = {
            "motor": body["motor"],
            "ts_s": body["ts_s"],
            "anomaly": float(anomaly[0]),
            "probabilities": dict(zip(manifest.classes, probability[0].tolist(), strict=True)),
            "severity": float(severity[0]),
            "health": float(health[0]),
            "rul_h": float(rul_h[0]),
        }
        client.publish(topics.motor(body["motor"], "health"), json.dumps(answer), retain=True)
        progress["seen"] += 1
        if progress["seen"] == count:
            elapsed = time.perf_counter() - progress["start"]
            sys.stdout.write(f"done {elapsed:.6f} {time.process_time() - progress['cpu']:.6f}\n")
            sys.stdout.flush()
            client.disconnect()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench-naive", clean_session=False)
    client.on_message = on_message
    client.on_subscribe = lambda *_: (sys.stdout.write("ready\n"), sys.stdout.flush())
    client.connect(host, port)
    client.subscribe(topics.every_motor("reading"), qos=1)
    client.loop_forever()


def _fitting(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {item.name: feeds[item.name] for item in session.get_inputs()}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
