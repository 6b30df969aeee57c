// Drawing: one chart, and the bars of alarms and NEWS2 above the charts. Plain SVG, drawn anew each time.

import { svg } from "./dom.js";
import { at } from "./format.js";

const LEFT = 34;
const RIGHT = 8;
const TOP = 18;
const STEPS_H = [0.25, 0.5, 1, 2, 3, 6, 12];

function xOf(view) {
  const span = view.width - LEFT - RIGHT;
  return (time) => LEFT + (span * (time - view.from)) / (view.to - view.from);
}

function frameOf(view, height, label) {
  return svg("svg", { class: "chart", width: view.width, height, viewBox: `0 0 ${view.width} ${height}`, role: "img", "aria-label": label });
}

/** Times at which the grid has a line, about one for every 90 pixels. */
function gridTimes(view) {
  const hours = (view.to - view.from) / 3600e3;
  const step = (STEPS_H.find((h) => (hours / h) * 90 <= view.width - LEFT) ?? 12) * 3600e3;
  const zone = new Date(view.to).getTimezoneOffset() * 60e3;
  const times = [];
  for (let time = Math.ceil((view.from - zone) / step) * step + zone; time <= view.to; time += step) times.push(time);
  return times;
}

function grid(view, top, bottom, labels) {
  const x = xOf(view);
  return gridTimes(view).flatMap((time) => [
    svg("line", { class: "grid", x1: x(time), x2: x(time), y1: top, y2: bottom }),
    labels ? svg("text", { class: "tick", x: x(time), y: top - 5, "text-anchor": "middle" }, at(time, view.to)) : null,
  ]);
}

function cursorLine(view, top, bottom) {
  if (view.cursor === null || view.cursor < view.from) return null;
  const x = xOf(view)(view.cursor);
  return svg("line", { class: "cursor", x1: x, x2: x, y1: top, y2: bottom });
}

/** The times without a value of any line, as stretches: before, between and after the segments. */
export function gapsOf(lines, from, to) {
  const covered = lines
    .flatMap(({ segments, valid }) => segments.map((segment) => [segment[0][0], Math.min(segment.at(-1)[0] + valid, to)]))
    .filter(([, end]) => end > from)
    .sort((a, b) => a[0] - b[0]);
  const gaps = [];
  let reached = from;
  for (const [start, end] of covered) {
    if (start > reached) gaps.push([reached, start]);
    reached = Math.max(reached, end);
  }
  if (reached < to) gaps.push([reached, to]);
  return gaps;
}

function scale(chart, lines, limits, from) {
  let [low, high] = chart.range;
  for (const { segments } of lines) {
    for (const segment of segments) {
      for (const [time, , least, most] of segment) {
        if (time < from) continue;
        low = Math.min(low, least);
        high = Math.max(high, most);
      }
    }
  }
  // A limit is drawn where the lines come near it; further off it would only flatten them.
  const near = (high - low) * 0.15;
  const shown = limits.flatMap(({ bands, own, direction }) => bands.map((band, i) => ({ ...band, own: own && i === 0, direction })))
    .filter(({ threshold }) => threshold > low - near && threshold < high + near);
  for (const { threshold } of shown) { low = Math.min(low, threshold); high = Math.max(high, threshold); }
  const room = (high - low) * 0.06;
  return { low: low - room, high: high + room, shown };
}

