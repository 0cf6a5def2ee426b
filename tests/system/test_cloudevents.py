"""Alerts with CloudEvents' attributes beside them, as an MQTT 5 client reads them."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
import pytest
from cloudevents.core.v1.event import CloudEvent
from paho.mqtt.enums import CallbackAPIVersion

from service.contract import topics
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.conftest import Broker
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

TOPIC = topics.alert("m1", "ball")


def alert(edge: Edge, watcher: Watcher, reading: Callable[..., Reading], broker: Broker) -> mqtt.MQTTMessage:
    """The first alert of an edge that hears a fault, as an MQTT 5 client gets it."""
    got: list[mqtt.MQTTMessage] = []
    came, subscribed = threading.Event(), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda *_: client.subscribe(TOPIC, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: (got.append(message), came.set())
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(PATIENCE_S)
        edge.start()
        watcher.introduce("m1")
        watcher.send(*(reading("m1", seq=n, anomaly=2.0, severity=0.5, faults={"ball": 0.95}) for n in range(3)))
        assert came.wait(PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return got[0]


def properties(message: mqtt.MQTTMessage) -> dict[str, Any]:
    return dict(getattr(message.properties, "UserProperty", []))


def test_an_alert_over_mqtt_5_is_a_cloudevent_in_binary_mode(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], broker: Broker
) -> None:
    edge.set(MOTORTWIN_MQTT_CLOUDEVENTS="true", MOTORTWIN_MQTT_PROTOCOL="5")
    message = alert(edge, watcher, reading, broker)
    body = watcher.wait_for(TOPIC, lambda one: one["state"] == "open")
    attributes = properties(message)
    attributes["time"] = dt.datetime.fromisoformat(attributes["time"])
    event = CloudEvent(attributes | {"datacontenttype": message.properties.ContentType}, message.payload)
    assert event.get_specversion() == "1.0"
    assert event.get_type() == "motortwin.alert.open"
    assert event.get_source() == "/motortwin/edge/edge"
    assert event.get_subject() == "m1/ball"
    assert event.get_id() == f"{body['id']}/{body['revision']}"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_time().timestamp() == pytest.approx(body["ts_s"])


@pytest.mark.parametrize(("wanted", "protocol"), [("false", "5"), ("true", "3.1.1")])
def test_nothing_goes_beside_an_alert_where_it_is_off_or_mqtt_has_no_place_for_it(
    wanted: str, protocol: str, edge: Edge, watcher: Watcher, reading: Callable[..., Reading], broker: Broker
) -> None:
    edge.set(MOTORTWIN_MQTT_CLOUDEVENTS=wanted, MOTORTWIN_MQTT_PROTOCOL=protocol)
    assert properties(alert(edge, watcher, reading, broker)) == {}
