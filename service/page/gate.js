// What the training's gate said of the bundle that runs: the verdict, each figure of champion and candidate.

import { byId, make, pairs, write } from "./dom.js";
import { faultWord, known } from "./words.js";

const FIGURE_WORDS = {
  recall: "found", false_naming: "named wrongly", missed: "missed before failure", named: "named in recordings",
};
const WHOLE = {
  missed: "Motors missed before failure", named: "Motors whose fault was named", "anomaly.recall": "Faulty windows called unusual",
  "anomaly.false": "Healthy windows called unusual", "severity.error": "Mean error of the severity",
  "severity.healthy": "Severity of healthy windows", lead: "Warning time, share of onset to failure",
  false_alarms_per_motor_day: "False alarms per motor and day", "life.interval_score_h": "Remaining life, interval score in h",
  "cwru.false": "Sound recordings called faulty",
};
const VERDICT_WORDS = { better: "better", same: "same within chance", worse: "worse", poor: "under its limit" };
const ORDER = ["worse", "poor", "better", "same"];
const CHECK_WORDS = {
  loads: "Loads on the edge's own loader", size_ratio: "Size", latency_p95_ratio: "Time, 95th percentile", memory_ratio: "Memory",
  torch_parity_golden: "Agrees with its training", torch_parity_replay: "Agrees with its training on the replay",
  retrain_reproduces: "Training again gives the same", withheld_readings: "Readings without an answer",
  meaningless_windows: "Answers that are no number", replay_held_apart: "Replay unknown to its training", classes: "Faults that it knows",
  runs: "Runs on every window",
};

function figureWord(name) {
  if (WHOLE[name] ?? CHECK_WORDS[name]) return WHOLE[name] ?? CHECK_WORDS[name];
  const parts = name.split(".");
  const word = FIGURE_WORDS[parts.at(-1)] ?? parts.at(-1).replaceAll("_", " ");
  return parts.length > 1 ? `${faultWord(parts.at(-2))}: ${word}` : word;
}

const number = (value) => (known(value) ? String(Number(value.toPrecision(3))) : "–");
const signed = (value) => (known(value) ? `${value > 0 ? "+" : ""}${number(value)}` : "–");

function row(one) {
  const line = make("tr", "", { "data-verdict": one.verdict });
  line.append(make("th", figureWord(one.name), { scope: "row", title: `${one.what}; ${one.better} is better` }));
  const change = known(one.lo) && known(one.hi) ? `${signed(one.change)} [${signed(one.lo)}, ${signed(one.hi)}]` : signed(one.change);
  for (const text of [number(one.champion), number(one.candidate), change, VERDICT_WORDS[one.verdict] ?? one.verdict]) line.append(make("td", text));
  return line;
}

function summary({ slices, checks, champion, tiny, verdict, refused, absent }) {
  const count = (wanted) => slices.filter((one) => one.verdict === wanted).length;
  const failed = checks.filter((one) => one.passed === false).length;
  return [
    ["Verdict", (verdict === "passed" ? "Passed" : `Refused: ${refused.map(figureWord).join(", ")}`) + (tiny ? ", but of a tiny replay: it means nothing" : "")],
    ["Compared with", champion ? `champion ${champion.slice(0, 12)}` : "no champion"],
    ["Figures", `${slices.length}: ${count("better")} better, ${count("same")} the same within chance, ${count("worse") + count("poor")} worse`],
    ["Questions with a limit", failed ? `${failed} of ${checks.length} failed` : `none of ${checks.length} failed`],
    ...(absent.length ? [["Left out", absent.join("; ")]] : []),
  ];
}

export function drawGate({ report, reason }) {
  const box = byId("gate");
  box.dataset.state = report ? (report.verdict === "passed" && !report.tiny ? "ok" : "warning") : "silent";
  byId("gate-absent").hidden = report !== null;
  byId("gate-shown").hidden = byId("gate-all").hidden = report === null;
  if (!report) {
    write(byId("gate-absent"), `Made without a gate, as far as this edge can tell: ${reason}.`);
    return;
  }
  pairs(byId("gate-summary"), summary(report));
  const sorted = [...report.slices].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
  byId("gate-figures").replaceChildren(...sorted.map(row));
  pairs(byId("gate-checks"), report.checks.map((one) => [
    CHECK_WORDS[one.name] ?? one.name.replaceAll("_", " "),
    `${one.passed === null ? "not asked: " : one.passed ? "" : "FAILED: "}${one.found} (wanted ${one.limit})`,
  ]));
}
