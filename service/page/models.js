// The models: which bundle runs, where it comes from, how good it is, and what became of the last offer.

import { ask } from "./picture.js";
import { byId, make, pairs, write } from "./dom.js";
import { faultWord, known } from "./words.js";

const UNDER_WAY = ["trial", "shadow", "soak"];
const AGAIN_MS = 1500;
let again = 0;
let candidate = null;

const words = (key) => key.replaceAll("_", " ");

function metricsTable(metrics) {
  const faults = new Map();
  const rest = [];
  for (const [name, value] of Object.entries(metrics)) {
    const found = /^twin\.(\w+)\.(recall|precision|false_rate)$/.exec(name);
    if (found) faults.set(found[1], { ...faults.get(found[1]), [found[2]]: value });
    else rest.push([words(name.replaceAll(".", " ")), String(value)]);
  }
  byId("metrics").replaceChildren(...[...faults].map(([fault, row]) => {
    const line = make("tr");
    line.append(make("th", faultWord(fault), { scope: "row" }));
    for (const key of ["recall", "precision", "false_rate"]) {
      line.append(make("td", known(row[key]) ? `${(row[key] * 100).toFixed(key === "false_rate" ? 2 : 1)} %` : "–"));
    }
    return line;
  }));
  pairs(byId("other-metrics"), rest);
}

// One change, with the token; what the edge says against it stands below the form.
async function change(name, act, said) {
  const form = byId("swap-form");
  const token = form.elements.token.value;
  const buttons = form.querySelectorAll("button");
  write(byId("swap-trouble"), "");
  write(byId("swap-said"), said);
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await fetch(`/v2/repository/models/${encodeURIComponent(name)}/${act}`, {
      method: "POST", headers: { authorization: `Bearer ${token}` },
    });
    if (!answer.ok) {
      const { error } = await answer.json();
      throw new Error(error.message ?? error);
    }
    sessionStorage.setItem("token", token);
  } catch (error) {
    write(byId("swap-trouble"), `Not done: ${error.message}`);
  }
  write(byId("swap-said"), "");
  for (const button of buttons) button.disabled = false;
  await show();
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
  const form = byId("swap-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change(form.elements.bundle.value, "load", "It is being tried ...");
  });
  byId("rollback").addEventListener("click", () => {
    if (form.elements.token.reportValidity()) change(candidate.name, "unload", "It is being called off ...");
  });
}

export async function show() {
  const trouble = byId("models-trouble");
  try {
    const [model, site] = await Promise.all([ask("/v1/model"), ask("/v1/site")]);
    candidate = model.candidate;
    pairs(byId("bundle"), [
      ["Bundle", model.name], ["Version", String(model.version)],
      ...(known(model.release) ? [["Release", model.release ? String(model.release) : "not signed, as installed"]] : []),
      ["Digest", model.digest],
      ["Window", `${model.window_samples} samples, at least ${model.window_min_samples}`],
      ["Sampling rate", `${model.fs_hz[0] / 1000} – ${model.fs_hz[1] / 1000} kHz`],
      ["Names", model.classes.map(faultWord).join(", ")],
      ...Object.entries(model.training).map(([key, value]) => [words(key), value]),
    ]);
    metricsTable(model.metrics);
    byId("no-candidate").hidden = known(model.candidate);
    byId("candidate").hidden = !known(model.candidate);
    if (model.candidate) {
      pairs(byId("candidate"), Object.entries(model.candidate).map(([key, value]) =>
        [words(key), known(value) && value !== "" ? String(value) : "–"]));
    }
    drawSwap(site.changes);
    trouble.hidden = true;
  } catch (error) {
    write(trouble, `The models cannot be shown: ${error.message}`);
    trouble.hidden = false;
  }
}
