// The fleet: one tile a motor, the most urgent first; search, filter by state; open alerts; what they may cost.
// Thousands of motors have a tile only where they are among the most urgent of what was asked for.

import { alerts, ask, edgeNowS, link, motors, notes, subscribe } from "./picture.js";
import { byId, make, write } from "./dom.js";
import {
  STATE_WORDS, WATCH_STEP, ago, amount, at, diagnosisOf, faultWord, known, nextStep, noteWord, percent, remaining, stateOf, watched,
} from "./words.js";

const URGENCY = { alarm: 0, warning: 1, silent: 2, ok: 3, unheard: 4 };
const SORT_EVERY_MS = 1000;
const SORT_SHARE = 0.1; // sorting takes no more of the time than this, however many motors there are
const TILES = 500;
const MONEY_EVERY_MS = 10000;
const MONEY_SOON_MS = 500; // after an alert
const ENDED_SHOWN = 12;

const tiles = new Map();
const changed = new Set();
let wanted = null; // the one state that is shown, null for all
let room = TILES; // how many tiles there may be
let sortAfterMs = 0;
let orderStale = true;
let alertsStale = true;
let frame = 0;
let money = null; // the last sums
let moneySoon = 0;

function tileOf(id) {
  let tile = tiles.get(id);
  if (tile) return tile;
  const item = byId("tile").content.cloneNode(true).firstElementChild;
  const fields = {};
  for (const field of item.querySelectorAll("[data-field]")) fields[field.dataset.field] = field;
  const gauge = item.querySelector(".gauge");
  tile = { item, fields, gauge, bar: gauge.firstElementChild, title: item.querySelector("h3 a"),
    state: item.querySelector(".state"), diagnosis: item.querySelector(".diagnosis"), todo: item.querySelector(".todo") };
  tile.title.href = `#/motor/${id}`;
  tiles.set(id, tile);
  byId("fleet").append(item);
  return tile;
}

function draw(motor) {
  const tile = tileOf(motor.motor);
  const health = motor.health ?? {};
  const state = stateOf(motor);
  if (tile.item.dataset.state !== state) tile.item.dataset.state = state;
  write(tile.title, motor.name || motor.motor);
  tile.title.title = motor.clock === "simulated" ? `${motor.motor}, simulated clock` : motor.motor;
  write(tile.state, STATE_WORDS[state]);
  write(tile.diagnosis, diagnosisOf(motor));
  const share = percent(health.health);
  if (tile.fields.health.textContent !== share) {
    tile.fields.health.textContent = share;
    tile.gauge.setAttribute("aria-label", `health ${share}`);
    tile.bar.style.inlineSize = known(health.health) ? `${health.health * 100}%` : "0";
  }
  write(tile.fields.rul, motor.health ? remaining(health) : "–");
  write(tile.fields.anomaly, known(health.anomaly) ? health.anomaly.toFixed(2) : "–");
  const todo = watched(motor) ? WATCH_STEP : state === "alarm" || state === "warning" ? nextStep(health.diagnosis) : "";
  write(tile.todo, todo && todo + costOf(motor.motor));
  drawSeen(motor);
}

function costOf(id) {
  if (!money?.motors_at_risk.includes(id)) return "";
  return ` · ${amount(money.unplanned_stop_min * money.price_per_min, money.currency)} at risk`;
}

function drop(id) {
  tiles.get(id)?.item.remove();
  tiles.delete(id);
}

function drawSeen(motor) {
  const tile = tiles.get(motor.motor);
  if (tile) write(tile.fields.seen, motor.heard_ts_s ? ago(edgeNowS() - motor.heard_ts_s) : "–");
}

const { compare } = new Intl.Collator(undefined, { numeric: true });

function moreUrgent(a, b) {
  return URGENCY[a.state] - URGENCY[b.state] || a.rul - b.rul || b.severity - a.severity || compare(a.id, b.id);
}

function rank(motor) {
  const health = motor.health ?? {};
  return { motor, id: motor.motor, state: stateOf(motor), rul: health.rul_h ?? 1e9, severity: health.severity ?? 0 };
}

function arrange() {
  const beganMs = performance.now();
  orderStale = false;
  const sought = byId("search").value.trim().toLowerCase();
  const counts = {};
  const asked = [];
  for (const motor of motors.values()) {
    const ranked = rank(motor);
    counts[ranked.state] = (counts[ranked.state] ?? 0) + 1;
    if (wanted !== null && wanted !== ranked.state) continue;
    if (sought === "" || `${motor.motor} ${motor.name} ${diagnosisOf(motor)}`.toLowerCase().includes(sought)) asked.push(ranked);
  }
  const shown = asked.sort(moreUrgent).slice(0, room);
  const kept = new Set(shown.map(({ id }) => id));
  for (const id of [...tiles.keys()]) if (!kept.has(id)) drop(id);
  let place = byId("fleet").firstElementChild;
  for (const { id, motor } of shown) {
    if (!tiles.has(id)) draw(motor);
    const { item } = tiles.get(id);
    if (item === place) place = place.nextElementSibling;
    else byId("fleet").insertBefore(item, place);
  }
  byId("more").hidden = asked.length <= room;
  write(byId("more-word"), `The ${shown.length} most urgent of ${asked.length} motors are shown.`);
  byId("empty").hidden = motors.size > 0 || !link.came;
  byId("nothing").hidden = motors.size === 0 || shown.length > 0;
  drawTotals(counts);
  const title = counts.alarm ? `(${counts.alarm}) motortwin` : "motortwin";
  if (document.title !== title) document.title = title;
  const nowMs = performance.now();
  sortAfterMs = nowMs + (nowMs - beganMs) / SORT_SHARE;
}