/** One chart: title, gaps, limits, lines. */
export function drawChart(chart, lines, limits, alarms, view) {
  const { low, high, shown } = scale(chart, lines, limits, view.from);
  const bottom = chart.height - 4;
  const x = xOf(view);
  const y = (value) => bottom - ((bottom - TOP) * (value - low)) / (high - low);
  const newest = lines.flatMap(({ segments }) => segments.at(-1)?.at(-1)?.[1] ?? []);
  const frame = frameOf(view, chart.height, `${chart.title}, ${newest.length ? `newest ${newest.map((v) => Math.round(v * 10) / 10).join("/")} ${chart.unit}` : "no values"}`);
  frame.append(svg("text", { class: "chart-title", x: 0, y: 12 }, chart.title, svg("tspan", { class: "tick", dx: 5 }, chart.unit), ...legend(lines)));
  frame.append(svg("rect", { class: "plot", x: LEFT, y: TOP, width: view.width - LEFT - RIGHT, height: bottom - TOP }));
  frame.append(...grid(view, TOP, bottom, false).filter(Boolean));
  frame.append(...valueTicks(low, high, y, view.width - RIGHT));
  frame.append(...gapsOf(lines, view.from, view.to).map(([start, end]) => gap(x(start), x(end), bottom)));
  frame.append(...alarmBands(alarms, view, x, bottom));
  const limitMarks = shown.map((limit, i) => limitLine(limit, i, view, y));
  frame.append(...limitMarks.map(([dashes]) => dashes));
  const clip = `clip-${chart.track}`;
  frame.append(svg("clipPath", { id: clip }, svg("rect", { x: LEFT, y: 0, width: view.width - LEFT - RIGHT, height: chart.height })));
  frame.append(svg("g", { "clip-path": `url(#${clip})` }, ...lines.flatMap((line, i) => lineOf(line, i, x, y, view.from))));
  frame.append(...limitMarks.map(([, words]) => words)); // over the lines: words must be readable
  const cursor = cursorLine(view, TOP, bottom);
  if (cursor) frame.append(cursor);
  return frame;
}

/** Which line is which, where there are several. */
function legend(lines) {
  if (lines.length < 2) return [];
  return lines.map(({ label }, i) => svg("tspan", { class: "legend-text", "data-line": i, dx: 9 }, `— ${label.replace(" pressure", "").replace(", cuff", "")}`));
}

function valueTicks(low, high, y, right) {
  const raw = (high - low) / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = size * ([1, 2, 5, 10].find((n) => n * size >= raw) ?? 10);
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) ticks.push(value);
  return ticks.flatMap((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(value), y2: y(value) }),
    svg("text", { class: "tick", x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, String(Math.round(value * 10) / 10)),
  ]);
}

function gap(start, end, bottom) {
  const left = Math.max(LEFT, start);
  const width = end - left;
  const label = width > 64 ? svg("text", { class: "gap-label", x: left + width / 2, y: (TOP + bottom) / 2 + 4, "text-anchor": "middle" }, "no values") : null;
  return svg("g", { class: "gap" }, svg("rect", { x: left, y: TOP, width: Math.max(0, width), height: bottom - TOP }), ...stripes(left, left + Math.max(0, width), bottom), label);
}

/** Hatching by lines of our own: a pattern's id would have to be unique in the page for every chart. */
function stripes(left, right, bottom) {
  const height = bottom - TOP;
  let path = "";
  for (let x = left - height; x < right; x += 8) {
    const x1 = Math.max(x, left);
    const x2 = Math.min(x + height, right);
    if (x2 > x1) path += `M${x1.toFixed(1)} ${(bottom - (x1 - x)).toFixed(1)}L${x2.toFixed(1)} ${(bottom - (x2 - x)).toFixed(1)}`;
  }
  return [svg("path", { class: "stripes", d: path })];
}

function alarmBands(alarms, view, x, bottom) {
  return alarms
    .filter(({ kind, priority, from, to }) => kind === "physiological" && priority !== "low" && to > view.from && from < view.to)
    .map(({ from, to, priority }) => {
      const left = Math.max(LEFT, x(from));
      return svg("rect", { class: "alarm-band", "data-priority": priority, x: left, y: TOP, width: Math.max(1, x(Math.min(to, view.to)) - left), height: bottom - TOP });
    });
}

function limitLine({ threshold, priority, own, direction }, index, view, y) {
  // Two limits may lie a few pixels apart: their words stand beside each other, not on each other.
  const right = view.width - RIGHT - 3 - index * 42;
  const text = `${own ? "own limit " : ""}${direction === "above" ? "≥" : "≤"} ${threshold}`;
  return [
    svg("line", { class: "limit", "data-priority": priority, x1: LEFT, x2: view.width - RIGHT, y1: y(threshold), y2: y(threshold) }),
    svg("text", { class: "limit-label", "data-priority": priority, x: right, y: y(threshold) + (direction === "above" ? 11 : -3), "text-anchor": "end" }, text),
  ];
}

