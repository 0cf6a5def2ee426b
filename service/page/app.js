// The page: which view is shown, the line to the edge, readiness, light and dark. Views stand in modules of their own.

import { ask, clockLead, link, start as startPicture, subscribe } from "./picture.js";
import { byId, write } from "./dom.js";
import * as fleet from "./fleet.js";
import * as models from "./models.js";
import * as motor from "./motor.js";
import { at, span } from "./words.js";

const READY_EVERY_MS = 5000;
const CLOCK_OFF_S = 90;

function route() {
  const [, view, id] = location.hash.split("/");
  const shown = view === "motor" && id ? "motor" : view === "models" ? "models" : "fleet";
  for (const name of ["fleet", "motor", "models"]) byId(`view-${name}`).hidden = name !== shown;
  for (const anchor of document.querySelectorAll("body > header nav a")) {
    if (anchor.dataset.view === shown) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  motor.show(shown === "motor" ? id : null); // an id needs no escaping
  if (shown === "fleet") fleet.show();
  if (shown === "models") models.show();
  scrollTo(0, 0);
}

function sayLink() {
  const box = byId("link");
  box.dataset.state = document.body.dataset.link = link.state;
  write(box, link.state === "live" ? "live" : link.newestMs ? "connection lost" : "the edge does not answer; trying again");
  const stale = byId("stale");
  if (link.newestMs) write(stale, `Connection lost: what stands here is as of ${at(link.newestMs / 1000)} and may be wrong by now. Trying again by itself; if it lasts, check that the edge is up and this device is in its network.`);
  stale.hidden = link.state === "live" || !link.newestMs;
}

function sayClock() {
  const lead = link.came ? clockLead() : 0;
  const box = byId("clock");
  const off = Math.abs(lead) > CLOCK_OFF_S;
  if (off) write(box, `This device's clock is ${span(Math.abs(lead) / 3600)} ${lead > 0 ? "behind" : "ahead of"} the edge's. Times on this page are the edge's: set the clock that is wrong.`);
  if (box.hidden === off) box.hidden = !off;
}

async function askReadiness() {
  const box = byId("trouble");
  try {
    const { reasons } = await (await fetch("/health/ready", { signal: AbortSignal.timeout(READY_EVERY_MS) })).json();
    write(box, reasons.join("\n"));
    box.hidden = reasons.length === 0;
  } catch {
    box.hidden = true; // the connection's own line says so
  }
}

async function nameModel() {
  const model = await ask("/v1/model");
  write(byId("model"), `Model ${model.name}, version ${model.version}, ${model.digest.slice(0, 12)}`);
}

function chooseTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function switchTheme() {
  const { theme } = document.documentElement.dataset;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const next = dark ? "light" : "dark";
  localStorage.setItem("theme", next);
  chooseTheme(next);
  motor.recolour();
}

chooseTheme(localStorage.getItem("theme"));
byId("theme").addEventListener("click", switchTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => motor.recolour());
subscribe((change) => {
  if (change !== null) return;
  sayLink();
  if (link.state === "live") nameModel().catch(() => {}); // the footer stays; the connection's own line says why
});
fleet.start();
motor.start();
models.start();
addEventListener("hashchange", route);
route();
setInterval(askReadiness, READY_EVERY_MS);
setInterval(sayClock, READY_EVERY_MS);
askReadiness();
startPicture();
