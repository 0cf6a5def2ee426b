// Charts, drawn by uPlot (MIT, in vendor/). A chart is made once and given new data; colours follow the scheme.

import { make, write } from "./dom.js";

let loading = null;

export function ready() {
  loading ??= new Promise((resolve, reject) => {
    const sheet = make("link", "", { rel: "stylesheet", href: "/page/vendor/uPlot.min.css" });
    const script = make("script", "", { src: "/page/vendor/uPlot.iife.min.js" });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("the chart library did not load; reload the page")));
    document.head.append(sheet, script);
  });
  return loading;
}

// A custom property as the colour it is in the present scheme.
function colour(name) {
  const probe = make("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faded = (shade, alpha) => shade.replace(/^rgb\(([^)]*)\)$/, `rgba($1, ${alpha})`);

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function times(_chart, splits, _axis, _space, step) {
  if (step >= 86400) return splits.map((value) => day.format(value * 1000));
  return splits.map((value, index) => {
    const first = index === 0 || day.format(splits[index - 1] * 1000) !== day.format(value * 1000);
    return first ? `${clock.format(value * 1000)}\n${day.format(value * 1000)}` : clock.format(value * 1000);
  });
}

// Bands of colour up to each boundary and beyond the last; a missing shade leaves a band blank.
function zonesBehind(zones, shades, names) {
  return (chart) => {
    const { ctx, bbox } = chart;
    const tops = [...zones, Infinity];
    let bottom = 0;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    tops.forEach((top, index) => {
      const high = Math.min(top, chart.scales.y.max);
      if (high > bottom && shades[index]) {
        const [y0, y1] = [chart.valToPos(high, "y", true), chart.valToPos(bottom, "y", true)];
        ctx.fillStyle = faded(shades[index], 0.16);
        ctx.fillRect(bbox.left, y0, bbox.width, y1 - y0);
        ctx.fillStyle = shades[index];
        if (y1 - y0 > 14 * devicePixelRatio) ctx.fillText(names[index], bbox.left + bbox.width - 6, y0 + 14 * devicePixelRatio);
      }
      bottom = top;
    });
    ctx.restore();
  };
}

function marksOver(marks, shade) {
  return (chart) => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.strokeStyle = shade;
    ctx.fillStyle = shade;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    const right = [];
    for (const [word, value] of marks()) {
      if (value < chart.scales.x.min || value > chart.scales.x.max) continue;
      const x = Math.round(chart.valToPos(value, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      let row = 0;
      while (right[row] !== undefined && right[row] > x) row += 1;
      right[row] = x + ctx.measureText(word).width + 8 * devicePixelRatio;
      ctx.fillText(word, x + 3 * devicePixelRatio, bbox.top + (11 + 13 * row) * devicePixelRatio);
    }
    ctx.restore();
  };
}

// A chart in a figure. what: { x: "time" | unit, unit, series: [{ word, tone, fill?, dash? }], band?: [high, low],
// range?(min, max), zones?, threshold?, marks?: () => [[word, x]], digits?, height? }
export class Chart {
  constructor(place, what) {
    this.place = place;
    this.what = what;
    this.data = null;
    this.plot = null;
    new ResizeObserver(() => this.fit()).observe(place);
  }

  // data: uPlot's parallel lists; summary: the same for those who cannot see it
  show(data, summary) {
    this.data = data;
    if (this.plot) {
      this.plot.setData(data);
      this.rest(this.plot);
    }
    else this.build();
    this.plot?.root.querySelector("canvas").setAttribute("aria-label", summary);
  }

  build() {
    const width = this.place.clientWidth;
    if (!this.data || width < 60) return;
    this.plot?.destroy();
    const { what } = this;
    const digits = what.digits ?? 2;
    const number = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)} ${what.unit}`.trim());
    const axis = { stroke: colour("soft"), grid: { stroke: faded(colour("soft"), 0.18) }, ticks: { show: false } };
    const hooks = { drawClear: [], draw: [] };
    if (what.zones) hooks.drawClear.push(zonesBehind(what.zones, ["ok", "accent", "warning", "alarm"].map(colour), "ABCD"));
    if (what.threshold) hooks.drawClear.push(zonesBehind([what.threshold], [null, colour("alarm")], ["", "alarm"]));
    if (what.marks) hooks.draw.push(marksOver(what.marks, colour("warning")));
    const time = what.x === "time";
    // without a pointer the legend of a trend tells the newest values, that of a window nothing
    hooks.setCursor = [(chart) => this.rest(chart)];
    this.plot = new uPlot({
      width, height: what.height ?? 190, hooks, padding: [10, 24, 0, 0],
      cursor: { drag: { x: true, y: false }, ...(time ? { sync: { key: "trends" } } : {}) },
      scales: { x: { time }, y: { range: (_plot, low, high) => (what.range ?? ((a, b) => [Math.min(0, a), b * 1.1 || 1]))(low ?? 0, high ?? 1) } },
      axes: [{ ...axis, space: 70, ...(time ? { values: times, size: 44 } : {}) }, { ...axis, size: 52 }],
      bands: what.band ? [{ series: what.band, fill: faded(colour("accent"), 0.2) }] : [],
      series: [
        { label: time ? "Time" : what.x, value: (_plot, value) => (value === null ? "–" : time ? stamp.format(value * 1000) : `${value.toFixed(1)} ${what.x}`) },
        ...what.series.map(({ word, tone, dash, width: stroke }) => ({
          label: word, stroke: colour(tone), width: stroke ?? 1.5, dash, points: { show: false }, spanGaps: false,
          value: (_plot, value) => number(value),
        })),
      ],
    }, this.data, this.place);
    this.plot.root.querySelector("canvas").setAttribute("role", "img");
    this.rest(this.plot);
  }

  rest(chart) {
    const idle = chart.cursor.idx === null || chart.cursor.idx === undefined || chart.cursor.left < 0;
    this.place.classList.toggle("idle", idle && this.what.x !== "time");
    if (idle && this.what.x === "time") chart.setLegend({ idx: chart.data[0].length - 1 }, false);
  }

  fit() {
    if (!this.plot) this.build();
    else if (this.plot.width !== this.place.clientWidth && this.place.clientWidth > 60) {
      this.plot.setSize({ width: this.place.clientWidth, height: this.what.height ?? 190 });
    }
  }

  recolour() {
    const label = this.plot?.root.querySelector("canvas").getAttribute("aria-label");
    this.build();
    if (label) this.plot?.root.querySelector("canvas").setAttribute("aria-label", label);
  }

  end() {
    this.plot?.destroy();
    this.plot = null;
    this.data = null;
  }
}

// A figure with its title and explanation, ready for a chart.
export function figure(parent, title, hint) {
  const box = make("figure");
  const caption = make("figcaption");
  caption.append(make("b", title), make("span", hint));
  const place = make("div", "", { class: "plot" });
  box.append(caption, place);
  parent.append(box);
  return { box, place, hint: (text) => write(caption.lastElementChild, text) };
}
