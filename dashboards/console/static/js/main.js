// The page: which part of it is shown, the bar on top, and what is said aloud.

import { h, setText } from "./dom.js";
import { AlarmsPage } from "./alarms.js";
import { AuditPage } from "./audit.js";
import { BurdenPage } from "./burden.js";
import { clock } from "./format.js";
import { badge, WORDS } from "./icons.js";
import { LatencyPage } from "./latency.js";
import { startNotices } from "./notices.js";
import { RotaPage } from "./rota.js";
import { ShiftPage } from "./shift.js";
import { startSound } from "./sound.js";
import { get, post } from "./net.js";
import { PatientPage } from "./patient.js";
import { sayNow, sayPolitely, toast } from "./say.js";
import { reportDrawn } from "./shown.js";
import { told, ward, who } from "./store.js";
import { isLive, start } from "./stream.js";
import { speed, wardNow } from "./time.js";
import { summary, WardPage } from "./ward.js";

const main = document.getElementById("main");
const nodes = Object.fromEntries(["summary", "live", "clock", "speed", "problems", "me", "volatile", "volatile-why"].map((id) => [id, document.getElementById(id)]));
const PAGES = { alarms: AlarmsPage, shift: ShiftPage, rota: RotaPage, burden: BurdenPage, audit: AuditPage, latency: LatencyPage };
let page = null;

function pageFor(path) {
  const patient = /^\/patient\/([^/]+)$/.exec(path);
  if (patient) return [new PatientPage(decodeURIComponent(patient[1])), "ward"];
  const other = PAGES[path.slice(1)];
  if (other) return [new other(), path.slice(1)];
  return [new WardPage(), "ward"];
}

function show() {
  page?.close();
  let name;
  [page, name] = pageFor(location.pathname);
  main.replaceChildren(page.element);
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  frame();
}

function go(path) {
  if (path !== location.pathname + location.search) history.pushState(null, "", path);
  show();
  scrollTo(0, 0);
  // Whoever uses the keyboard or a screen reader goes on from the new page's heading.
  main.querySelector("h1")?.focus({ preventScroll: true });
}

function frame() {
  const { counts, words } = summary();
  const shown = Object.entries(counts).filter(([, n]) => n > 0);
  const badges = shown.map(([priority, n]) => {
    const node = badge(priority, false, String(n));
    node.append(h("span", { class: "vh" }, ` alarms of ${WORDS[priority].toLowerCase()} priority that nobody attends to`));
    return node;
  });
  nodes.summary.replaceChildren(h("span", { class: "counts" }, ...badges), h("span", {}, words.join(" · ")), onCall());
  nodes.volatile.hidden = nodes["volatile-why"].hidden = !ward.volatile;
  const urgent = counts.high + counts.medium;
  const title = `${page.title()} – Teleward`;
  document.title = isLive() ? (urgent ? `(${urgent}) ${title}` : title) : `NOT LIVE – ${title}`;
}

/** Who is called now; that nobody is, is never left unsaid. */
function onCall() {
  if (!ward.pager) return h("span", { class: "pager-none" }, "No pager: nobody is called");
  const first = ward.duty.holders[0];
  if (!first) return h("a", { class: "pager-now pager-none", href: "/shift", "data-link": true }, "On call: not told");
  const names = first.people.map((name) => (name === ward.me.name ? "you" : name)).join(", ") || "nobody";
  return h("a", { class: "pager-now", href: "/shift", "data-link": true }, `On call: ${names}`);
}

function problems() {
  nodes.problems.replaceChildren(...ward.problems.map(({ part, status, text, since }) => h(
    "div",
    { class: "problem", data: { status } },
    h("b", {}, status === "down" ? `Not working: ${part}` : `Slow: ${part}`),
    h("span", {}, text),
    since ? h("span", { class: "since" }, `since ${clock(since)}`) : null,
  )));
}

let problemsShown = "[]";

function beat() {
  const now = JSON.stringify(ward.problems);
  if (now !== problemsShown) {
    problemsShown = now;
    problems();
  }
  nodes.speed.hidden = speed() === 1;
  setText(nodes.speed, `×${speed()}`);
}

function tickClock() {
  const now = wardNow();
  if (now !== null && isLive()) setText(nodes.clock, clock(now));
}

function state(name, text) {
  nodes.live.dataset.state = name;
  setText(nodes.live, text);
  frame();
}

told.addEventListener("picture", () => {
  if (!page) show();
  state("live", "Live");
});
told.addEventListener("duty", frame);
told.addEventListener("own", frame);
told.addEventListener("lost", () => state("lost", "Not live"));
told.addEventListener("found", () => { state("live", "Live"); sayNow("The page is live again."); });
told.addEventListener("beat", beat);
told.addEventListener("change", (event) => {
  frame();
  reportDrawn(event.detail.fresh);
});
told.addEventListener("alarm", ({ detail: { row, alarm } }) => {
  const text = `${WORDS[alarm.priority]} priority: ${who(row)}, ${alarm.title}. ${alarm.cause}`;
  if (alarm.priority === "high") sayNow(text);
  else if (alarm.priority === "medium") sayPolitely(text);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-link]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
addEventListener("popstate", show);
document.getElementById("sign-out").addEventListener("click", async () => {
  try {
    await post("/api/sign-out");
    location.assign("/sign-in");
  } catch (error) {
    toast(error.message, "refused");
  }
});

ward.me = await get("/api/me");
nodes.me.replaceChildren(h("b", {}, ward.me.name), ` ${ward.me.role}`);
for (const link of document.querySelectorAll("[data-may]")) link.hidden = !ward.me[link.dataset.may];
startSound();
startNotices();
// Only where the browser trusts the connection (TLS, or this machine) can the page be installed.
navigator.serviceWorker?.register("/sw.js").catch(() => {});
setInterval(tickClock, 250);
start();
