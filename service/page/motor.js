// One motor: what is wrong, how sure, how long, what it may cost, what to do; its past; its last window; its alerts.

import { alerts, ask, edgeNowS, link, motors, subscribe } from "./picture.js";
import { bars, byId, make, pairs, write } from "./dom.js";
import { Chart, figure, ready } from "./charts.js";
import {
  STATE_WORDS, WATCH_STEP, adviceFor, ago, amount, at, bandWord, diagnosisOf, faultWord, figure as number, filterInWords, known,
  noteWord, percent, remaining, span, stateOf, signalWord, watched, unanswered, widest
} from "./words.js";

const REFRESH_MS = 4000;
const LEAST_LIFE_H = 24; // the axis of remaining life reaches this far at least
const MARK_WORDS = { bpfo: "BPFO", bpfi: "BPFI", bsf: "BSF", ftf: "FTF", shaft: "shaft" };

let shown = null; // the motor's id
let detail = null;
let charts = null;
let marks = [];
let shaftMarks = [];
let stale = false;
let lifeTop = LEAST_LIFE_H;
let busy = false;
let site = { changes: false };

function trend(parent, title, hint, what) {
  const place = figure(parent, title, hint);
  return { chart: new Chart(place.place, { x: "time", ...what }), ...place };
}

function makeCharts() {
  const trends = byId("trends");
  const windows = byId("windows");
  const zones = detail?.zones_mm_s ?? [0.71, 1.8, 4.5];
  const up = (least) => (_low, high) => [0, Math.max(least, high * 1.12)];
  charts = {
    health: trend(trends, "Health and severity", "100 % as new, 0 % failed", {
      unit: "%", digits: 0, range: () => [0, 104],
      series: [{ word: "Health", tone: "ok", width: 2 }, { word: "Severity", tone: "alarm", dash: [5, 4] }] }),
    anomaly: trend(trends, "Anomaly", "above 1 it is unlike a healthy motor", {
      unit: "", threshold: 1, range: up(1.3), series: [{ word: "Anomaly", tone: "accent", width: 2 }] }),
    rul: trend(trends, "Remaining life", "", {
      unit: "h", digits: 0, band: [1, 2], range: () => [0, lifeTop], series: [
        { word: "Upper", tone: "soft", width: 1 }, { word: "Lower", tone: "soft", width: 1 },
        { word: "Remaining life", tone: "accent", width: 2 }] }),
    velocity: trend(trends, "Vibration velocity", "", {
      unit: "mm/s", zones, range: up(zones[1] * 1.1), series: [{ word: "RMS 10–1000 Hz", tone: "text", width: 2 }] }),
    accel: trend(trends, "Vibration acceleration", "RMS of the whole window", {
      unit: "m/s²", range: up(1), series: [{ word: "RMS", tone: "accent", width: 2 }] }),
    heat: trend(trends, "Temperatures", "", { unit: "°C", digits: 1, range: (low, high) => [Math.min(low, 15) - 2, high + 5],
      series: [{ word: "Winding", tone: "alarm", width: 2 }, { word: "Housing", tone: "warning", width: 2 },
        { word: "Ambient", tone: "accent" }] }),
    wave: trend(windows, "Waveform", "", { x: "ms", unit: "m/s²", height: 200, range: (low, high) => {
      const most = Math.max(Math.abs(low), Math.abs(high), 0.1) * 1.1;
      return [-most, most];
    }, series: [{ word: "Acceleration", tone: "accent", width: 1 }] }),
    spectrum: trend(windows, "Spectrum", "", { x: "Hz", unit: "m/s²", digits: 3, height: 200, marks: () => shaftMarks,
      range: up(0.01), series: [{ word: "Amplitude", tone: "accent", width: 1 }] }),
    envelope: trend(windows, "Envelope spectrum", "", { x: "Hz", unit: "of the mean", height: 260, marks: () => marks,
      range: up(0.1), series: [{ word: "Squared envelope", tone: "accent", width: 1 }] }),
  };
  charts.velocity.hint(`zones of ISO 20816-1 (${zones.join(" / ")} mm/s): A as new, B unrestricted, C not for long, D damaging`);
  charts.envelope.box.classList.add("wide");
}

