// The models: which bundle runs, where it comes from, how good it is, and what became of the last offer.

import { ask, link, subscribe } from "./picture.js";
import { byId, make, pairs, write } from "./dom.js";
import { drawGate } from "./gate.js";
import { at, faultWord, known, signalWord, unanswered } from "./words.js";

const UNDER_WAY = ["trial", "shadow", "soak"];
const AGAIN_MS = 1500;
const SURE_MS = 5000;
let again = 0;
let candidate = null;

const PHASE_WORDS = {
  trial: "On trial: it proves itself in a process of its own", shadow: "In the shadow: it judges beside the one that runs",
  soak: "Runs on probation", committed: "Taken into use", rolled_back: "Rolled back", refused: "Refused",
  inconclusive: "Not taken: too little was seen to judge it", cancelled: "Called off",
};
const METRIC_WORDS = {
  "twin.healthy.named_rate": "Healthy windows called faulty", "twin.healthy.anomaly_rate": "Healthy windows called unusual",
  "twin.faulty.anomaly_rate": "Faulty windows called unusual", "twin.healthy.severity_p99": "Severity that 99 of 100 healthy windows stay under",
  "twin.faulty.severity_mae": "Mean error of the severity",
};
const SCORE_WORDS = { "twin.faulty.anomaly_p999": "Anomaly score that 999 of 1000 faulty windows stay under" };

