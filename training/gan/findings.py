"""What came out of a campaign: paired differences, verdicts, the claim about physics and dreams."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from training.gan.choice import NONE, Verdict, verdict
from training.gan.classifier import CLASSIFIERS
from training.gan.downstream import STRATEGIES
from training.gan.score import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.gan.campaign import Job, Plan

CLAIMS = (
    ("twin", "gan"),
    ("twin", "diffusion"),
    ("twin_gan", "twin"),
    ("twin_gan", "gan"),
    ("twin+gan", "twin"),
    ("twin+gan", "gan"),
    ("twin+diffusion", "twin"),
)
"""(better, worse) pairs of the claim: physics beats dreams, and the two together beat both."""


class Findings:
    """Everything the report says, computed from the results.

    Attributes:
        scores: (domain, K, classifier) -> strategy -> metric -> values per entry, aligned; with ``folds``.
        verdicts: (domain, K, classifier) -> what to use.
    """

    def __init__(self, plan: Plan, results: dict[Job, Any]) -> None:
        self.plan = plan
        self.results = results
        self.scores: dict[tuple[str, int, str], dict[str, dict[str, NDArray[np.float64]]]] = {}
        self.folds: dict[tuple[str, int, str], NDArray[np.str_]] = {}
        self.verdicts: dict[tuple[str, int, str], Verdict] = {}
        for domain in plan.domains:
            for failures in plan.failures:
                for name in CLASSIFIERS:
                    self._collect(domain, failures, name)

    def _collect(self, domain: str, failures: int, classifier: str) -> None:
        draws = sorted(
            (job.seed, result["scores"])
            for job, result in self.results.items()
            if (job.kind, job.domain, job.failures) == ("draw", domain, failures)
        )
        entries: dict[str, dict[str, list[float]]] = {s: {} for s in STRATEGIES}
        folds = []
        for _, scores in draws:
            for fold, strategy, name, score in scores:
                if name != classifier:
                    continue
                for metric, value in score.items():
                    entries[strategy].setdefault(metric, []).append(value)
                if strategy == NONE:
                    folds.append(fold)
        key = (domain, failures, classifier)
        self.scores[key] = {s: {m: np.array(v) for m, v in metrics.items()} for s, metrics in entries.items()}
        self.folds[key] = np.array(folds)
        per_seed = {s: self.of_seeds(key, s) for s in STRATEGIES}
        # Deltas and picks are over draws: folds of one draw (halves of the test engines) share a training set.
        whole = verdict(per_seed, np.array([f"draws {k % 2 + 1} of 2" for k in range(len(draws))]))
        by_fold = verdict({s: v["pr_auc"] for s, v in self.scores[key].items()}, self.folds[key])
        self.verdicts[key] = whole if domain == "turbofan" else Verdict(
            whole.winner, whole.deltas, by_fold.picked, by_fold.confirmed
        )  # fmt: skip

    def of_seeds(self, key: tuple[str, int, str], strategy: str, metric: str = "pr_auc") -> NDArray[np.float64]:
        """Mean over the folds of each draw, ``(seeds,)``."""
        values = self.scores[key][strategy][metric]
        return np.asarray(values.reshape(self.plan.seeds, -1).mean(axis=1))

    def strongest(self, domain: str, failures: int) -> str:
        """The classifier with the best PR-AUC without augmentation."""
        return max(CLASSIFIERS, key=lambda c: float(self.of_seeds((domain, failures, c), NONE).mean()))

    def claims(self) -> list[list[str]]:
        """Rows: domain, K, classifier, then a paired difference per claim."""
        rows = []
        for key in self.scores:
            domain, failures, name = key
            cells = [domain, str(failures), name]
            cells += [str(interval(self.of_seeds(key, a) - self.of_seeds(key, b))) for a, b in CLAIMS]
            rows.append(cells)
        return rows

    def lines(self) -> list[str]:
        """The verdicts, a line each, for the terminal."""
        out = []
        for (domain, failures, name), v in self.verdicts.items():
            key = (domain, failures, name)
            star = "*" if name == self.strongest(domain, failures) else " "
            gain = f"; gain {v.deltas[v.winner]}" if v.winner != NONE else ""
            out.append(
                f"{domain:9s} K={failures:<2d} {name:9s}{star} none {self.of_seeds(key, NONE).mean():.3f}, "
                f"winner {v.winner}{gain}; cross-fitted {v.confirmed}; gate {'passes' if v.passes else 'keeps none'}"
            )
        return out

    def as_json(self) -> dict[str, Any]:
        """Verdicts and deltas for machines. The bundle's classifier learns from the twin alone, as the winner says."""
        return {
            "verdicts": [
                {
                    "domain": domain, "failures": failures, "classifier": name, "winner": v.winner, "passes": v.passes,
                    "strongest": name == self.strongest(domain, failures),
                    "none": float(self.of_seeds((domain, failures, name), NONE).mean()),
                    "confirmed": asdict(v.confirmed), "picked": v.picked,
                    "deltas": {s: asdict(d) for s, d in v.deltas.items()},
                }
                for (domain, failures, name), v in self.verdicts.items()
            ],
            "seeds": self.plan.seeds,
        }  # fmt: skip
