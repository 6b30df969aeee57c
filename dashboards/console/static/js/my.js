// The page of a patient or carer: the own values in plain words, and what to do. Asks again by itself; where it gets no
// answer it takes the values away and says so, for an old number must not look like a new one.

import { h, setText, svg } from "./dom.js";
import { at } from "./format.js";
import { post } from "./net.js";

const main = document.getElementById("main");
const lost = document.getElementById("lost");
const EVERY_MS = 15e3;
const TRIES = 2;
const TITLES = { rate: "Heart rate", spo2: "Oxygen in the blood", resp: "Breaths a minute", pressure: "Blood pressure", temp: "Temperature" };
const RANGE = { rate: [50, 110], spo2: [88, 100], resp: [8, 26], pressure: [60, 150], temp: [35.5, 38.5] };
const SIGNS = { press: "☟", charge: "⚡", near: "⌂", measure: "✎" };
let failed = 0;

async function enter(invitation) {
  history.replaceState(null, "", "/my/enter");
  setText(document.querySelector("h1"), "Your own page");
  const said = h("p", { class: "wrong", role: "alert" });
  // Pressed by a person: a program that looks at links must not use this one up.
  const button = h("button", { type: "button", class: "primary big", onclick: async () => {
    button.disabled = true;
    try {
      await post("/api/my/enter", { invitation });
      location.replace("/my");
    } catch (error) {
      setText(said, error.message);
      button.disabled = false;
    }
  } }, "Show my values");
  main.replaceChildren(h("section", { class: "my-card" }, h("p", {}, "Your care team gave you this link to see your own values. It works once, on this device. Do not hand it on."), button, said));
}

async function load() {
  let told;
  try {
    const response = await fetch("/api/my", { cache: "no-store" });
    if (response.status === 401) {
      location.replace("/sign-in?next=/my");
      return;
    }
    told = await response.json();
    if (!response.ok) {
      main.replaceChildren(h("p", { class: "alert-box" }, told.detail ?? "This page cannot be shown."));
      return;
    }
  } catch {
    failed += 1;
    if (failed >= TRIES) gone();
    return;
  }
  failed = 0;
  lost.hidden = true;
  document.body.classList.remove("is-gone");
  show(told);
}

function gone() {
  lost.hidden = false;
  setText(lost, "No connection. Your newest values cannot be shown here now. Your device may still be sending them. If you feel unwell, call for help.");
  document.body.classList.add("is-gone");
  for (const node of main.querySelectorAll(".my-value b")) setText(node, "–");
}

function show({ watching, state, help, todo, team, values, tracks, from, to, now, note }) {
  const open = main.querySelector("details")?.open ?? false;
  main.replaceChildren(
    h("section", { class: "my-card my-state", data: { watching: String(watching) } }, h("p", { class: "my-big" }, watching ? "✓ Your values are coming in." : state === "paused" ? "‖ Watching is paused." : "✕ We do not get your values just now."), team ? h("p", {}, team) : "", h("p", { class: "my-help" }, help)),
    ...(todo.length ? [h("section", { class: "my-card my-todo", "aria-label": "What to do" }, h("h2", {}, "Please do this"), h("ul", {}, ...todo.map(({ what, do: act, sign }) => h("li", {}, h("span", { class: "my-sign", "aria-hidden": "true" }, SIGNS[sign] ?? "•"), h("span", {}, h("b", {}, what), ` ${act}`)))))] : []),
    h("section", { class: "my-card", "aria-label": "Newest values" }, h("h2", {}, "Newest values"), values.length ? h("ul", { class: "my-values" }, ...values.map(({ name, text, unit, at: when }) => h("li", { class: "my-value" }, h("span", {}, name), h("b", {}, text), h("span", { class: "my-unit" }, unit), h("span", { class: "note" }, `at ${at(when, now)}`)))) : h("p", { class: "note" }, "None that is new enough to show.")),
    h("section", { class: "my-card", "aria-label": "The last day" }, h("h2", {}, "The last day"), note ? h("p", { class: "note" }, note) : "", ...tracks.map((track) => lines(track, from, to)), h("details", { open }, h("summary", {}, "How to read this"), h("p", {}, "The line shows how a value went over the last 24 hours; the shade shows its highest and lowest. Where there is no line, nothing was measured. Values go up and down in everybody, by moving, eating, sleeping and talking. Your care team looks at them; ask them what they mean for you."))),
  );
}

/** The least and the greatest of a line, no finer than anybody measures; of a pressure's two lines each by its name. */
function extremes(track, { label, segments }, several) {
  const points = segments.flat();
  const said = (value) => (track === "temp" ? value.toFixed(1) : String(Math.round(value)));
  const name = several ? `${label.startsWith("diastolic") ? "lower" : "upper"} value ` : "";
  return `${name}${said(Math.min(...points.map((p) => p[2])))} to ${said(Math.max(...points.map((p) => p[3])))}`;
}

function lines({ track, lines: drawn }, from, to) {
  const [width, height, left] = [320, 74, 30];
  const every = drawn.flatMap(({ segments }) => segments.flat());
  const low = Math.min(RANGE[track][0], ...every.map((point) => point[2]));
  const high = Math.max(RANGE[track][1], ...every.map((point) => point[3]));
  const x = (time) => (left + ((width - left) * (time - from)) / (to - from)).toFixed(1);
  const y = (value) => (height - 14 - ((height - 20) * (value - low)) / (high - low)).toFixed(1);
  const paths = drawn.flatMap(({ segments }, i) => segments.flatMap((segment) => [
    svg("path", { class: "trace-range", "data-line": i, d: `M${segment.map((p) => `${x(p[0])} ${y(p[3])}`).join("L")}L${[...segment].reverse().map((p) => `${x(p[0])} ${y(p[2])}`).join("L")}Z` }),
    svg("path", { class: "trace", "data-line": i, d: `M${segment.map((p) => `${x(p[0])} ${y(p[1])}`).join("L")}l0 0` }),
  ]));
  const newest = every.length ? `${drawn.map((line) => extremes(track, line, drawn.length > 1)).join("; ")} ${drawn[0].unit}` : "nothing measured";
  const ticks = [0, 0.5, 1].map((part) => svg("text", { class: "tick", x: left + (width - left) * part, y: height - 1, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" }, at(from + (to - from) * part, to)));
  const frame = svg("svg", { class: "my-chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${TITLES[track]}: ${newest}` }, svg("rect", { class: "plot", x: left, y: 4, width: width - left, height: height - 18 }), svg("text", { class: "tick", x: left - 4, y: 12, "text-anchor": "end" }, String(Math.round(high))), svg("text", { class: "tick", x: left - 4, y: height - 14, "text-anchor": "end" }, String(Math.round(low))), ...paths, ...ticks);
  return h("figure", {}, h("figcaption", {}, h("b", {}, TITLES[track]), ` ${newest}`), frame);
}

document.getElementById("sign-out").addEventListener("click", async () => {
  await post("/api/sign-out").catch(() => {});
  location.replace("/sign-in");
});

if (location.pathname === "/my/enter") {
  document.getElementById("sign-out").hidden = true;
  if (location.hash.length > 1) enter(location.hash.slice(1));
  else main.replaceChildren(h("p", { class: "alert-box" }, "This link is not whole. Ask your care team for a new one."));
} else {
  load();
  setInterval(load, EVERY_MS);
  addEventListener("offline", gone);
  addEventListener("online", load);
}