const scaled = (list, factor) => list.map((value) => (value === null ? null : value * factor));
const lastKnown = (list) => list.findLast(known);

// The axis follows estimate and lower end, which one plans by: an upper end of months would press both to the ground.
function lifeAxis(columns) {
  const planned = [...columns.rul_h, ...columns.rul_low_h].filter(known);
  const top = 1.25 * planned.reduce((most, value) => Math.max(most, value), LEAST_LIFE_H);
  const cut = columns.rul_high_h.some((value) => known(value) && value > top);
  charts.rul.hint(`with its 90 % interval, no band where its end is open${cut ? `; upper ends beyond ${span(top)} are cut off` : ""}`);
  return top;
}

function drawTrends(past) {
  const { columns } = past;
  const { ts_s: ts } = columns;
  const enough = ts.length > 1;
  byId("no-trends").hidden = enough;
  byId("trends").hidden = !enough;
  if (!enough) return;
  const between = `from ${at(ts[0])} to ${at(ts.at(-1))}`;
  const say = (name, unit, digits = 1) => {
    const list = columns[name].filter(known);
    return list.length ? `${list.length} values ${between}, ${number(Math.min(...list), unit, digits)} to ${number(Math.max(...list), unit, digits)}, last ${number(list.at(-1), unit, digits)}` : "no values";
  };
  charts.health.chart.show([ts, scaled(columns.health, 100), scaled(columns.severity, 100)], `Health, ${say("health", "", 2)}`);
  charts.anomaly.chart.show([ts, columns.anomaly], `Anomaly, ${say("anomaly", "", 2)}`);
  lifeTop = lifeAxis(columns);
  charts.rul.chart.show([ts, columns.rul_high_h, columns.rul_low_h, columns.rul_h], `Remaining life, ${say("rul_h", "h", 0)}`);
  charts.velocity.chart.show([ts, columns.velocity_rms_mm_s], `Vibration velocity, ${say("velocity_rms_mm_s", "mm/s", 2)}`);
  charts.accel.chart.show([ts, columns.accel_rms_m_s2], `Vibration acceleration, ${say("accel_rms_m_s2", "m/s²", 2)}`);
  charts.heat.chart.show([ts, columns.winding_c, columns.housing_c, columns.ambient_c], `Winding, ${say("winding_c", "°C")}`);
  pairs(byId("operating"), [
    ["Speed", number(lastKnown(columns.speed_rpm), "1/min", 0)],
    ["Load", percent(lastKnown(columns.load))],
    ["Current", number(lastKnown(columns.current_a), "A")],
    ["Winding", number(lastKnown(columns.winding_c), "°C")],
    ["Housing", number(lastKnown(columns.housing_c), "°C")],
    ["Velocity", number(lastKnown(columns.velocity_rms_mm_s), "mm/s", 2)],
  ]);
}