const words = (key) => {
  const text = key.replace(/^argument\./, "setting: ").replaceAll(/[_.]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
};
function drawEnded(ended) {
  byId("ended-title").hidden = ended.length === 0;
  byId("ended").replaceChildren(...ended.map(({ ts_s: ts, bundle }) => {
    const item = make("li", "", { "data-state": bundle.phase === "committed" ? "ok" : "clear" });
    const what = make("p", "", { class: "what" });
    what.append(make("strong", PHASE_WORDS[bundle.phase] ?? bundle.phase), ` ${bundle.name}, version ${bundle.version}`);
    item.append(what, ...(bundle.reason ? [make("p", bundle.reason, { class: "why" })] : []), make("p", at(ts), { class: "when" }));
    return item;
  }));
}

const share = (value, digits) => `${(value * 100).toFixed(digits)} %`;

const DRIFT_WORDS = {
  usual: "As ever", learning: "Still learning", drifted: "A signal has moved", unlike: "Unlike the training's machines",
  unknown: "Not judged: the bundle holds no sketch",
};

function drawDrift({ motors, score, ...rules }) {
  const highest = Object.entries(score).sort((a, b) => b[1] - a[1])[0];
  pairs(byId("drift"), [
    ...Object.entries(DRIFT_WORDS).filter(([status]) => motors[status]).map(([status, word]) => [word, `${motors[status]} ${motors[status] === 1 ? "motor" : "motors"}`]),
    ...(highest ? [["Highest score, found at 1", `${highest[1].toFixed(2)} (${signalWord(highest[0])})`]] : []),
    ...(known(rules.learning_blocks) ? [
      ["Learns a motor for", `${Math.round((rules.learning_blocks * rules.block_s) / 3600)} h of readings`],
      ["False findings", `at most one in ${Math.round(rules.false_alarm_h / 8766)} years of a motor`],
    ] : []),
  ]);
}

function drawCandidate({ name, version, release, digest, phase, reason, gate, ...seen }) {
  pairs(byId("candidate"), [
    ["Bundle", `${name}, version ${version}`], ["What became of it", PHASE_WORDS[phase] ?? phase],
    ...(reason ? [["Why", reason]] : []),
    ...(release ? [["Release", String(release)]] : []), ...(digest ? [["Digest", digest.slice(0, 12)]] : []),
    ...(gate ? [["The gate's verdict", gate]] : []),
    ["Compared in the shadow", `${seen.shadow_readings} readings`],
    ...(seen.shadow_readings ? [
      ["Judged otherwise", share(seen.disagreement, 1)],
      ["Time per reading", `${seen.slowdown.toFixed(2)} times the running one's`],
    ] : []),
    ["On probation", `${seen.soak_readings} readings`],
  ]);
}

// Ends of intervals and confusions stand in the bundle's model card: here they would bury the rest.
function metricsTable(metrics) {
  const faults = new Map();
  const rest = [];
  for (const [name, value] of Object.entries(metrics)) {
    const found = /^twin\.(\w+)\.(recall|precision|false_rate)$/.exec(name);
    if (found) faults.set(found[1], { ...faults.get(found[1]), [found[2]]: value });
    else if (!/\.(lo|hi)$|\.confusion\./.test(name)) rest.push([METRIC_WORDS[name] ?? SCORE_WORDS[name] ?? words(name), known(METRIC_WORDS[name]) ? share(value, 1) : String(Number(value.toPrecision(4)))]);
  }
  byId("metrics").replaceChildren(...[...faults].map(([fault, row]) => {
    const line = make("tr");
    line.append(make("th", faultWord(fault), { scope: "row" }));
    for (const key of ["recall", "precision", "false_rate"]) {
      line.append(make("td", known(row[key]) ? share(row[key], key === "false_rate" ? 2 : 1) : "–"));
    }
    return line;
  }));
  pairs(byId("other-metrics"), rest);
}

const CHANGE_MS = 90_000; // longer than the edge's own patience with a bundle

// One change, with the token; what the edge says against it stands below the form.
async function change(path, body, said) {
  const form = byId("swap-form");
  if (!form.elements.token.reportValidity()) return;
  const token = form.elements.token.value;
  const buttons = document.querySelectorAll("#swap-form button, #earlier button");
  write(byId("swap-trouble"), "");
  write(byId("swap-said"), said);
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await fetch(path, {
      signal: AbortSignal.timeout(CHANGE_MS), method: "POST", headers: { authorization: `Bearer ${token}`, ...(body ? { "content-type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (answer.status === 401) sessionStorage.removeItem("token");
    if (!answer.ok) {
      const { error } = await answer.json();
      throw new Error(error.message ?? error);
    }
    sessionStorage.setItem("token", token);
  } catch (error) {
    write(byId("swap-trouble"), `Not done: ${unanswered(error)}`);
  }
  write(byId("swap-said"), "");
  for (const button of buttons) button.disabled = false;
  await show();
}

const repository = (name, act) => `/v2/repository/models/${encodeURIComponent(name)}/${act}`;

// A tap that slips must not change the models: the button asks once more.
function goBackButton({ name, version, digest }) {
  const words = `Go back to version ${version}`;
  const button = make("button", words, { type: "button", "data-digest": digest });
  let sure = 0;
  button.addEventListener("click", () => {
    clearTimeout(sure);
    if (button.dataset.sure) {
      change("/v1/model/back", { digest }, `Going back to ${name}, version ${version} ...`);
      return;
    }
    button.dataset.sure = "yes";
    write(button, "Sure? It runs at once");
    sure = setTimeout(() => {
      delete button.dataset.sure;
      write(button, words);
    }, SURE_MS);
  });
  return button;
}

function drawEarlier(earlier, changes) {
  const list = byId("earlier");
  const key = JSON.stringify([earlier, changes]);
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  byId("earlier-title").hidden = earlier.length === 0;
  list.replaceChildren(...earlier.map((one) => {
    const item = make("li", `${one.name}, version ${one.version}, ${one.digest.slice(0, 12)}, left ${at(one.left_ts_s)}`);
    if (changes) item.append(goBackButton(one));
    return item;
  }));
}

function drawSwap(changes) {
  const underWay = known(candidate) && UNDER_WAY.includes(candidate.phase);
  byId("swap-off").hidden = changes;
  byId("swap-form").hidden = !changes;
  byId("rollback").hidden = !underWay;
  if (underWay) write(byId("rollback"), `${candidate.phase === "soak" ? "Roll back" : "Call off"} version ${candidate.version}`);
  const { token } = byId("swap-form").elements;
  if (!token.value) token.value = sessionStorage.getItem("token") ?? "";
  clearTimeout(again);
  if (underWay && !byId("view-models").hidden) again = setTimeout(show, AGAIN_MS);
}

export function start() {
  subscribe((change) => {
    if (change === null && link.state === "live" && !byId("view-models").hidden) show();
  });
  const form = byId("swap-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(repository(form.elements.bundle.value, "load"), null, "It is being tried ...");
  });
  byId("rollback").addEventListener("click", () => change(repository(candidate.name, "unload"), null, "It is being called off ..."));
}

export async function show() {
  const trouble = byId("models-trouble");
  try {
    const [model, site] = await Promise.all([ask("/v1/model"), ask("/v1/site")]);
    candidate = model.candidate;
    pairs(byId("bundle"), [
      ["Bundle", model.name], ["Version", String(model.version)],
      ...(known(model.release) ? [["Release", model.release ? String(model.release) : "not signed, as installed"]] : []),
      ["Digest", model.digest.slice(0, 12)],
      ["Window", `${model.window_samples} samples, at least ${model.window_min_samples}`],
      ["Sampling rate", `${model.fs_hz[0] / 1000} – ${model.fs_hz[1] / 1000} kHz`],
      ["Names", model.classes.map(faultWord).join(", ")],
    ]);
    pairs(byId("training"), Object.entries(model.training).map(([key, value]) => [words(key), value]));
    metricsTable(model.metrics);
    drawGate(model.gate);
    drawDrift(model.drift);
    byId("no-candidate").hidden = known(model.candidate);
    byId("candidate").hidden = !known(model.candidate);
    if (model.candidate) drawCandidate(model.candidate);
    drawEnded(model.ended);
    drawSwap(site.changes);
    drawEarlier(model.earlier, site.changes);
    trouble.hidden = true;
    byId("models-shown").hidden = false;
  } catch (error) {
    write(trouble, `The models cannot be shown: ${error.message}`);
    trouble.hidden = false;
  }
}
