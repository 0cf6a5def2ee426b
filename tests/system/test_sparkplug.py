"""The edge as a Sparkplug B edge node, as a host on a real broker sees it: births, data, deaths, rebirth, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pysparkplug
import pytest
from pysparkplug._protobuf import sparkplug_b_pb2 as official

from service.contract import topics
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.conftest import Broker
    from tests.system.conftest import Edge, Heard, Watcher

pytestmark = pytest.mark.system

KINDS = {
    "NBIRTH": pysparkplug.NBirth,
    "NDATA": pysparkplug.NData,
    "NDEATH": pysparkplug.NDeath,
    "DBIRTH": pysparkplug.DBirth,
    "DDATA": pysparkplug.DData,
    "DDEATH": pysparkplug.DDeath,
}


def heard(watcher: Watcher, *kinds: str) -> list[tuple[str, Any, Heard]]:
    """What a host has seen so far: kind, decoded payload, the message itself."""
    found = []
    for message in list(watcher.heard):
        parts = message.topic.split("/")
        if parts[0] == "spBv1.0" and parts[2] in (kinds or KINDS) and parts[2] in KINDS:
            found.append((parts[2], KINDS[parts[2]].decode(message.payload), message))
    return found


def values(payload: Any) -> dict[str, Any]:
    return {metric.name: metric.value for metric in payload.metrics}


@pytest.fixture
def node(edge: Edge) -> Edge:
    return edge.set(
        MOTORTWIN_SPARKPLUG_ON="true", MOTORTWIN_SPARKPLUG_GROUP="Hall 3", MOTORTWIN_SPARKPLUG_INTERVAL_S="0.05"
    )


def failing(reading: Callable[..., Reading], seqs: range) -> list[Reading]:
    return [reading("m1", seq=seq, anomaly=2.0, severity=0.5, faults={"ball": 0.95}) for seq in seqs]


def test_a_host_follows_the_node_its_motors_and_their_numbers(
    node: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    node.start()
    watcher.introduce("m1")
    wait_until(lambda: heard(watcher, "DBIRTH"), "the motor's birth")
    watcher.send(*failing(reading, range(3)))
    wait_until(lambda: any(values(data).get("alerts") == "ball" for _, data, _ in heard(watcher, "DDATA")), "the alert")
    messages = heard(watcher)
    assert [kind for kind, *_ in messages[:2]] == ["NBIRTH", "DBIRTH"]
    assert messages[0][2].topic == "spBv1.0/Hall 3/NBIRTH/edge"
    assert messages[1][2].topic == "spBv1.0/Hall 3/DBIRTH/edge/m1"
    assert [payload.seq for _, payload, _ in messages] == list(range(len(messages)))
    assert not any(message.retain for *_, message in messages)
    birth = values(messages[1][1])
    assert birth["nameplate/rated_speed_rpm"] == 1450.0

    def known() -> dict[str, Any]:
        return birth | {k: value for _, data, _ in heard(watcher, "DDATA") for k, value in values(data).items()}

    told = watcher.wait_for(topics.motor("m1", "health"), lambda body: body["seq"] == 2)
    wait_until(lambda: known()["health"] == told["health"], "the last reading's health")
    assert known().keys() == birth.keys(), "data names what the birth has named"
    assert (known()["diagnosis"], known()["state"]) == ("ball", "alarm")
    watcher.publish(topics.motor("m1", "birth"), b"", retain=True)
    wait_until(lambda: heard(watcher, "DDEATH"), "the retired motor's death")


def test_a_host_that_asks_gets_every_birth_again_and_nonsense_is_counted(node: Edge, watcher: Watcher) -> None:
    node.start()
    watcher.introduce("m1")
    wait_until(lambda: heard(watcher, "DBIRTH"), "the motor's birth")
    asked = official.Payload(timestamp=1)
    asked.metrics.add(name="Node Control/Rebirth", datatype=official.DataType.Boolean, boolean_value=True)
    watcher.publish("spBv1.0/Hall 3/NCMD/edge", b"\xff\xff")
    watcher.publish("spBv1.0/Hall 3/NCMD/edge", asked.SerializeToString())
    wait_until(lambda: len(heard(watcher, "DBIRTH")) == 2, "the second birth")
    first, second = (birth for _, birth, _ in heard(watcher, "NBIRTH"))
    assert (first.seq, second.seq) == (0, 0)
    assert values(first)["bdSeq"] == values(second)["bdSeq"]
    assert node.metric('motortwin_sparkplug_total{result="rebirth"}') == 1.0
    assert node.metric('motortwin_sparkplug_total{result="refused"}') == 1.0


def test_the_broker_tells_a_power_cut_with_the_number_of_the_birth_and_the_next_one_counts_on(
    node: Edge, watcher: Watcher
) -> None:
    node.start()
    wait_until(lambda: heard(watcher, "NBIRTH"), "the birth")
    node.kill()
    wait_until(lambda: heard(watcher, "NDEATH"), "the will")
    node.start()
    wait_until(lambda: len(heard(watcher, "NBIRTH")) == 2, "the next birth")
    assert node.stop() == 0
    wait_until(lambda: len(heard(watcher, "NDEATH")) == 2, "its own death")
    numbers = [values(birth)["bdSeq"] for _, birth, _ in heard(watcher, "NBIRTH")]
    assert numbers == [0, 1]
    assert [death.bd_seq_metric.value for _, death, _ in heard(watcher, "NDEATH")] == numbers


def test_a_broker_that_comes_back_gets_a_new_birth_with_the_next_number(
    node: Edge, watch: Callable[[], Watcher], broker: Broker
) -> None:
    node.start()
    before = watch()
    broker.stop()
    broker.start()
    after = watch()
    births = wait_until(lambda: heard(before, "NBIRTH") + heard(after, "NBIRTH"), "the birth")
    assert values(births[-1][1])["bdSeq"] == 1


def test_without_the_setting_nothing_is_said(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> None:
    edge.start()
    watcher.introduce("m1")
    watcher.send(*failing(reading, range(2)))
    watcher.wait_for(topics.motor("m1", "health"), lambda body: body["seq"] == 1)
    assert heard(watcher) == []
