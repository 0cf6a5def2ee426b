// The models: which bundle runs, where it comes from, how good it is, and what became of the last offer.

import { ask } from "./picture.js";
import { byId, make, pairs, write } from "./dom.js";
import { faultWord, known } from "./words.js";

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

export async function show() {
  const trouble = byId("models-trouble");
  try {
    const model = await ask("/v1/model");
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
    trouble.hidden = true;
  } catch (error) {
    write(trouble, `The models cannot be shown: ${error.message}`);
    trouble.hidden = false;
  }
}