function lineOf({ segments }, index, x, y, from) {
  const parts = segments.filter((segment) => segment.at(-1)[0] >= from);
  const ranged = parts.filter((segment) => segment.some(([, , low, high]) => high > low));
  const areas = ranged.map((segment) => {
    const upper = segment.map(([time, , , high]) => `${x(time).toFixed(1)} ${y(high).toFixed(1)}`);
    const lower = segment.map(([time, , low]) => `${x(time).toFixed(1)} ${y(low).toFixed(1)}`).reverse();
    return svg("path", { class: "trace-range", "data-line": index, d: `M${upper.join("L")}L${lower.join("L")}Z` });
  });
  const path = parts.map((segment) => `M${segment.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}l0 0`).join("");
  return [...areas, svg("path", { class: "trace", "data-line": index, d: path })];
}

/** The bars above the charts: when each alarm stood, and NEWS2 as it was. */
export function drawSpans(alarms, news2, view) {
  const lanes = packed(alarms.filter(({ to }) => to >= view.from), view);
  const base = 22;
  const newsAt = base + lanes.length * 17 + 2;
  const height = newsAt + 30;
  const x = xOf(view);
  const frame = frameOf(view, height, `Times of ${alarms.length} alarms, and NEWS2`);
  frame.append(...grid(view, base - 4, height, true).filter(Boolean));
  lanes.forEach((lane, i) => {
    for (const { from, to, priority, title } of lane) {
      const left = Math.max(LEFT, x(from));
      const right = Math.max(left + 3, x(Math.min(to, view.to)));
      const y = base + i * 17;
      frame.append(svg("rect", { class: "span", "data-priority": priority, x: left, y, width: right - left, height: 14, rx: 2 }, svg("title", {}, title)));
      const inside = right - left > title.length * 6.4;
      const after = right + title.length * 6.4 < view.width;
      const place = inside ? { x: left + 5 } : after ? { x: right + 4 } : { x: left - 4, "text-anchor": "end" };
      frame.append(svg("text", { class: inside ? "span-text inside" : "span-text", "data-priority": priority, y: y + 11, ...place }, title));
    }
  });
  frame.append(svg("text", { class: "chart-title", x: 0, y: newsAt + 10 }, "NEWS2"));
  frame.append(...newsBlocks(news2, view, x, newsAt + 12));
  const cursor = cursorLine(view, base, height);
  if (cursor) frame.append(cursor);
  return frame;
}

function packed(alarms, view) {
  const lanes = [];
  const x = xOf(view);
  for (const alarm of [...alarms].sort((a, b) => a.from - b.from)) {
    // The title may stand beside its bar, so its width counts too.
    const free = lanes.find((lane) => Math.max(x(lane.at(-1).to), x(lane.at(-1).from) + lane.at(-1).title.length * 6.6 + 8) < x(alarm.from));
    if (free) free.push(alarm);
    else lanes.push([alarm]);
  }
  return lanes;
}

function newsBlocks(runs, view, x, y) {
  return runs.filter(([, to]) => to > view.from).flatMap(([from, to, low, high]) => {
    const text = low === high ? `${low}` : `${low}–${high}`;
    const band = low >= 7 ? "high" : low >= 5 ? "medium" : low >= 1 ? "some" : "zero";
    const left = Math.max(LEFT, x(from));
    const width = Math.max(1, x(Math.min(to, view.to)) - left);
    const label = width > text.length * 7 + 4 ? svg("text", { class: "news-text", "data-band": band, x: left + 4, y: y + 11 }, text) : null;
    return [svg("rect", { class: "news-block", "data-band": band, x: left, y, width, height: 14 }), label].filter(Boolean);
  });
}