function drawWindow(last) {
  const axis = (count, step) => Array.from({ length: count }, (_, index) => index * step);
  const { marks_hz: hz } = last;
  const top = last.envelope_step_hz * (last.envelope.length - 1);
  const until = Math.min(top, Math.max(3.3 * (hz.bpfi ?? 0), 10 * (hz.shaft ?? 0), 100));
  const kept = Math.ceil(until / last.envelope_step_hz) + 1;
  const blurred = last.steady === false;
  marks = [];
  for (const name of ["ftf", "bsf", "bpfo", "bpfi"]) {
    if (blurred || !known(hz[name])) continue;
    // a defective rolling element strikes both races, so its line is at twice its spin
    const base = name === "bsf" ? 2 * hz.bsf : hz[name];
    const word = name === "bsf" ? "2 BSF" : MARK_WORDS[name];
    for (const times of name === "ftf" ? [1] : [1, 2, 3]) marks.push([times === 1 ? word : name === "bsf" ? `${2 * times} BSF` : `${times} ${word}`, base * times]);
  }
  shaftMarks = hz.shaft && !blurred ? [1, 2, 3].map((times) => [`${times}×`, hz.shaft * times]) : [];
  const when = `axis ${last.axis}, ${at(last.ts_s)}`;
  charts.wave.hint(`${when}, ${last.fs_hz / 1000} kHz`);
  const why = blurred
    ? `not marked: the speed went from ${number(last.speed_before_rpm, "1/min", 0)} to ${number(last.speed_rpm, "1/min", 0)}, so lines that follow the shaft are blurred` : "";
  charts.spectrum.hint(`${why || `lines at 1, 2, 3 times the shaft's ${number(hz.shaft, "Hz")}`}; drag to zoom, double-click to go back`);
  const speed = `${number(last.speed_rpm, "1/min", 0)}${last.speed_measured ? "" : " (rated, speed is not measured)"}`;
  const unsure = last.steady === null && last.speed_measured ? ", if it did not change" : "";
  charts.envelope.hint(why ? `band ${last.envelope_band_hz.join("–")} Hz; ${why}` : marks.length
    ? `band ${last.envelope_band_hz.join("–")} Hz; marks at ${speed}${unsure}: ${["bpfo", "bpfi", "bsf", "ftf"].filter((name) => known(hz[name])).map((name) => `${MARK_WORDS[name]} ${hz[name].toFixed(1)} Hz`).join(", ")}`
    : `band ${last.envelope_band_hz.join("–")} Hz; the bearing is unknown: name it in the birth message to see its frequencies`);
  const loudest = (list, step) => (list.indexOf(Math.max(...list.slice(1))) * step).toFixed(1);
  charts.wave.chart.show([axis(last.accel_m_s2.length, 1000 / last.fs_hz), last.accel_m_s2], `Waveform, ${when}`);
  charts.spectrum.chart.show([axis(last.spectrum.length, last.spectrum_step_hz), last.spectrum], `Spectrum, highest line at ${loudest(last.spectrum, last.spectrum_step_hz)} Hz`);
  const lines = last.envelope.slice(0, kept);
  charts.envelope.chart.show([axis(lines.length, last.envelope_step_hz), lines], `Envelope spectrum, highest line at ${loudest(lines, last.envelope_step_hz)} Hz`);
}

function drawHead() {
  const motor = motors.get(shown);
  byId("unknown").hidden = Boolean(motor) || !link.came;
  byId("known").hidden = !motor;
  if (!motor) {
    write(byId("motor-title"), shown);
    return;
  }
  const health = motor.health ?? { probabilities: {}, diagnosis: "healthy" };
  const state = stateOf(motor);
  byId("view-motor").dataset.state = state;
  write(byId("motor-title"), motor.name || motor.motor);
  write(byId("motor-state"), STATE_WORDS[state]);
  write(byId("motor-diagnosis"), diagnosisOf(motor));
  pairs(byId("motor-facts"), [
    ["Health", percent(health.health)], ["Remaining life", motor.health ? remaining(health) : "–"],
    ...(known(health.rul_q25_h) ? [["9 in 10 end within", widest(health)]] : []),
    ["Severity", percent(health.severity)], ["Anomaly, alarm at 1", number(health.anomaly, "", 2)],
    ["Last seen", motor.heard_ts_s ? ago(edgeNowS() - motor.heard_ts_s) : "–"],
    ["Id", motor.clock === "simulated" ? `${motor.motor}, simulated clock` : motor.motor],
  ]);
  const named = (signals) => signals.map(signalWord).join(", ");
  const remarks = [];
  if (health.missing?.length) remarks.push(`Not measured: ${named(health.missing)}.`);
  if (health.flat?.length) remarks.push(`Stands still and is left out: ${named(health.flat)}; check the sensor and its cable.`);
  const faulty = [...alerts.values()].some((alert) => alert.motor === shown && alert.state !== "clear" && alert.condition !== "anomaly");
  if (health.drift?.length && !faulty) { // a fault that is named explains why levels have moved
    remarks.push(`No longer at the level it had on this motor: ${named(health.drift)}; check the sensor's mounting, or what was changed.`);
  }
  write(byId("motor-missing"), remarks.join(" "));
  const advice = motor.health && watched(motor) ? [`${WATCH_STEP}.`] : adviceFor(health.diagnosis);
  const list = byId("advice");
  if (list.dataset.diagnosis !== health.diagnosis) {
    list.dataset.diagnosis = health.diagnosis;
    list.replaceChildren(...advice.map((text) => make("li", text)));
  }
  const probabilities = Object.entries(health.probabilities).sort((a, b) => b[1] - a[1]);
  bars(byId("probabilities"), probabilities.map(([name, value]) => [faultWord(name), value, percent(value)]));
  const drivers = Object.entries(health.contributions ?? {});
  bars(byId("drivers"), drivers.map(([name, value]) => [bandWord(name), value, percent(value)]));
  byId("drivers-calm").hidden = faulty || drivers.length === 0 || !known(health.anomaly) || health.anomaly >= 1;
  byId("no-vibration").hidden = probabilities.length > 0;
}

function drawDetail() {
  const words = filterInWords(detail.filter);
  byId("filter").replaceChildren(...words.map((text) => make("li", text)));
}

function drawCost(money) {
  const here = money.motors_at_risk.includes(shown);
  write(byId("motor-cost"), here
    ? `${amount(money.unplanned_stop_min * money.price_per_min, money.currency)} at risk: ${money.unplanned_stop_min} min unplanned stop x ${money.price_per_min} ${money.currency}/min`
    : "");
}

function drawAlerts(past) {
  byId("no-alerts").hidden = past.alerts.length > 0;
  byId("csv").href = `/v1/motors/${shown}/history.csv`;
  byId("report").href = `/v1/motors/${shown}/report`;
  byId("past").replaceChildren(...past.alerts.map((alert) => {
    const open = alert.state !== "clear";
    const item = make("li", "", { "data-state": open ? "alarm" : "clear" });
    const head = make("p", "", { class: "what" });
    head.append(make("strong", faultWord(alert.condition)), ` ${open ? `since ${at(alert.opened_ts_s)}` : `${at(alert.opened_ts_s)} – cleared ${at(alert.ts_s)}`}`);
    item.append(head, make("p", alert.reason, { class: "why" }));
    for (const note of alert.notes) {
      const text = note.text ? `: ${note.text}` : "";
      item.append(make("p", `${noteWord(note.kind)} by ${note.by}, ${at(note.ts_s)}${text}`, { class: "note" }));
    }
    if (site.changes) {
      const seen = alert.notes.some((note) => note.kind === "acknowledged");
      const button = make("button", open && !seen ? "Acknowledge" : "Add a note", { type: "button", "data-alert": alert.id });
      button.addEventListener("click", () => openNote(alert, open && !seen ? "acknowledged" : "comment"));
      item.append(button);
    }
    return item;
  }));
}

function openNote(alert, kind) {
  const form = byId("note-form");
  form.dataset.alert = alert.id;
  form.elements.kind.value = kind;
  form.elements.text.value = "";
  form.elements.by.value = localStorage.getItem("name") ?? "";
  form.elements.token.value = sessionStorage.getItem("token") ?? "";
  write(byId("note-title"), `${faultWord(alert.condition)}, since ${at(alert.opened_ts_s)}`);
  write(byId("note-trouble"), "");
  byId("note").showModal();
}

const NOTE_MS = 15_000;

async function saveNote(event) {
  event.preventDefault();
  const form = byId("note-form");
  const { kind, by, text, token } = Object.fromEntries(new FormData(form));
  try {
    const answer = await fetch(`/v1/alerts/${encodeURIComponent(form.dataset.alert)}/notes`, {
      signal: AbortSignal.timeout(NOTE_MS), method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ kind, by, text }),
    });
    if (answer.status === 401) sessionStorage.removeItem("token");
    if (!answer.ok) {
      const { error } = await answer.json();
      throw new Error(`${error.message}; ${error.remedy}`);
    }
    localStorage.setItem("name", by);
    sessionStorage.setItem("token", token);
    byId("note").close();
    stale = true;
    await refresh();
  } catch (error) {
    write(byId("note-trouble"), `Not saved: ${unanswered(error)}`);
  }
}

