// Why an alarm was raised: what was measured and against which limit, what a score is made of, what is missing, and of
// a learned score what drives it, what would clear it, and how far to trust it.

import { h } from "./dom.js";
import { clock, lasting } from "./format.js";

/** What stands under an alarm's cause. */
export function explained(step) {
  const nodes = [];
  if (step.score?.why) nodes.push(learned(step.score));
  else if (step.score) nodes.push(table(step.score, step.evidence));
  const told = step.score && !step.score.why ? [] : step.evidence;
  if (told.length) nodes.push(h("ul", { class: "evidence" }, ...told.map(reading)));
  return nodes;
}

/** One reading: value, limit, how old it was when it was judged, from which device. */
function reading({ label, text, limit, at: time, age, device }) {
  const old = age >= 1000 ? `, ${lasting(age)} old when judged` : "";
  return h(
    "li",
    {},
    h("b", {}, `${label} ${text}`),
    limit ? ` (limit ${limit})` : "",
    h("span", { class: "note" }, ` measured ${clock(time)}${old}${device ? `, by ${device}` : ""}`),
  );
}

/** A published score: its parts as a small table, each with the value it rests on, and what is missing. */
function table({ name, low, high, parts, missing }, evidence) {
  const total = low === high ? String(low) : `${low} to ${high}`;
  const rows = parts.filter(({ points }) => points > 0).map(({ label, measure, points }) => {
    // An alarm about one sign rests on that sign's reading alone; the others' points stand without a value.
    const piece = evidence.find((one) => one.measure !== null && one.measure === measure);
    const old = piece && piece.age >= 120e3 ? ` (${lasting(piece.age)} old)` : "";
    return h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, piece ? `${piece.text}${old}` : ""), h("td", { class: "points-cell" }, h("span", { class: "points-mark", data: { points: Math.round(points) } }, `+${points}`)));
  });
  const head = h("tr", {}, h("th", { scope: "col" }, "Sign"), h("th", { scope: "col" }, "Value"), h("th", { scope: "col" }, "Points"));
  return h(
    "div",
    { class: "score" },
    h("p", {}, h("b", {}, `${name} ${total}`), missing.length ? ", an interval because something is missing" : ""),
    rows.length ? h("table", { class: "why-table" }, h("caption", { class: "vh" }, `What gives ${name} its points`), h("thead", {}, head), h("tbody", {}, ...rows)) : null,
    missing.length ? h("p", { class: "why-missing" }, `Missing or too old: ${missing.join(", ")}. Please observe.`) : h("p", { class: "note" }, "Nothing is missing."),
  );
}

const WORD = { raises: "raises", lowers: "lowers", neither: "hardly matters" };

/** A learned score: its sentence, what drives it, what would clear it, the published scores beside it, trust. */
function learned({ name, low, version, missing, why }) {
  const most = Math.max(0.05, ...why.contributions.map(({ log_odds: odds }) => Math.abs(odds)));
  const bars = why.contributions.map(({ words, log_odds: odds, direction, age }) => {
    const bar = h("span", { class: "why-bar" });
    bar.style.width = `${Math.max(2, (50 * Math.abs(odds)) / most)}%`;
    const fresh = age === null ? "never measured" : age < 120e3 ? "fresh" : `${lasting(age)} old`;
    return h(
      "li",
      { data: { direction } },
      h("span", { class: "why-words" }, words),
      h("span", { class: "why-scale", "aria-hidden": "true" }, bar),
      h("span", { class: "why-side" }, `${odds > 0 ? "▲" : odds < 0 ? "▼" : "·"} ${WORD[direction] ?? direction}`),
      h("span", { class: "why-fresh", data: { old: String(age === null || age >= 3600e3) } }, fresh),
    );
  });
  return h(
    "div",
    { class: "score learned" },
    h("p", {}, h("b", {}, why.summary)),
    bars.length ? h("h4", {}, "What drives it") : null,
    bars.length ? h("ol", { class: "why-list" }, ...bars) : null,
    missing.length ? h("p", { class: "why-missing" }, `Missing or too old: ${missing.join(", ")}.`) : null,
    why.published.length ? h("p", {}, "Published scores at that time: ", h("b", {}, why.published.map(({ name: other, low: least, high: most_ }) => `${other} ${least === most_ ? least : `${least} to ${most_}`}`).join(", ")), ".") : null,
    h("h4", {}, "What would clear it"),
    why.clears.length ? h("ul", { class: "why-clears" }, ...why.clears.map((words) => h("li", {}, words))) : h("p", { class: "note" }, "No single change would."),
    why.trust ? h("p", { class: "why-trust" }, h("b", {}, "How far to trust it: "), why.trust) : null,
    h("p", { class: "note" }, `${name} ${low}, threshold ${why.threshold}${version ? `, model ${version}` : ""}. A learned score helps to look; it is no diagnosis.`),
  );
}
