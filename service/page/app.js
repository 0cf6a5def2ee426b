// The live page. It draws what /v1/stream sends: the whole picture first, then what changed. Texts that come from
// outside only ever become text nodes.

const URGENCY = { alarm: 0, warning: 1, silent: 2, ok: 3, unheard: 4 };
const STATE_WORDS = { alarm: "Alarm", warning: "Warning", silent: "Silent", ok: "OK", unheard: "No reading yet" };
const FAULT_WORDS = {
  healthy: "Healthy", anomaly: "Unlike a healthy motor", inner_race: "Inner race", outer_race: "Outer race",
  ball: "Rolling element", cage: "Cage", imbalance: "Imbalance", misalignment: "Misalignment",
  looseness: "Looseness", cooling: "Cooling", overload: "Overload",
};
const SORT_EVERY_MS = 1000;
const ALERTS_SHOWN = 100;
const READY_EVERY_MS = 5000;
const REOPEN_MS = 5000;

const byId = (id) => document.getElementById(id);
const motors = new Map();
const tiles = new Map();
const alerts = new Map();
let clockLeadS = 0;
let newestMs = 0;
let orderStale = false;
let pictureCame = false;

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const faultWord = (name) => FAULT_WORDS[name] ?? name;
const known = (value) => value !== null && value !== undefined;
const edgeNowS = () => Date.now() / 1000 + clockLeadS;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function span(hours) {
  if (hours < 1) return `${Math.max(1, Math.round(hours * 60))} min`;
  if (hours < 72) return `${hours < 10 ? hours.toFixed(1) : Math.round(hours)} h`;
  if (hours < 24 * 90) return `${Math.round(hours / 24)} d`;
  if (hours < 24 * 730) return `${Math.round(hours / 730)} months`;
  return `${Math.round(hours / 8766)} years`;
}

function remaining(health) {
  const { rul_h: middle, rul_low_h: low, rul_high_h: high } = health;
  if (!known(middle)) return known(low) ? `over ${span(low)}` : "no end in sight";
  if (!known(low)) return span(middle);
  return known(high) ? `${span(middle)} (${span(low)} – ${span(high)})` : `${span(middle)} (over ${span(low)})`;
}

