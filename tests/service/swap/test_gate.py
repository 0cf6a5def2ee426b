"""The gate's report beside a bundle: shown when it is about this very bundle and somebody we trust vouches for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service import gate
from service.bundle import GATE_FILE, GATE_SIGNATURE_FILE, MAX_GATE_BYTES, from_contents, read
from service.errors import BundleError
from service.signature import Trust, sign
from tests.service.swap.conftest import report, with_report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service.swap.conftest import Press


def test_a_signed_report_about_this_bundle_is_shown_and_travels_with_it(press: Press) -> None:
    folder = with_report(press(2), press.key)
    files = read(folder)
    found = gate.read(files, press.trust)
    assert found.reason == ""
    assert found.report is not None
    assert (found.report.verdict, found.report.slices[0].name) == ("passed", "inner_race.recall")
    assert found.line == f"passed against champion {'a' * 12}: of 1 figures 1 better, 0 the same, 0 worse"
    again = from_contents(files.contents())
    assert gate.read(again, press.trust) == found
    # the installation's own folder is trusted with all that is in it
    assert gate.read(replace(files, gate_signature=None), None) == found


def test_a_bundle_without_a_report_says_so(press: Press) -> None:
    found = gate.read(read(press(2)), press.trust)
    assert found == gate.ABSENT
    assert "nothing says that it was compared" in found.line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw, _: (raw, None), "gate.json.sig: is absent"),
        (
            lambda raw, key: (raw.replace(b"passed", b"refused"), sign(raw, key, what="gate")),
            "does not fit this report",
        ),
        (lambda raw, key: (raw, sign(raw, key)), "does not fit this report"),
        (lambda raw, _: (raw, sign(raw, Ed25519PrivateKey.generate(), what="gate")), "is not trusted"),
        (lambda _, key: (b"{", sign(b"{", key, what="gate")), "gate.json: content: "),
        (lambda raw, _: (raw, b"{}"), "gate.json.sig: format: "),
    ],
    ids=["unsigned", "altered", "signed as a bundle", "stranger", "rubbish", "no signature"],
)
def test_a_report_that_nobody_vouches_for_is_not_shown_and_the_bundle_runs_all_the_same(
    change: Any, reason: str, press: Press
) -> None:
    folder = press(2)
    raw, signature = change(report(read(folder).digest), press.key)
    (folder / GATE_FILE).write_bytes(raw)
    if signature is not None:
        (folder / GATE_SIGNATURE_FILE).write_bytes(signature)
    files = read(folder)
    found = gate.read(files, press.trust)
    assert found.report is None
    assert reason in found.reason
    assert press.trust.check(files.raw_manifest, files.signature) == 0


def test_the_report_about_another_bundle_is_not_shown(press: Press) -> None:
    other = report("0" * 64)
    files = replace(read(press(2)), gate=other, gate_signature=sign(other, press.key, what="gate"))
    assert "is about bundle 000000000000" in gate.read(files, press.trust).reason


def test_where_no_signature_is_required_an_unsigned_report_is_shown_but_a_false_one_is_not(press: Press) -> None:
    easy = Trust([press.key.public_key()], required=False)
    files = read(with_report(press(2), press.key))
    assert gate.read(replace(files, gate_signature=None), easy).report is not None
    forged = sign(b"another", press.key, what="gate")
    assert gate.read(replace(files, gate_signature=forged), easy).report is None


def test_a_report_that_is_far_too_large_refuses_the_bundle(press: Press, tmp_path: Path) -> None:
    folder = press(2, to=tmp_path / "large")
    (folder / GATE_FILE).write_bytes(b" " * (MAX_GATE_BYTES + 1))
    with pytest.raises(BundleError, match=r"gate\.json: is larger than"):
        read(folder)


def test_the_report_that_is_shown_may_hold_what_is_no_number(press: Press) -> None:
    body = json.loads(report(read(press(2)).digest))
    body["slices"][0] |= {"candidate": None, "change": None, "lo": None, "hi": None, "verdict": "worse"}
    assert gate.Report.model_validate(body).slices[0].change is None
