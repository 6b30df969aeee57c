// Trends of one patient: a chart for each measure over one time axis. Gaps stay gaps, limits are lines, alarms are bars.

import { h, setText } from "./dom.js";
import { drawChart, drawSpans } from "./chart.js";
import { at, clock } from "./format.js";
import { get } from "./net.js";
import { wardNow } from "./time.js";

const HOURS = [1, 2, 6, 12, 24, 48];
// Lines grow by the stream between; loading them again only makes them finer.
const RELOAD_MS = 300e3;
const CHARTS = [
  { track: "rate", title: "Heart rate", unit: "/min", range: [50, 110], height: 112 },
  { track: "spo2", title: "Oxygen saturation", unit: "%", range: [88, 100], height: 100 },
  { track: "resp", title: "Respiration", unit: "/min", range: [8, 26], height: 96 },
  { track: "pressure", title: "Blood pressure", unit: "mmHg", range: [60, 150], height: 124 },
  { track: "temp", title: "Temperature", unit: "°C", range: [35.5, 38.5], height: 88 },
];
const LIMITED = { rate: "rate", spo2: "spo2", resp: "resp", pressure: "sbp", temp: "temp" };
const OF_TRACK = { rate: ["rate"], spo2: ["spo2"], resp: ["resp"], pressure: ["sbp", "dbp"], temp: ["temp"] };

export class Trends {
  constructor(id) {
    this.id = id;
    this.hours = 6;
    this.data = null;
    this.spans = [];
    this.cursor = null;
    this.byKeys = false;
    this.note = h("p", { class: "note warn", hidden: true });
    this.readout = h("span", { class: "readout" }, "Point at the charts, or use the arrow keys, to read values.");
    this.canvas = h("div", { class: "charts", tabindex: "0", role: "group", "aria-label": "Trend charts. Arrow keys move the reading line." });
    this.spoken = h("p", { class: "vh", "aria-live": "polite" });
    this.table = h("tbody", {});
    this.element = h(
      "section",
      { class: "column-trends", "aria-labelledby": "trends-title" },
      h("div", { class: "trends-head" }, h("h2", { id: "trends-title" }, "Trends"), this.range(), this.readout),
      this.note,
      this.canvas,
      this.spoken,
      this.numbers(),
    );
    this.listen();
    this.load();
  }

  range() {
    const buttons = HOURS.map((hours) => h("button", { type: "button", "aria-pressed": String(hours === this.hours), onclick: () => this.choose(hours, buttons) }, `${hours} h`));
    return h("div", { class: "range", role: "group", "aria-label": "How far back" }, ...buttons);
  }

  numbers() {
    const head = h("tr", {}, h("th", { scope: "col" }, "Time"), ...CHARTS.map(({ title, unit }) => h("th", { scope: "col" }, `${title} (${unit})`)));
    const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Values as a table" }, h("table", {}, h("thead", {}, head), this.table));
    this.box = h("details", { class: "numbers" }, h("summary", {}, "As a table"), scroll);
    this.box.addEventListener("toggle", () => { if (this.box.open) this.fillTable(); });
    return this.box;
  }

  listen() {
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    // A pointer that rests here is told to leave whenever what lies under it is laid out anew: the keys' line stays.
    this.canvas.addEventListener("pointerleave", () => { if (!this.byKeys) this.move(null); });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    this.timer = setInterval(() => this.load(), RELOAD_MS);
    this.drawing = setInterval(() => this.draw(), 1000);
  }

  close() {
    this.resized.disconnect();
    clearInterval(this.timer);
    clearInterval(this.drawing);
  }