// The chosen stretch of the past, counted back from the motor's own newest time.
function askPast(path) {
  const hours = Number(byId("period").value);
  const newest = motors.get(shown).health?.ts_s;
  return ask(hours && newest ? `${path}/history?from=${newest - hours * 3600}` : `${path}/history`);
}

async function refresh() {
  if (!shown || busy || document.hidden || !motors.has(shown)) return;
  busy = true;
  stale = false;
  const id = shown;
  const path = `/v1/motors/${encodeURIComponent(id)}`;
  const [info, past, last, said, money] = await Promise.allSettled(
    [ask(path), askPast(path), ask(`${path}/window`), ask(`${path}/alerts`), ask("/v1/money")]);
  try {
    await ready();
    busy = false;
    if (id !== shown) return void refresh();
    if (info.status === "fulfilled") detail = info.value;
    if (!charts && detail) makeCharts();
    if (!charts) return;
    if (info.status === "fulfilled") drawDetail();
    if (past.status === "fulfilled") drawTrends(past.value);
    if (said.status === "fulfilled") drawAlerts(said.value);
    if (money.status === "fulfilled") drawCost(money.value);
    byId("windows").hidden = last.status !== "fulfilled";
    byId("no-window").hidden = last.status === "fulfilled";
    if (last.status === "fulfilled") drawWindow(last.value);
    else write(byId("no-window"), `No window to show: ${last.reason.message}.`);
    byId("motor-trouble").hidden = past.status === "fulfilled";
    if (past.status !== "fulfilled") write(byId("motor-trouble"), `The past cannot be shown: ${past.reason.message}.`);
  } catch (error) {
    write(byId("motor-trouble"), error.message);
    byId("motor-trouble").hidden = false;
  } finally {
    busy = false;
  }
}