// Another question begins with the most urgent again.
function begin() {
  room = TILES;
  arrange();
}

function drawTotals(counts) {
  for (const button of byId("totals").children) {
    const { state } = button.dataset;
    button.hidden = !counts[state] && wanted !== state;
    write(button.firstElementChild, String(counts[state] ?? 0));
    button.setAttribute("aria-pressed", String(wanted === state));
  }
}

function drawAlerts() {
  alertsStale = false;
  const open = (alert) => alert.state !== "clear";
  const newest = [...alerts.values()].sort((a, b) => b.ts_s - a.ts_s);
  const sorted = [...newest.filter(open), ...newest.filter((alert) => !open(alert)).slice(0, ENDED_SHOWN)];
  byId("alerts").replaceChildren(...sorted.map((alert) => {
    const item = byId("alert").content.cloneNode(true).firstElementChild;
    item.dataset.state = open(alert) ? "alarm" : "clear";
    write(item.querySelector("strong"), faultWord(alert.condition));
    const where = item.querySelector(".where");
    write(where, motors.get(alert.motor)?.name || alert.motor);
    where.href = `#/motor/${alert.motor}`;
    write(item.querySelector(".why"), alert.reason);
    const began = at(alert.opened_ts_s);
    const said = (notes.get(alert.id) ?? []).filter((note) => note.kind !== "comment").at(-1);
    const noted = said ? ` · ${noteWord(said.kind)} by ${said.by}` : "";
    write(item.querySelector(".when"), (open(alert) ? `since ${began}` : `${began} – cleared ${at(alert.ts_s)}`) + noted);
    return item;
  }));
  byId("calm").hidden = sorted.some(open) || !link.came;
}

function drawSoon() {
  if (frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    for (const id of changed) if (motors.has(id) && tiles.has(id)) draw(motors.get(id));
    changed.clear();
    if (alertsStale) drawAlerts();
  });
}

function take(change) {
  if (change === null) return;
  change.gone.forEach(drop);
  for (const id of change.motors) changed.add(id);
  orderStale = true;
  alertsStale ||= change.alerts;
  if (change.alerts && !moneySoon) moneySoon = setTimeout(drawMoney, MONEY_SOON_MS);
  drawSoon();
  if (tiles.size === 0 && performance.now() > sortAfterMs) arrange();
}

async function drawMoney() {
  clearTimeout(moneySoon);
  moneySoon = 0;
  if (document.hidden || !motors.size || byId("view-fleet").hidden) return;
  try {
    money = await ask("/v1/money");
    write(byId("at-risk"), amount(money.cost_at_risk, money.currency));
    write(byId("at-risk-formula"), money.cost_at_risk_formula);
    write(byId("avoided"), amount(money.cost_avoided, money.currency));
    write(byId("avoided-formula"), money.cost_avoided_formula);
    byId("money").hidden = false;
    for (const motor of motors.values()) if (tiles.has(motor.motor)) changed.add(motor.motor);
    drawSoon();
  } catch {
    byId("money").hidden = true; // readiness says why, above
  }
}

export function start() {
  byId("totals").append(...Object.keys(URGENCY).map((state) => {
    const button = make("button", "", { type: "button", "data-state": state, "aria-pressed": "false" });
    button.append(make("b"), ` ${STATE_WORDS[state]}`);
    button.hidden = true;
    button.addEventListener("click", () => {
      wanted = wanted === state ? null : state;
      begin();
    });
    return button;
  }));
  byId("search").addEventListener("input", begin);
  byId("more-button").addEventListener("click", () => {
    room += TILES;
    arrange();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    if (byId("view-fleet").hidden) return;
    event.preventDefault();
    byId("search").focus();
  });
  subscribe(take);
  setInterval(() => {
    if (document.hidden) return;
    if (orderStale && performance.now() > sortAfterMs) arrange();
    if (!byId("view-fleet").hidden) for (const id of tiles.keys()) drawSeen(motors.get(id));
  }, SORT_EVERY_MS);
  setInterval(drawMoney, MONEY_EVERY_MS);
  setTimeout(drawMoney, 1500);
}

export function show() {
  arrange();
  drawMoney();
}