  choose(hours, buttons) {
    this.hours = hours;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(HOURS[i] === hours)));
    this.load();
  }

  async load() {
    const { hours } = this;
    try {
      const data = await get(`/api/patients/${encodeURIComponent(this.id)}/trends?hours=${hours}`);
      if (hours !== this.hours) return; // another range was chosen meanwhile
      this.data = data;
      this.note.hidden = !data.note;
      setText(this.note, data.note);
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
    }
    this.draw();
    if (this.box.open) this.fillTable();
  }

  /** When each alarm stood; one that stands still has no end. */
  setAlarms(spans) {
    this.spans = spans;
    this.draw();
  }

  /** A frame came: the lines grow by what was measured in it. */
  append(row) {
    if (!this.data) return;
    for (const { track, lines } of this.data.tracks) {
      for (const slug of OF_TRACK[track] ?? []) {
        const measure = row.measures[slug];
        const line = lines.find(({ sign }) => sign === measure?.sign);
        if (line && measure.stands && measure.value !== null) grow(line, measure);
      }
    }
    if (row.news2 && !row.news2.young && row.frame !== null) growRuns(this.data.news2, row.frame, row.news2);
  }

  draw() {
    const { data } = this;
    const width = this.canvas.clientWidth;
    const now = wardNow();
    if (!data || !width || now === null) return;
    const view = { width, from: now - this.hours * 3600e3, to: now, cursor: this.cursor };
    const alarms = this.spans.map((span) => ({ ...span, to: span.to ?? now }));
    const charts = CHARTS.map((chart) => {
      const { lines } = data.tracks.find(({ track }) => track === chart.track);
      const limits = data.limits.filter(({ measure }) => measure === LIMITED[chart.track]);
      return drawChart(chart, lines, limits, alarms, view);
    });
    this.canvas.replaceChildren(drawSpans(alarms, data.news2, view), ...charts);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const now = wardNow();
    this.byKeys = false;
    const part = (event.clientX - box.left - 34) / Math.max(1, box.width - 34 - 8);
    this.move(part < 0 || part > 1 ? null : now - (1 - part) * this.hours * 3600e3);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    const now = wardNow();
    if (step === undefined || now === null) return;
    event.preventDefault();
    const from = now - this.hours * 3600e3;
    this.byKeys = true;
    const moved = (this.cursor ?? now) + (step * this.hours * 3600e3) / 60;
    this.move(Math.min(now, Math.max(from, moved)));
    setText(this.spoken, this.readout.textContent);
  }

  move(time) {
    this.cursor = time;
    setText(this.readout, time === null ? "" : `${at(time, wardNow())}: ${this.valuesAt(time).join(", ")}`);
    this.draw();
  }

  valuesAt(time) {
    const found = [];
    for (const { track, title, unit } of CHARTS) {
      const text = this.textAt(track, time);
      if (text) found.push(`${title.toLowerCase()} ${text} ${unit}`);
    }
    return found.length ? found : ["nothing was measured"];
  }

  textAt(track, time) {
    const { lines } = this.data?.tracks.find((one) => one.track === track) ?? { lines: [] };
    const values = lines.map((line) => valueAt(line, time)).filter((value) => value !== null);
    return values.map((value) => (track === "temp" ? value.toFixed(1) : Math.round(value))).join("/");
  }

  fillTable() {
    const now = wardNow();
    const rows = Array.from({ length: 13 }, (_, i) => now - (i * this.hours * 3600e3) / 12);
    this.table.replaceChildren(...rows.map((time) => h("tr", {}, h("th", { scope: "row" }, clock(time)), ...CHARTS.map(({ track }) => h("td", {}, this.textAt(track, time) || "no value")))));
  }
}

function grow(line, { at: time, value }) {
  const last = line.segments.at(-1);
  const newest = last?.at(-1)[0] ?? -Infinity;
  if (time <= newest) return;
  const point = [time, value, value, value];
  if (last && time - newest <= line.valid) last.push(point);
  else line.segments.push([point]);
}

const FRAME_MS = 60e3;

function growRuns(runs, frame, { low, high }) {
  const last = runs.at(-1);
  if (last && frame <= last[1]) return;
  if (last && last[2] === low && last[3] === high && frame - last[1] <= 5 * FRAME_MS) last[1] = frame;
  else runs.push([frame - FRAME_MS, frame, low, high]);
}

/** The value that stood at a time: the newest before it, while it was valid. */
function valueAt(line, time) {
  let found = null;
  for (const segment of line.segments) {
    if (segment[0][0] > time) break;
    for (const point of segment) {
      if (point[0] > time) break;
      found = point;
    }
  }
  return found && time - found[0] <= line.valid ? found[1] : null;
}
