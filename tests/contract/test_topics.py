"""Topics are built and parsed in one place, and no id can reach into another topic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import topics

INJECTIONS = ["", "a/b", "/", "+", "#", "a+", "a#", "$SYS", ".", "-a", "a b", "a\n", "a\x00", "ä", "a" * 65, "../b"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_id_that_could_inject_a_topic_is_refused_everywhere(text: str) -> None:
    assert not topics.is_id(text)
    for build in (
        lambda: topics.motor(text, "reading"),
        lambda: topics.node(text, "rejected"),
        lambda: topics.alert(text, "cage"),
        lambda: topics.alert("m", text),
    ):
        with pytest.raises(ValueError, match="must match"):
            build()


@given(st.text())
def test_an_id_never_holds_a_separator_or_a_wildcard(text: str) -> None:
    if topics.is_id(text):
        assert not set(text) & set("/+#$\x00\n ")
        assert 1 <= len(text) <= 64
        assert topics.parse_motor(topics.motor(text, "birth")) == (text, "birth")


def test_a_motors_topic_is_parsed_into_id_and_rest() -> None:
    assert topics.parse_motor(topics.alert("m1", "cage")) == ("m1", "alert/cage")
    assert topics.parse_motor("motortwin/v1/motor//reading") == ("", "reading")


@pytest.mark.parametrize(
    "topic", ["", "motortwin/v1/edge/n/rejected", "x/motortwin/v1/motor/m/reading", "motortwin/v1"]
)
def test_other_topics_are_no_motors(topic: str) -> None:
    assert topics.parse_motor(topic) is None


def test_the_subscription_for_readings_leaves_the_truth_out() -> None:
    assert topics.every_motor("reading") == "motortwin/v1/motor/+/reading"
    assert topics.motor("m", "truth") == "motortwin/v1/motor/m/truth"
