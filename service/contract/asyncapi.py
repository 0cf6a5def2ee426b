"""The AsyncAPI 3 document of every topic and payload, generated from ``topics`` and ``messages``.

``python -m service.contract.asyncapi`` writes ``service/asyncapi.json``; with ``--check`` it only compares and ends
with exit code 1 where the file has drifted. Send and receive are seen from the edge.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic.json_schema import models_json_schema

from service.contract import examples, topics
from service.contract.faults import CONDITIONS
from service.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Alert,
    Birth,
    Health,
    Message,
    MotorAvailability,
    NodeAvailability,
    Reading,
    Rejection,
    Truth,
)

FILE = Path(__file__).resolve().parent.parent / "asyncapi.json"
CONTRACT_VERSION = "1.0.0"
"""Grows with the payloads; its first number is the topics' ``v1``."""

JSON = "application/json"
CBOR = "application/cbor"
_MQTT_BINDING = "0.2.0"
_SCHEMAS = "#/components/schemas/{model}"


class _Channel(NamedTuple):
    name: str
    address: str
    payload: type[Message]
    action: Literal["receive", "send"] | None
    qos: Literal[0, 1]
    retain: bool
    summary: str
    content: tuple[str, ...] = (JSON,)


def _motor(kind: topics.MotorTopic) -> str:
    return topics.motor("MOTOR", kind).replace("MOTOR", "{motor}")


def _node(kind: topics.NodeTopic) -> str:
    return topics.node("NODE", kind).replace("NODE", "{node}")


def _alert() -> str:
    return topics.alert("MOTOR", "CONDITION").replace("MOTOR", "{motor}").replace("CONDITION", "{condition}")


CHANNELS: tuple[_Channel, ...] = (
    _Channel(
        "motorReading",
        _motor("reading"),
        Reading,
        "receive",
        1,
        False,
        f"One measurement window of one motor, at most {MAX_PAYLOAD_BYTES} bytes.",
        (JSON, CBOR),
    ),
    _Channel(
        "motorBirth",
        _motor("birth"),
        Birth,
        "receive",
        1,
        True,
        "A motor introduces itself: nameplate, bearing, sensors. An empty payload takes it away.",
        (JSON, CBOR),
    ),
    _Channel(
        "motorHealth", _motor("health"), Health, "send", 0, True, "What the edge knows of a motor after a reading."
    ),
    _Channel(
        "motorAlert", _alert(), Alert, "send", 1, True, "The present state of one condition's alert on one motor."
    ),
    _Channel(
        "motorAvailability",
        _motor("availability"),
        MotorAvailability,
        "send",
        1,
        True,
        "Whether a motor's sensor is heard.",
    ),
    _Channel(
        "nodeAvailability",
        _node("availability"),
        NodeAvailability,
        "send",
        1,
        True,
        "Whether an edge node lives; offline is its last will.",
    ),
    _Channel("nodeRejected", _node("rejected"), Rejection, "send", 0, False, "What was refused, why, and the remedy."),
    _Channel("motorTruth", _motor("truth"), Truth, None, 1, False, "What the twin knows; the edge never reads it."),
)

_PARAMETERS: dict[str, dict[str, Any]] = {
    "motor": {"description": f"motor id, {topics.ID_PATTERN}", "examples": [examples.MOTOR]},
    "node": {"description": f"edge node id, {topics.ID_PATTERN}", "examples": [examples.NODE]},
    "condition": {"description": "what the alert is about", "enum": list(CONDITIONS)},
}


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document as plain JSON values."""
    payloads = [channel.payload for channel in CHANNELS]
    _, schemas = models_json_schema([(payload, "validation") for payload in payloads], ref_template=_SCHEMAS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "motortwin edge",
            "version": CONTRACT_VERSION,
            "description": "Vibration and temperature readings of motors in; health, alerts and availability out. "
            "Units stand in the field names. Every payload is one object; unknown fields are refused.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "mqtt",
                "description": "the broker of MQTT_URL; MQTT 3.1.1 or 5",
                "variables": {"host": {"default": "localhost:1883", "description": "host and port of the broker"}},
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{channel.action}{channel.name[0].upper()}{channel.name[1:]}": _operation(channel)
            for channel in CHANNELS
            if channel.action
        },
        "components": {
            "schemas": schemas["$defs"],
            "messages": {
                _message_name(channel, content): _message(channel, content)
                for channel in CHANNELS
                for content in channel.content
            },
        },
    }


def text() -> str:
    """The document as it stands in ``service/asyncapi.json``."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _encoding(content: str) -> str:
    return content.removeprefix("application/")


def _message_name(channel: _Channel, content: str) -> str:
    return f"{channel.payload.__name__}.{_encoding(content)}"


def _channel(channel: _Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "summary": channel.summary,
        "parameters": {name: spec for name, spec in _PARAMETERS.items() if f"{{{name}}}" in channel.address},
        "messages": {
            _encoding(content): {"$ref": f"#/components/messages/{_message_name(channel, content)}"}
            for content in channel.content
        },
    }


def _operation(channel: _Channel) -> dict[str, Any]:
    return {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.summary,
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{_encoding(kind)}"} for kind in channel.content],
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": _MQTT_BINDING}},
    }


def _message(channel: _Channel, content: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": channel.payload.__name__,
        "contentType": content,
        "payload": {"$ref": _SCHEMAS.format(model=channel.payload.__name__)},
        "bindings": {"mqtt": {"contentType": content, "bindingVersion": _MQTT_BINDING}},
    }
    if content == JSON:
        message["examples"] = [
            {"name": name, "payload": example.model_dump(mode="json", exclude_none=True, exclude_unset=True)}
            for name, example in examples.EXAMPLES[channel.payload].items()
        ]
    return message


def main() -> None:
    """Writes the document, or checks it."""
    parser = argparse.ArgumentParser(prog="python -m service.contract.asyncapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 where the file has drifted")
    if not parser.parse_args().check:
        FILE.write_text(text(), encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text():
        sys.exit(f"{FILE.name} differs from the message types; run python -m service.contract.asyncapi and commit it")


if __name__ == "__main__":
    main()
