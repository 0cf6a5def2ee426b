"""The AsyncAPI document is valid, complete, and what is committed.

``asyncapi-3.0.0.json.gz`` is the AsyncAPI Initiative's JSON Schema of AsyncAPI 3.0.0 (npm package @asyncapi/specs
6.11.1, Apache-2.0, licence beside it; copyright 2016-2025 AsyncAPI Initiative), unchanged but compressed.
"""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from service.contract import asyncapi, codec, messages, topics
from service.contract.examples import EXAMPLES
from service.contract.messages import Birth, Message, Reading

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(gzip.decompress((HERE / "asyncapi-3.0.0.json.gz").read_bytes())))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi.document()


def resolved(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_the_document_obeys_the_official_schema(schema, document) -> None:
    assert [error.message[:200] for error in schema.iter_errors(document)] == []


def test_the_official_schema_would_notice_a_mistake(schema, document) -> None:
    spoiled = copy.deepcopy(document)
    spoiled["operations"]["receiveMotorReading"]["action"] = "swallow"
    assert not schema.is_valid(spoiled)


def test_the_committed_document_is_the_generated_one() -> None:
    done = subprocess.run([sys.executable, "-m", "service.contract.asyncapi", "--check"], check=False)
    assert done.returncode == 0


def test_drift_is_told_in_one_line(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(asyncapi, "FILE", tmp_path / "asyncapi.json")
    monkeypatch.setattr(sys, "argv", ["asyncapi", "--check"])
    with pytest.raises(SystemExit, match=r"^asyncapi\.json differs .* run python -m service\.contract\.asyncapi"):
        asyncapi.main()
    monkeypatch.setattr(sys, "argv", ["asyncapi"])
    asyncapi.main()
    monkeypatch.setattr(sys, "argv", ["asyncapi", "--check"])
    asyncapi.main()


def test_every_reference_leads_somewhere(document) -> None:
    found = references(document)
    assert len(found) > 20
    for reference in found:
        assert resolved(document, reference)


def test_every_topic_has_a_channel_with_its_parameters(document) -> None:
    addresses = {channel["address"]: channel["parameters"] for channel in document["channels"].values()}
    wanted = {f"{topics.ROOT}/motor/{{motor}}/{kind}": {"motor"} for kind in topics.MOTOR_TOPICS}
    wanted |= {f"{topics.ROOT}/edge/{{node}}/{kind}": {"node"} for kind in topics.NODE_TOPICS}
    wanted |= {f"{topics.ROOT}/motor/{{motor}}/alert/{{condition}}": {"motor", "condition"}}
    assert {address: set(parameters) for address, parameters in addresses.items()} == wanted


def test_the_edge_receives_readings_and_births_and_never_the_truth(document) -> None:
    actions = {
        operation["channel"]["$ref"].rpartition("/")[2]: operation["action"]
        for operation in document["operations"].values()
    }
    assert {name for name, action in actions.items() if action == "receive"} == {"motorReading", "motorBirth"}
    assert set(document["channels"]) - set(actions) == {"motorTruth"}


def test_state_is_retained_and_events_are_not(document) -> None:
    retained = {name for name, operation in document["operations"].items() if operation["bindings"]["mqtt"]["retain"]}
    assert set(document["operations"]) - retained == {"receiveMotorReading", "sendNodeRejected"}


def test_only_what_the_next_message_makes_good_is_sent_at_most_once(document) -> None:
    qos = {name: operation["bindings"]["mqtt"]["qos"] for name, operation in document["operations"].items()}
    assert {name for name, level in qos.items() if level == 0} == {"sendMotorHealth", "sendNodeRejected"}


def test_every_payload_type_is_in_the_document() -> None:
    nested = {messages.Nameplate, messages.Sensor}
    payloads = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Message)}
    assert {channel.payload for channel in asyncapi.CHANNELS} == payloads - {Message} - nested


def test_readings_travel_as_json_and_as_cbor(document) -> None:
    kinds = document["channels"]["motorReading"]["messages"]
    assert [resolved(document, kind["$ref"])["contentType"] for kind in kinds.values()] == [
        "application/json",
        "application/cbor",
    ]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_the_examples_obey_their_own_payload_schema(kind: type[Message], document) -> None:
    examples = document["components"]["messages"][f"{kind.__name__}.json"]["examples"]
    schema = {"$ref": f"#/components/schemas/{kind.__name__}", "components": document["components"]}
    assert examples
    for example in examples:
        jsonschema.Draft7Validator(schema).validate(example["payload"])


@pytest.mark.parametrize(("kind", "decode"), [(Reading, codec.decode_reading), (Birth, codec.decode_birth)])
def test_the_decoder_takes_the_examples(kind: type[Message], decode, document) -> None:
    for example in document["components"]["messages"][f"{kind.__name__}.json"]["examples"]:
        assert decode(json.dumps(example["payload"]).encode()).motor == "pump-7"


def test_the_documents_version_follows_the_topics() -> None:
    assert topics.ROOT.endswith(f"/v{asyncapi.CONTRACT_VERSION.partition('.')[0]}")
