"""The Open Inference Protocol as its own clients speak it, and the whole API against its own description."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.conftest import ROOT, Broker
from tests.system.conftest import Edge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

MODELS = ROOT / "service" / "models"
TOKEN = "a-token-of-some-length"  # noqa: S105 - opens nothing but this edge


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with the shipped bundle, for all tests here: they change nothing in it."""
    broker = Broker(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    service = Edge(tmp_path_factory.mktemp("edge"), MODELS, broker.url).set(MOTORTWIN_HTTP_TOKEN=TOKEN).start()
    yield service
    service.kill()
    broker.kill()


@pytest.fixture(scope="module")
def client(edge: Edge) -> Iterator[triton.InferenceServerClient]:
    """NVIDIA's client for Triton."""
    with triton.InferenceServerClient(edge.address.removeprefix("http://")) as one:
        yield one


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """What the bundle's graphs answer to what."""
    with np.load(MODELS / "golden.npz") as vectors:
        return dict(vectors)


def inputs(client: Any, golden: dict[str, np.ndarray], model: str, *, binary: bool) -> list[Any]:
    given = []
    for tensor in client.get_model_metadata(model)["inputs"]:
        array = golden[f"{model}.{tensor['name']}"]
        assert [-1, *array.shape[1:]] == tensor["shape"]
        given.append(triton.InferInput(tensor["name"], list(array.shape), tensor["datatype"]))
        given[-1].set_data_from_numpy(array, binary_data=binary)
    return given


def test_health_and_metadata_are_what_the_client_expects(client: Any, edge: Edge) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "motortwin"
    version = str(edge.json("/v1/model")["version"])
    for model in ("anomaly", "classifier", "health"):
        assert client.is_model_ready(model)
        assert client.is_model_ready(model, version)
        assert not client.is_model_ready(model, "0")
        assert client.get_model_metadata(model, version)["versions"] == [version]
    assert not client.is_model_ready("translator")
    assert [(one["name"], one["state"]) for one in client.get_model_repository_index()] == [("motortwin", "READY")]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("model", ["anomaly", "classifier", "health"])
def test_tensors_of_ones_own_are_judged_as_the_edge_judges(
    client: Any, golden: dict[str, np.ndarray], model: str, binary: bool
) -> None:
    outputs = [tensor["name"] for tensor in client.get_model_metadata(model)["outputs"]]
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in outputs]
    answered = client.infer(model, inputs(client, golden, model, binary=binary), outputs=wanted, request_id="7")
    assert answered.get_response()["id"] == "7"
    for name in outputs:
        expected = golden[f"{model}.{name}"]
        if not binary:  # JSON has no infinity
            expected = np.where(np.isfinite(expected), expected, np.nan)
        found = answered.as_numpy(name).astype(np.float64)
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-3, equal_nan=True), name


def test_without_a_choice_every_output_is_told(client: Any, golden: dict[str, np.ndarray]) -> None:
    answered = client.infer("classifier", inputs(client, golden, "classifier", binary=True))
    assert [one["name"] for one in answered.get_response()["outputs"]] == ["probability", "severity"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda given: given[1:], "accel_m_s2 missing"),
        (lambda given: [given[0], *given], "accel_m_s2 is given twice"),
        (lambda _: [triton.InferInput("noise", [1], "FP32").set_data_from_numpy(np.zeros(1, "f4"))], "is unknown"),
        (lambda _: [triton.InferInput("samples", [1], "FP64").set_data_from_numpy(np.zeros(1))], "FP32[-1]"),
        (
            lambda _: [triton.InferInput("samples", [33], "FP32").set_data_from_numpy(np.zeros(33, "f4"))],
            "1 to 32 rows",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(client: Any, golden: dict[str, np.ndarray], spoil: Any, told: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("anomaly", spoil(inputs(client, golden, "anomaly", binary=True)))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (b"{", {}, "body"),
        (b"\xff\xfe", {}, "body"),
        (b'{"inputs": []}', {}, "inputs"),
        (b'{"inputs": [{"name": "samples", "shape": [1], "datatype": "FP32"}]}', {}, "binary_data_size"),
        (b'{"inputs": [{"name": "samples", "shape": [2], "datatype": "FP32", "data": [1]}]}', {}, "send 2"),
        (b'{"inputs": [{"name": "samples", "shape": [1], "datatype": "FP32", "data": ["x"]}]}', {}, "holds str"),
        (b'{"inputs": [{"name": "samples", "shape": [1], "datatype": "FP32", "data": [[[[[1]]]]]}]}', {}, "nested"),
        (b"{}", {"inference-header-content-length": "9"}, "exceeds the body's 2 bytes"),
        (b"{}", {"inference-header-content-length": "-1"}, "inference-header-content-length"),
    ],
)
def test_bodies_that_are_none_are_refused_in_the_protocols_form(
    edge: Edge, body: bytes, headers: dict[str, str], told: str
) -> None:
    answer = httpx.post(f"{edge.address}/v2/models/anomaly/infer", content=body, headers=headers)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_errors_outside_the_routes_keep_the_protocols_form_too(edge: Edge) -> None:
    nowhere = httpx.get(f"{edge.address}/v2/nowhere")
    wrong = httpx.put(f"{edge.address}/v2/models/anomaly/infer")
    large = httpx.post(f"{edge.address}/v2/models/anomaly/infer", content=b" " * (4 * 2**20 + 1))
    assert [answer.status_code for answer in (nowhere, wrong, large)] == [404, 405, 413]
    assert all(set(answer.json()) == {"error"} for answer in (nowhere, wrong, large))
    assert wrong.headers["allow"] == "POST"


def test_the_whole_api_does_what_its_description_says(edge: Edge, tmp_path: Path) -> None:
    """schemathesis, seeded: no answer that OpenAPI does not describe, no failure, whatever is asked."""
    # which tensors a model takes stands in its metadata and not in the description
    config = '[[operations]]\ninclude-path-regex = "/infer$"\nchecks.positive_data_acceptance.enabled = false\n'
    (tmp_path / "schemathesis.toml").write_text(config)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run"),
        *(f"{edge.address}/openapi.json", "--seed", "1", "--max-examples", "8", "--no-color"),
        *("--exclude-path", "/v1/stream", "-H", f"Authorization: Bearer {TOKEN}"),
    ]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-1000:]
    assert "Test cases:" in found.stdout
