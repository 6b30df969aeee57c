// The ward at a glance, worst first.

import { arrange, h, setAttribute, setText } from "./dom.js";
import { count } from "./format.js";
import { badge } from "./icons.js";
import { MEASURES, SHOWN } from "./measures.js";
import { Row } from "./row.js";
import { told, ward } from "./store.js";
import { wardNow } from "./time.js";

const LEGEND = SHOWN.map((slug) => `${MEASURES[slug].short} ${MEASURES[slug].unit}`).join(" · ");
const GROUPS = [
  { id: "needed", title: "Someone is needed" },
  { id: "attended", title: "Somebody has it" },
  { id: "later", title: "Can wait" },
  { id: "quiet", title: "No open alarms" },
];
// While a pointer is among the rows they keep their places this long, so that nobody opens the wrong patient.
const HOLD_MS = 2500;

export class WardPage {
  constructor() {
    this.rows = new Map();
    this.lists = new Map();
    this.pointed = 0;
    const sections = GROUPS.map((group) => this.section(group));
    this.own = h("div", { class: "own-list", role: "region", "aria-label": "Alarms about ourselves" });
    this.element = h("div", { class: "ward" }, h("h1", { class: "vh", tabindex: "-1" }, "Ward"), this.own, ...sections);
    this.element.addEventListener("pointermove", () => { this.pointed = performance.now(); });
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    told.addEventListener("picture", () => this.all(), options);
    told.addEventListener("change", (event) => this.some(event.detail), options);
    told.addEventListener("own", () => this.showOwn(), options);
    this.timer = setInterval(() => this.tick(), 1000);
    this.all();
  }

  title() {
    return ward.title;
  }

  close() {
    this.listening.abort();
    clearInterval(this.timer);
    clearTimeout(this.later);
  }

  section({ id, title }) {
    const number = h("span", { class: "group-count" });
    const list = h("ol", { class: "rows", data: { group: id } });
    const legend = h("span", { class: "legend" }, LEGEND);
    const head = h("div", { class: "group-head" }, h("h2", {}, title, " ", number), legend);
    const small = id === "later" || id === "quiet";
    list.classList.toggle("tiles", small);
    legend.hidden = !small;
    const section = h("section", { class: "group", data: { group: id }, "aria-label": title }, head, list);
    this.lists.set(id, { list, number, section });
    return section;
  }

  /** Trouble of our own that calls somebody: a pager that is blind matters to every patient. */
  showOwn() {
    const pressing = ward.own.filter(({ priority }) => priority !== "low");
    this.own.hidden = pressing.length === 0;
    this.own.replaceChildren(...pressing.map((alarm) => h("a", { class: "own-row", href: "/alarms", "data-link": true }, badge(alarm.priority, alarm.attended), h("b", {}, alarm.title), h("span", { class: "alarm-cause" }, alarm.cause))));
  }

  all() {
    this.showOwn();
    for (const id of this.rows.keys()) if (!ward.patients.has(id)) this.rows.delete(id);
    for (const row of ward.patients.values()) this.row(row);
    this.place();
  }

  some({ changed, reordered }) {
    const moved = [...changed].some((id) => {
      const row = ward.patients.get(id);
      const before = this.rows.get(id)?.group;
      this.row(row);
      return before !== this.rows.get(id).group;
    });
    if (moved || reordered) this.placeSoon();
    else this.tick(changed);
  }

  row(row) {
    let held = this.rows.get(row.id);
    if (!held) {
      held = new Row(row);
      this.rows.set(row.id, held);
    }
    held.update(row, ward.normal);
    held.group = row.group;
  }

  placeSoon() {
    clearTimeout(this.later);
    const wait = this.pointed + HOLD_MS - performance.now();
    if (this.pointed && wait > 0) this.later = setTimeout(() => this.place(), wait);
    else this.place();
    this.tick();
  }

  place() {
    for (const [id, { list, number, section }] of this.lists) {
      const members = ward.order.map((name) => this.rows.get(name)).filter((row) => row?.group === id);
      for (const row of members) row.small = id === "later" || id === "quiet";
      arrange(list, members.map((row) => row.element));
      setText(number, String(members.length));
      section.hidden = members.length === 0;
    }
    setAttribute(this.element, "data-empty", ward.order.length ? null : "");
    this.tick();
  }

  tick(only = null) {
    const now = wardNow();
    if (now === null) return;
    for (const [id, row] of this.rows) if (only === null || only.has(id)) row.tick(now);
  }
}

/** The ward in one line, for the bar on top. */
export function summary() {
  const rows = ward.order.map((id) => ward.patients.get(id)).filter(Boolean);
  const waiting = [...rows.flatMap((row) => row.alarms), ...ward.own].filter((alarm) => !alarm.attended && !alarm.task);
  const counts = { high: 0, medium: 0, low: 0 };
  for (const alarm of waiting) counts[alarm.priority] += 1;
  const unobserved = rows.filter((row) => row.alarms.some((alarm) => alarm.unobserved)).length;
  const away = rows.filter((row) => row.watch.state !== "admitted").length;
  const words = [count(rows.length, "patient")];
  const observe = rows.filter((row) => row.alarms.some((alarm) => alarm.task && !alarm.attended)).length;
  if (observe) words.push(`${observe} to observe`);
  if (unobserved) words.push(`${unobserved} unobserved`);
  if (away) words.push(`${away} paused`);
  return { counts, words };
}
