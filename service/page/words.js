// Words and numbers as people read them. Nothing here touches the page.

export const STATE_WORDS = { alarm: "Alarm", warning: "Warning", silent: "Silent", ok: "OK", unheard: "No reading yet" };

const FAULT_WORDS = {
  healthy: "Healthy", anomaly: "Unlike a healthy motor", inner_race: "Inner race", outer_race: "Outer race",
  ball: "Rolling element", cage: "Cage", imbalance: "Imbalance", misalignment: "Misalignment",
  looseness: "Looseness", cooling: "Cooling", overload: "Overload", rotor_bar: "Rotor bar", bent_shaft: "Bent shaft",
  soft_foot: "Soft foot",
};
const BAND_WORDS = {
  bpfo: "Outer race line (BPFO)", bpfi: "Inner race line (BPFI)", bsf: "Rolling element lines (BSF)", ftf: "Cage line (FTF)",
  shaft_envelope: "Impacts in time with the shaft", impacts: "Impacts at no known frequency",
  half_orders: "Half multiples of shaft speed", order_1: "Line at shaft speed (1x)", order_2: "Line at twice shaft speed (2x)",
  order_3: "Line at three times shaft speed (3x)", high_orders: "Lines from four times shaft speed on", winding: "Winding temperature", housing: "Housing temperature",
  cooling: "Heat flow from winding to housing", load: "Load", current: "Current", levels: "A level that no machine reaches",
  // of bundles up to version 3, which may be gone back to
  orders: "Lines at multiples of shaft speed", envelope_low: "Impacts heard in the low band", envelope_high: "Impacts heard in the high band",
  envelope_narrow_1: "Impacts heard in the lowest of four bands", envelope_narrow_2: "Impacts heard in the second of four bands",
  envelope_narrow_3: "Impacts heard in the third of four bands", envelope_narrow_4: "Impacts heard in the highest of four bands",
  shape: "Peaks of the waveform", thermal: "Temperatures",
};
const NOTE_WORDS = { acknowledged: "Acknowledged", repaired: "Repaired", false_alarm: "False alarm", comment: "Comment" };

const REPLACE_BEARING = [
  "Look at the envelope spectrum: lines at the marked frequency and its multiples confirm it.",
  "Listen again at full load, and check grease and temperature of the drive-end bearing.",
  "Order the bearing and plan its replacement within the remaining life; do not wait for the upper end of it.",
];
const ADVICE = {
  healthy: ["Nothing to do. The next reading is judged as it comes."],
  anomaly: [
    "Something has changed that no fault explains. See below what drives the score.",
    "Check whether load, speed or mounting was changed, and whether the sensor sits tight.",
    "If it stays, measure by hand and note the finding at the alert.",
  ],
  inner_race: [...REPLACE_BEARING, "When it is out, check the shaft's fit: a loose or tight inner ring comes back."],
  outer_race: [...REPLACE_BEARING, "When it is out, check the seat of the housing and whether current passes the bearing."],
  ball: [...REPLACE_BEARING, "Look for dirt or water in the grease: rolling elements seldom fail alone."],
  cage: [
    "A broken cage ends suddenly: shorten the interval of measurement and plan a stop soon.",
    "Check the lubrication first, starved cages break.", "Replace the bearing.",
  ],
  imbalance: [
    "Stop and clean rotor, fan or impeller; look for a lost weight, blade or caked material.",
    "If it stays, balance the rotor in place (ISO 21940-11, G6.3 or better).",
    "Measure again: the line at shaft speed must have fallen.",
  ],
  misalignment: [
    "Check the coupling's elements for wear.",
    "Check for soft foot, then align shafts with the machine warm.",
    "Measure again: lines at twice the shaft speed must have fallen.",
  ],
  looseness: [
    "Tighten foot and bearing-cap bolts to their torque; look for cracks in the frame and the foundation.",
    "Check the sensor's own mounting: a loose sensor looks the same.",
  ],
  cooling: [
    "Clean the fan cowl, the fins and the air path; check that the fan turns the right way and is whole.",
    "Reduce the load until the winding has cooled down: ten degrees more halve the insulation's life.",
  ],
  overload: [
    "Check the driven machine: blocked, dragging, closed valve, wrong product.",
    "Compare the current with the plate and reduce the load.",
    "Check the three phases: a missing or weak one looks like overload.",
  ],
  rotor_bar: [
    "Measure the current's spectrum at full load: side bands at twice the slip frequency confirm it.",
    "Avoid starts: each one drives the crack on. Plan a new rotor.",
  ],
  bent_shaft: [
    "Measure the run-out with a dial gauge while turning the shaft by hand.",
    "Measure along the shaft: strong lines at one and two times the shaft speed confirm it. Do not balance it away.",
  ],
  soft_foot: [
    "Loosen one foot bolt at a time while it runs: the line at twice the line frequency falls at the soft one.",
    "Shim that foot, then align again.",
  ],
};

const BEARING = "Plan the bearing's replacement";
const NEXT = {
  anomaly: "Look what has changed: load, speed, mounting, sensor",
  inner_race: BEARING, outer_race: BEARING, ball: BEARING, cage: "Plan a stop soon: a broken cage ends suddenly",
  imbalance: "Stop, clean rotor and fan, then balance", misalignment: "Check the coupling, align the shafts",
  looseness: "Tighten foot and bearing-cap bolts", cooling: "Clean the air path, reduce the load",
  overload: "Check the driven machine, reduce the load", rotor_bar: "Avoid starts, plan a new rotor",
  bent_shaft: "Measure the run-out", soft_foot: "Shim the soft foot, align again",
};