function leave() {
  if (charts) for (const { chart, box } of Object.values(charts)) {
    chart.end();
    box.remove();
  }
  charts = null;
  detail = null;
  for (const name of ["operating", "filter", "past", "probabilities", "drivers"]) byId(name).replaceChildren();
  byId("motor-trouble").hidden = true;
  write(byId("motor-cost"), "");
}

export function show(id) {
  if (id === shown) return;
  leave();
  shown = id;
  if (id === null) return;
  drawHead();
  refresh();
  byId("motor-title").focus();
}

export function recolour() {
  if (charts) for (const { chart } of Object.values(charts)) chart.recolour();
}

function askSite() {
  ask("/v1/site").then((found) => {
    site = found;
    byId("changes-off").hidden = site.changes;
    stale = true;
  }).catch(() => {}); // without an answer nothing can be noted; the connection's own line says why
}

export function start() {
  byId("note-form").addEventListener("submit", saveNote);
  byId("period").addEventListener("change", refresh);
  byId("note-cancel").addEventListener("click", () => byId("note").close());
  subscribe((change) => {
    if (change === null && link.state === "live") askSite(); // another edge may have answered: it may have a token now
    if (change === null || shown === null) return;
    if (change.motors.has(shown) || change.gone.includes(shown) || change.alerts || !motors.has(shown)) {
      const first = !charts;
      stale = true;
      drawHead();
      if (first) refresh();
      if (change.alerts && [...alerts.values()].some((alert) => alert.motor === shown)) refresh();
    }
  });
  setInterval(() => {
    if (shown !== null) drawHead();
    if (stale) refresh();
  }, REFRESH_MS);
}
