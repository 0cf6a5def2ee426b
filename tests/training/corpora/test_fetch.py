"""Fetching against a web server of our own: pinned, resumed, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training import fetch
from training.corpora.pins import DATA_SETS, Pin, pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 400


class Publisher(ThreadingHTTPServer):
    """Serves ``files``; breaks off the first answer behind ``break_at`` bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files: dict[str, bytes] = {}
        self.break_at: int | None = None
        self.asked: list[tuple[str, str | None]] = []

    def address(self, name: str) -> str:
        """Of one file."""
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        name, span = self.path.lstrip("/"), self.headers.get("Range")
        self.server.asked.append((name, span))
        body = self.server.files.get(name)
        if body is None:
            self.send_error(404)
            return
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        until = len(body) if self.server.break_at is None else self.server.break_at
        self.server.break_at = None
        self.wfile.write(body[start:until])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _pin(publisher: Publisher, body: bytes = BODY, **more: object) -> Pin:
    fields = {"data_set": "cwru", "file": "12k_DE/1.mat", "address": publisher.address("1.mat")}
    return Pin(**(fields | {"sha256": hashlib.sha256(body).hexdigest()} | more))  # type: ignore[arg-type]


def _left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


def test_a_file_is_brought_once_and_then_left_alone(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["1.mat"] = BODY
    assert fetch.fetch([_pin(publisher)], tmp_path, print) == 1
    assert (tmp_path / "cwru" / "12k_DE" / "1.mat").read_bytes() == BODY
    assert fetch.fetch([_pin(publisher)], tmp_path, print) == 0
    assert len(publisher.asked) == 1
    assert not _left_over(tmp_path)


def test_a_file_with_another_digest_never_takes_its_name(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["1.mat"] = b"an error page"
    with pytest.raises(fetch.FetchError, match=r"^cwru/12k_DE/1\.mat: sha256 .* is pinned"):
        fetch.fetch([_pin(publisher)], tmp_path, print)
    assert not (tmp_path / "cwru" / "12k_DE" / "1.mat").exists()
    assert not _left_over(tmp_path)


def test_a_wrong_file_that_is_there_is_replaced(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["1.mat"] = BODY
    target = tmp_path / "cwru" / "12k_DE" / "1.mat"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"cut")
    fetch.fetch([_pin(publisher)], tmp_path, print)
    assert target.read_bytes() == BODY


def test_a_download_that_broke_off_goes_on_where_it_stopped(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["1.mat"] = BODY
    publisher.break_at = 1000
    fetch.fetch([_pin(publisher)], tmp_path, print)
    assert (tmp_path / "cwru" / "12k_DE" / "1.mat").read_bytes() == BODY
    assert [span for _, span in publisher.asked] == [None, "bytes=1000-"]


def test_an_address_that_is_gone_is_named_in_one_line(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(fetch.FetchError, match=r"1\.mat: answered 404.*publisher's page$") as caught:
        fetch.fetch([_pin(publisher)], tmp_path, print)
    assert "\n" not in str(caught.value)
    assert len(publisher.asked) == 1


def test_several_files_come_out_of_one_archive_even_nested(publisher: Publisher, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("data/train.txt", "1 2 3\n")
        archive.writestr("data/test.txt", "4 5 6\n")
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("readme.txt", "hello")
        archive.writestr("inner.zip", inner.getvalue())
    publisher.files["all.zip"] = outer.getvalue()
    wanted = [
        _pin(publisher, text, data_set="cmapss", file=name, address=publisher.address("all.zip"), member=name)
        for name, text in (("train.txt", b"1 2 3\n"), ("test.txt", b"4 5 6\n"))
    ]
    assert fetch.fetch(wanted, tmp_path, print) == 2
    assert (tmp_path / "cmapss" / "test.txt").read_bytes() == b"4 5 6\n"
    assert len(publisher.asked) == 1


def test_snapshots_are_packed_and_pinned_by_their_samples(publisher: Publisher, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for number in (1, 2):
            rows = [f"9,39,39,{65664 + i},{number}.{i:03d},-0.5" for i in range(8)]
            packed.writestr(f"set-main/Learning_set/Bearing1_2/acc_0000{number}.csv", "\n".join(rows))
    publisher.files["set.zip"] = archive.getvalue()
    samples = np.array([[[number * 1000 + i, -500] for i in range(8)] for number in (1, 2)], dtype="<i4")
    pin = Pin(
        "femto_pronostia",
        "Learning_set_Bearing1_2.npz",
        publisher.address("set.zip"),
        hashlib.sha256(samples.tobytes()).hexdigest(),
        "Learning_set/Bearing1_2",
        packed=True,
    )
    assert fetch.fetch([pin], tmp_path, print) == 1
    with np.load(tmp_path / "femto_pronostia" / pin.file) as body:
        assert body["acc_milli_g"].tolist() == samples.tolist()
        assert body["acc_time_hms_us"][0].tolist() == [9, 39, 39, 65664]
    assert fetch.fetch([pin], tmp_path, print) == 0


def test_every_pin_has_an_address_and_a_digest_of_its_own() -> None:
    table = pins()
    assert {pin.data_set for pin in table} == set(DATA_SETS)
    assert len({(pin.data_set, pin.file) for pin in table}) == len(table)
    assert all(pin.address.startswith("https://") for pin in table)
    assert all(len(pin.sha256) == 64 for pin in table)


@pytest.mark.data("nab_machine_temperature", "ai4i2020")
def test_what_is_pinned_is_what_the_evaluation_was_made_with(recordings: Path) -> None:
    wanted = [pin for pin in pins() if pin.data_set in ("nab_machine_temperature", "ai4i2020")]
    assert wanted
    assert fetch.fetch(wanted, recordings, print) == 0


def test_an_unknown_data_set_is_answered_with_the_known_ones() -> None:
    with pytest.raises(fetch.FetchError, match="unknown data set 'cwrü'; known are cwru"):
        fetch.main(["cwrü"], print)
