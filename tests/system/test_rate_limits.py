"""Who asks too often waits, who guesses is locked out, and nobody else notices."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from service.api.bucket import Buckets, name_of

if TYPE_CHECKING:
    from tests.system.conftest import Edge

TOKEN = "a-token-of-the-test"  # noqa: S105 - opens nothing


def post(edge: Edge, token: str) -> tuple[int, str | None, dict]:
    """Status, Retry-After and body of a change that is asked for with a token."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{edge.address}/v2/repository/models/nobody/unload", b"", {"authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310 - as above
            return answer.status, None, {}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["retry-after"], json.loads(error.read())


@pytest.mark.system
def test_a_client_that_asks_too_often_waits_and_health_is_always_answered(edge: Edge) -> None:
    edge.set(MOTORTWIN_HTTP_RATE_PER_S="0.1", MOTORTWIN_HTTP_BURST="5").start()
    answers = [edge.answer("/v1/motors") for _ in range(8)]
    assert [status for status, _ in answers] == [200] * 5 + [429] * 3
    told = json.loads(answers[-1][1])["error"]
    assert told["code"] == "too_many"
    assert told["remedy"].startswith("ask again in ")
    assert {edge.answer("/health/ready")[0] for _ in range(20)} == {200}


@pytest.mark.system
def test_after_a_few_wrong_tokens_the_right_one_is_not_heard_either_and_reading_goes_on(edge: Edge) -> None:
    edge.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_HTTP_GUESSES="3").start()
    assert post(edge, TOKEN)[0] not in {401, 429}
    assert [post(edge, f"guess-number-{k}-of-many")[0] for k in range(3)] == [401] * 3
    status, wait, told = post(edge, TOKEN)
    assert status == 429
    assert 1 <= int(wait) <= 30
    assert "wrong tokens" in told["error"]
    assert edge.answer("/v1/motors")[0] == 200
    assert edge.metric("motortwin_http_tokens_refused_total") == 3.0
    assert edge.metric('motortwin_http_limited_total{reason="token"}') == 1.0


def asked(edge: Edge, client: str) -> int:
    """Status of a question that says on whose behalf it is asked."""
    request = urllib.request.Request(edge.address + "/v1/motors", headers={"x-forwarded-for": client})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310 - as above
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.system
def test_only_a_named_proxy_says_on_whose_behalf_it_asks(edge: Edge) -> None:
    edge.set(MOTORTWIN_HTTP_RATE_PER_S="0.1", MOTORTWIN_HTTP_BURST="2").start()
    assert [asked(edge, f"10.0.0.{k}") for k in range(4)] == [200, 200, 429, 429]
    edge.stop()
    edge.set(MOTORTWIN_HTTP_TRUSTED_PROXIES="10.9.0.0/16, 127.0.0.1").start()
    assert [asked(edge, f"10.0.0.{k}") for k in range(4)] == [200] * 4
    # what a client claims stands left of what the proxy saw, and counts for nothing
    assert [asked(edge, f"10.0.0.{k}, 10.0.1.1") for k in range(3)] == [200, 200, 429]
    assert asked(edge, "10.0.1.1, 10.9.0.7") == 429


def test_a_bucket_fills_again_and_each_client_has_its_own() -> None:
    buckets = Buckets(per_s=2.0, burst=2.0)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.wait_s("a", 0.5) == pytest.approx(0.5)


def test_the_table_of_clients_is_bounded() -> None:
    buckets = Buckets(per_s=1.0, burst=1.0, max_clients=100)
    for k in range(1000):
        buckets.take(str(k), 0.0)
    assert len(buckets) == 100


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_known_by_its_address_or_network(host: str, name: str) -> None:
    assert name_of(host) == name