export const WATCH_STEP = "Nothing yet: a reading lately looked faulty, an alert opens if that repeats";
export const nextStep = (diagnosis) => NEXT[diagnosis] ?? "Look at the alert and measure by hand";
export const faultWord = (name) => FAULT_WORDS[name] ?? name;
export const bandWord = (name) => BAND_WORDS[name] ?? name.replaceAll("_", " ");
export const noteWord = (kind) => NOTE_WORDS[kind] ?? kind;
export const adviceFor = (diagnosis) => ADVICE[diagnosis] ?? ["Look at the alert's reason and measure by hand."];

export const known = (value) => value !== null && value !== undefined;

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const at = (seconds) => moment.format(seconds * 1000);
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
export const amount = (value, currency) => `${whole.format(value)} ${currency}`;
export const percent = (fraction) => (known(fraction) ? `${Math.round(fraction * 100)} %` : "–");

export function figure(value, unit, digits = 1) {
  return known(value) ? `${value.toFixed(digits)} ${unit}`.trim() : "–";
}

export function span(hours) {
  if (hours < 1) return `${Math.max(1, Math.round(hours * 60))} min`;
  if (hours < 72) return `${hours < 10 ? hours.toFixed(1) : Math.round(hours)} h`;
  if (hours < 24 * 90) return `${Math.round(hours / 24)} d`;
  if (hours < 24 * 730) return `${Math.round(hours / 730)} months`;
  return `${Math.round(hours / 8766)} years`;
}

const SOON_H = 1; // less is no number to plan by

// The beginning of a stretch, without the unit where its end has the same.
function between(from, to) {
  const [number, unit] = span(from).split(" ");
  return unit === span(to).split(" ")[1] ? `${number}–` : `${number} ${unit} – `;
}

// In one line for a tile: where the filter tells quartiles the likelier half, else the 90 % interval.
export function remaining(health) {
  const { rul_h: middle, rul_low_h: low, rul_high_h: high, rul_q25_h: early, rul_q75_h: late } = health;
  if (!known(middle)) return !known(low) ? "no end in sight" : low < SOON_H ? "unsure, may fail any hour" : `over ${span(low)}`;
  if (middle < SOON_H) return "may fail any hour";
  if (known(early) && known(late)) return `${span(middle)}, likely ${early < SOON_H ? "any hour – " : between(early, late)}${span(late)}`;
  if (!known(low)) return span(middle);
  const from = low < SOON_H ? "any hour" : span(low);
  if (known(high)) return `${span(middle)} (${from} – ${span(high)})`;
  return low < SOON_H ? `${span(middle)}, may fail any hour` : `${span(middle)} (over ${from})`;
}

export function widest(health) {
  const { rul_h: middle, rul_low_h: low, rul_high_h: high } = health;
  if (!known(middle) || !known(low) || middle < SOON_H) return "–";
  const from = low < SOON_H ? "any hour" : span(low);
  return known(high) ? `${from} – ${span(high)}` : low < SOON_H ? "open" : `over ${from}`;
}

// What came instead of an answer, for a person.
export const unanswered = (error) => error.name === "TimeoutError" ? "the edge does not answer; look again when the page is live" : error.message;

export function ago(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

export function stateOf(motor) {
  if (!motor.health) return motor.availability === "silent" ? "silent" : "unheard";
  return motor.health.state === "ok" && motor.availability === "silent" ? "silent" : motor.health.state;
}

// One of the last readings would open an alert, the newest would not: a warning without a name.
export const watched = (motor) => stateOf(motor) === "warning" && motor.health.diagnosis === "healthy";

export function diagnosisOf(motor) {
  if (!motor.health) return "Waiting for its first reading";
  if (watched(motor)) return "Healthy, under watch";
  const probability = motor.health.probabilities[motor.health.diagnosis];
  // an alert outlives its fault by some readings
  const fading = motor.health.state === "alarm" && known(probability) && probability < 0.5;
  const sure = known(probability) ? `, ${fading ? "fading, now " : ""}${percent(probability)} likely` : "";
  const word = faultWord(motor.health.diagnosis) + sure;
  return motor.availability === "silent" ? `${word}, sensor silent` : word;
}

// The health filter's parameters in words; names are the manifest's.
export function filterInWords(filter) {
  const words = [];
  if (known(filter.ln_cooling)) {
    const worse = Math.round((Math.exp(filter.ln_cooling) - 1) * 100);
    words.push(worse > 4 ? `Cooling ${worse} % worse than new` : worse < -4 ? `Cooling ${-worse} % better than the plate says` : "Cooling as new");
  }
  if (known(filter.ln_damage)) words.push(`Damage at ${percent(Math.min(1, Math.exp(filter.ln_damage)))} of what ends a motor`);
  if (known(filter.growth_per_h)) {
    const doubling = Math.LN2 / filter.growth_per_h;
    words.push(filter.growth_per_h > 0 && doubling < 5000 ? `Damage doubles every ${span(doubling)}` : "Damage is not growing");
  }
  return words;
}

const SIGNAL_WORDS = {
  speed_rpm: "speed", current_a: "current", load: "load", winding_c: "winding temperature",
  housing_c: "housing temperature", ambient_c: "ambient temperature", accel_m_s2: "vibration",
};

// A signal's name in a message, for people: "accel_m_s2.x" is the vibration on axis x.
export function signalWord(name) {
  const [signal, axis] = name.split(".");
  const word = SIGNAL_WORDS[signal] ?? name.replaceAll("_", " ");
  return axis ? `${word} on axis ${axis}` : word;
}
