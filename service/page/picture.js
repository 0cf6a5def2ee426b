// What the page knows: motors, alerts and notes as /v1/stream tells them. Views subscribe; nobody else keeps copies.

const REOPEN_MS = [1000, 60000]; // the first wait after a refusal, and the longest
const SILENT_MS = 8000; // the edge says something every 3 s
const ANSWER_MS = 20000; // longest wait for an answer: one that never comes must not keep a view from asking again
const listeners = new Set();

export const motors = new Map();
export const alerts = new Map();
export const notes = new Map();
export const link = { state: "waiting", newestMs: 0, came: false };
let clockLeadS = 0;

let reopenMs = REOPEN_MS[0];
let source = null; // the open stream, null between a refusal and the next attempt
let heardMs = 0;

export const clockLead = () => clockLeadS; // by how many seconds the edge's clock is ahead of this device's
export const edgeNowS = () => Date.now() / 1000 + clockLeadS;
// listener({ motors: Set of ids, alerts: bool, gone: [id] }) after every change, listener(null) when the link changes
export const subscribe = (listener) => listeners.add(listener);

export async function ask(path) {
  let answer;
  let body;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
    body = await answer.json();
  } catch {
    throw new Error("the edge does not answer; it is asked again as soon as it does");
  }
  if (answer.ok) return body;
  throw new Error(`${body.error.message}: ${body.error.remedy}`);
}

function tell(change) {
  for (const listener of listeners) listener(change);
}

function noteAlert(alert) {
  const before = alerts.get(alert.id);
  if (!before || before.revision <= alert.revision) alerts.set(alert.id, alert);
}

function noteNote(note) {
  const said = notes.get(note.alert) ?? [];
  if (!said.some((one) => one.ts_s === note.ts_s && one.text === note.text)) notes.set(note.alert, [...said, note]);
}

function bound() {
  const ended = [...alerts.values()].filter((alert) => alert.state === "clear").sort((a, b) => b.ts_s - a.ts_s);
  for (const alert of ended.slice(200)) alerts.delete(alert.id);
  for (const id of notes.keys()) if (!alerts.has(id)) notes.delete(id);
}

async function fetchAlerts() {
  const before = [...alerts.keys()];
  const found = await ask("/v1/alerts?cleared=true");
  // what the stream told while the answer was on its way stays
  const present = new Set(found.alerts.map((alert) => alert.id));
  for (const id of before) if (!present.has(id)) alerts.delete(id);
  found.alerts.forEach(noteAlert);
  found.notes.forEach(noteNote);
  bound();
  tell({ motors: new Set(), alerts: true, gone: [] });
}

function take(event) {
  const news = JSON.parse(event.data);
  clockLeadS = news.ts_s - Date.now() / 1000;
  link.newestMs = Date.now();
  link.came = true;
  const gone = news.gone.slice();
  if (news.full) {
    const present = new Set(news.motors.map((motor) => motor.motor));
    gone.push(...[...motors.keys()].filter((id) => !present.has(id)));
  }
  for (const id of gone) motors.delete(id);
  for (const motor of news.motors) motors.set(motor.motor, motor);
  if (news.full) fetchAlerts().catch(() => {}); // the stream's own error handling tells of a lost edge
  news.alerts.forEach(noteAlert);
  news.notes.forEach(noteNote);
  bound();
  tell({
    motors: new Set(news.motors.map((motor) => motor.motor)),
    alerts: news.alerts.length + news.notes.length > 0,
    gone,
  });
}

function say(state) {
  link.state = state;
  tell(null);
}

function heard() {
  heardMs = performance.now();
}

export function listen() {
  source?.close();
  source = new EventSource("/v1/stream");
  heard();
  source.addEventListener("open", () => {
    heard();
    reopenMs = REOPEN_MS[0];
    say("live");
  });
  source.addEventListener("news", (event) => {
    heard();
    take(event);
  });
  source.addEventListener("beat", heard);
  source.addEventListener("error", () => {
    say("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source = null;
    setTimeout(listen, reopenMs * (0.5 + Math.random() / 2)); // pages that lost the edge together do not come back together
    reopenMs = Math.min(2 * reopenMs, REOPEN_MS[1]);
  });
}

// A pulled cable, an edge that stands still, an attempt that nobody answers: none of them is an error to the browser.
function watch() {
  if (source === null || performance.now() - heardMs < SILENT_MS) return;
  say("lost");
  listen();
}

export function start() {
  listen();
  setInterval(watch, 1000);
  document.addEventListener("visibilitychange", watch); // timers of hidden pages are slow
}