function ago(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

function stateOf(motor) {
  if (!motor.health) return motor.availability === "silent" ? "silent" : "unheard";
  return motor.health.state === "ok" && motor.availability === "silent" ? "silent" : motor.health.state;
}

function diagnosisOf(motor) {
  if (!motor.health) return "Waiting for its first reading";
  const probability = motor.health.probabilities[motor.health.diagnosis];
  const sure = known(probability) ? `, ${Math.round(probability * 100)} % likely` : "";
  const word = faultWord(motor.health.diagnosis) + sure;
  return motor.availability === "silent" ? `${word}, sensor silent` : word;
}

function draw(motor) {
  let tile = tiles.get(motor.motor);
  if (!tile) {
    const item = byId("tile").content.cloneNode(true).firstElementChild;
    tile = { item, gauge: item.querySelector(".gauge"), fields: {} };
    for (const field of item.querySelectorAll("[data-field]")) tile.fields[field.dataset.field] = field;
    tiles.set(motor.motor, tile);
    byId("fleet").append(item);
  }
  const { item, gauge, fields } = tile;
  const health = motor.health ?? {};
  const state = stateOf(motor);
  item.dataset.state = state;
  const title = item.querySelector("h3");
  write(title, motor.name || motor.motor);
  title.title = motor.clock === "simulated" ? `${motor.motor}, simulated clock` : motor.motor;
  write(item.querySelector(".state"), STATE_WORDS[state]);
  write(item.querySelector(".diagnosis"), diagnosisOf(motor));
  const percent = known(health.health) ? `${Math.round(health.health * 100)} %` : "–";
  write(fields.health, percent);
  gauge.setAttribute("aria-label", `health ${percent}`);
  gauge.firstElementChild.style.inlineSize = known(health.health) ? `${health.health * 100}%` : "0";
  write(fields.rul, motor.health ? remaining(health) : "–");
  write(fields.anomaly, known(health.anomaly) ? health.anomaly.toFixed(2) : "–");
  drawSeen(motor);
}

function drawSeen(motor) {
  const seen = motor.heard_ts_s ? ago(edgeNowS() - motor.heard_ts_s) : "–";
  write(tiles.get(motor.motor).fields.seen, seen);
}

function moreUrgent(a, b) {
  const [first, second] = [a.health ?? {}, b.health ?? {}];
  return URGENCY[stateOf(a)] - URGENCY[stateOf(b)]
    || (first.rul_h ?? 1e9) - (second.rul_h ?? 1e9)
    || (second.severity ?? 0) - (first.severity ?? 0)
    || a.motor.localeCompare(b.motor, undefined, { numeric: true });
}

function arrange() {
  orderStale = false;
  const sought = byId("search").value.trim().toLowerCase();
  const counts = {};
  let shown = 0;
  let place = byId("fleet").firstElementChild;
  for (const motor of [...motors.values()].sort(moreUrgent)) {
    const { item } = tiles.get(motor.motor);
    counts[stateOf(motor)] = (counts[stateOf(motor)] ?? 0) + 1;
    item.hidden = sought !== "" && !`${motor.motor} ${motor.name}`.toLowerCase().includes(sought);
    if (!item.hidden) shown += 1;
    if (item === place) place = place.nextElementSibling;
    else byId("fleet").insertBefore(item, place);
  }
  byId("empty").hidden = motors.size > 0 || !pictureCame;
  byId("nothing").hidden = motors.size === 0 || shown > 0;
  byId("totals").replaceChildren(...Object.keys(URGENCY).filter((state) => counts[state]).map((state) => {
    const [box, word, number] = ["div", "dt", "dd"].map((name) => document.createElement(name));
    box.dataset.state = state;
    word.textContent = STATE_WORDS[state];
    number.textContent = counts[state];
    box.append(word, number);
    return box;
  }));
  document.title = counts.alarm ? `(${counts.alarm}) motortwin` : "motortwin";
}

function drawAlerts() {
  const open = (alert) => alert.state !== "clear";
  const sorted = [...alerts.values()].sort((a, b) => open(b) - open(a) || b.ts_s - a.ts_s);
  for (const old of sorted.splice(ALERTS_SHOWN)) if (!open(old)) alerts.delete(old.id);
  byId("alerts").replaceChildren(...sorted.map((alert) => {
    const item = byId("alert").content.cloneNode(true).firstElementChild;
    item.dataset.state = open(alert) ? "alarm" : "clear";
    write(item.querySelector("strong"), faultWord(alert.condition));
    write(item.querySelector(".where"), motors.get(alert.motor)?.name || alert.motor);
    write(item.querySelector(".why"), alert.reason);
    const began = moment.format(alert.opened_ts_s * 1000);
    write(item.querySelector(".when"), open(alert) ? `since ${began}` : `${began} – cleared ${moment.format(alert.ts_s * 1000)}`);
    return item;
  }));
  byId("calm").hidden = sorted.some(open) || !pictureCame;
}

function noteAlert(alert) {
  const before = alerts.get(alert.id);
  if (!before || before.revision <= alert.revision) alerts.set(alert.id, alert);
}

async function fetchAlerts() {
  const answer = await fetch("/v1/alerts?cleared=true");
  if (!answer.ok) return;
  alerts.clear();
  for (const alert of (await answer.json()).alerts) noteAlert(alert);
  drawAlerts();
}

function forget(id) {
  motors.delete(id);
  tiles.get(id)?.item.remove();
  tiles.delete(id);
}

function take(event) {
  const news = JSON.parse(event.data);
  clockLeadS = news.ts_s - Date.now() / 1000;
  newestMs = Date.now();
  if (news.full) {
    const present = new Set(news.motors.map((motor) => motor.motor));
    for (const id of [...motors.keys()]) if (!present.has(id)) forget(id);
  }
  news.gone.forEach(forget);
  for (const motor of news.motors) {
    motors.set(motor.motor, motor);
    draw(motor);
  }
  const first = !pictureCame;
  pictureCame = true;
  orderStale = true;
  if (news.full) fetchAlerts().catch(() => {}); // the stream's own error handling tells of a lost edge
  else if (news.alerts.length) {
    news.alerts.forEach(noteAlert);
    drawAlerts();
  }
  if (first) arrange();
}

function say(state, text) {
  byId("link").dataset.state = state;
  write(byId("link"), text);
}

function listen() {
  const source = new EventSource("/v1/stream");
  source.addEventListener("open", () => say("live", "live"));
  source.addEventListener("news", take);
  source.addEventListener("error", () => {
    say("lost", newestMs ? `connection lost, as of ${moment.format(newestMs)}` : "the edge does not answer; trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, REOPEN_MS);
  });
}

async function askReadiness() {
  const box = byId("trouble");
  try {
    const { reasons } = await (await fetch("/health/ready")).json();
    write(box, reasons.join("\n"));
    box.hidden = reasons.length === 0;
  } catch {
    box.hidden = true; // the connection's own line says so
  }
}

async function nameModel() {
  const answer = await fetch("/v1/model");
  if (!answer.ok) return;
  const model = await answer.json();
  write(byId("model"), `Model ${model.name}, version ${model.version}, ${model.digest.slice(0, 12)}`);
}

function chooseTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function switchTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "light" : "dark";
  localStorage.setItem("theme", theme);
  chooseTheme(theme);
}

chooseTheme(localStorage.getItem("theme"));
byId("theme").addEventListener("click", switchTheme);
byId("search").addEventListener("input", arrange);
setInterval(() => {
  if (orderStale) arrange();
  motors.forEach(drawSeen);
}, SORT_EVERY_MS);
setInterval(askReadiness, READY_EVERY_MS);
askReadiness();
nameModel().catch(() => {}); // the footer stays empty; the connection's own line says why
listen();
