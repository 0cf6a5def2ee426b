"""The command line and the report."""

from __future__ import annotations

import numpy as np
import pytest

from training.gan.campaign import Job, Plan
from training.gan.classifier import CLASSIFIERS
from training.gan.command import main
from training.gan.downstream import GENERATED, STRATEGIES
from training.gan.findings import Findings
from training.gan.page import page
from training.gan.rival import RIVALS


def test_fit_then_sample_gives_the_same_file_twice(cmapss, tmp_path, capsys) -> None:
    model, first, again = tmp_path / "model", tmp_path / "a.npz", tmp_path / "b.npz"
    base = ["--data", str(cmapss)]
    fit = ["fit", "--domain", "turbofan", "--kind", "gan", "--failures", "1", "--steps", "2", "--out", str(model)]
    assert main([*base, *fit]) == 0
    for path in (first, again):
        assert (
            main([*base, "sample", "--model", str(model), "--label", "failing", "--count", "4", "--out", str(path)])
            == 0
        )
    with np.load(first) as a, np.load(again) as b:
        np.testing.assert_array_equal(a["values"], b["values"])
        assert a["values"].shape[0] == 4
    assert "fitted gan on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sample", "--model", "nowhere", "--label", "x"], "gan: model: nowhere holds no fit.json"),
        (["--data", "nowhere", "fit", "--domain", "turbofan"], "gan: MOTOR_DATA"),
        (["fit", "--steps", "0"], "gan: steps: 0 must be at least 1"),
        (["report", "--folds", "99"], "gan: folds: 99 is outside 0..15"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_no_traceback(argv, said, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


@pytest.fixture
def findings(tmp_path) -> Findings:
    """Made-up results in which the twin gains 0.1 on bearings and nothing else does anything."""
    rng = np.random.default_rng(0)
    plan = Plan(data=tmp_path, out=tmp_path, failures=(1, 3), seeds=12, table=0)
    results = {}
    for domain, folds in (("bearing", 1), ("turbofan", 2)):
        for failures in plan.failures:
            for seed in range(plan.seeds):
                scores = []
                for fold in range(folds):
                    name = f"fold {seed % 3}" if folds == 1 else "AB"[fold]
                    base = 0.7 + 0.05 * rng.standard_normal()
                    for strategy in STRATEGIES:
                        gain = 0.1 if (domain, strategy) == ("bearing", "twin") else 0.0
                        value = base + gain + 0.01 * rng.standard_normal()
                        score = {"pr_auc": value, "f1": value, "recall_at_precision": value}
                        scores += [[name, strategy, classifier, score] for classifier in CLASSIFIERS]
                qualities = {g: {"discriminative": 0.1} for g in ("real", *GENERATED, *RIVALS, "twin")}
                results[Job("draw", domain, failures, seed)] = {"scores": scores, "qualities": qualities}
    return Findings(plan, results)


def test_the_verdict_is_the_twin_where_it_helps_and_none_where_nothing_does(findings) -> None:
    for (domain, _, _), verdict in findings.verdicts.items():
        assert verdict.winner == ("twin" if domain == "bearing" else "none")
        assert verdict.passes == (domain == "bearing")
    assert len(findings.as_json()["verdicts"]) == 2 * 2 * 3


def test_the_page_holds_every_strategy_and_asks_for_nothing_from_outside(findings) -> None:
    text = page(findings)
    for strategy in STRATEGIES:
        assert f"<td>{strategy}</td>" in text
    assert "http" not in text
    assert "class=win" in text
