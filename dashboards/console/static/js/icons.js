// Shapes of the priorities: a triangle, a diamond, a disc. Each is told by its outline alone.

import { h, svg } from "./dom.js";

const SHAPES = {
  high: "M6 .4 11.9 11.2H.1zM5.2 4.2v3.6h1.6V4.2zM5.2 8.6v1.5h1.6V8.6z",
  medium: "M6 0 12 6 6 12 0 6zM5.2 2.9v3.9h1.6V2.9zM5.2 7.7v1.5h1.6V7.7z",
  low: "M6 .5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM5.2 2.7v1.5h1.6V2.7zM5.2 5.1v4.2h1.6V5.1z",
};
export const WORDS = { high: "High", medium: "Medium", low: "Low" };

export function shape(priority) {
  return svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: SHAPES[priority], "fill-rule": "evenodd" }));
}

/** A priority in colour, shape and word; hollow where somebody has it. */
export function badge(priority, attended = false, text = WORDS[priority]) {
  return h("span", { class: "badge", data: { priority, attended: String(attended) } }, shape(priority), text);
}
