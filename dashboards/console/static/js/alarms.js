// All alarms of the ward: who waits for an answer, who has one, what asks for an observation, what was closed lately.

import { arrange, h, setText } from "./dom.js";
import { count } from "./format.js";
import { badge } from "./icons.js";
import { get } from "./net.js";
import { told } from "./store.js";
import { AlarmCard } from "./story.js";
import { wardNow } from "./time.js";

const SOON_MS = 400;
const MANY = 4; // alarms of low priority of one rule that stand as one line
const GROUPS = [
  { id: "waiting", title: "Waiting for an answer", none: "Nothing waits for an answer." },
  { id: "held", title: "Somebody has it" },
  { id: "tasks", title: "To observe" },
  { id: "closed", title: "Closed lately" },
];
const PRIORITIES = [["", "All"], ["high", "High"], ["medium", "Medium"], ["low", "Low"]];
const KINDS = [["", "All"], ["physiological", "Patients"], ["technical", "Equipment"]];

function groupOf({ closed, task, attended }) {
  if (closed) return "closed";
  if (task) return "tasks";
  return attended ? "held" : "waiting";
}

export class AlarmsPage {
  constructor() {
    this.cards = new Map();
    this.folds = new Map();
    this.wanted = { priority: "", kind: "", words: "" };
    this.note = h("p", { class: "note warn", hidden: true });
    this.sections = new Map(GROUPS.map((group) => [group.id, this.section(group)]));
    this.element = h(
      "div",
      { class: "page alarms-page" },
      h("h1", { tabindex: "-1" }, "Alarms"),
      this.filter(),
      this.note,
      ...[...this.sections.values()].map(({ element }) => element),
    );
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    told.addEventListener("picture", () => this.load(), options);
    told.addEventListener("own", () => this.soon(), options);
    told.addEventListener("change", ({ detail }) => { if (detail.changed.size) this.soon(); }, options);
    told.addEventListener("lost", () => this.live(false), options);
    told.addEventListener("found", () => this.live(true), options);
    this.timer = setInterval(() => this.tick(), 1000);
    this.load();
  }

  title() {
    return "Alarms";
  }

  close() {
    this.listening.abort();
    clearInterval(this.timer);
    clearTimeout(this.later);
  }

  section({ id, title, none }) {
    const number = h("span", { class: "group-count" });
    const list = h("div", { class: "cards" });
    const empty = h("p", { class: "note", hidden: true }, none ?? "None.");
    const head = [h("h2", {}, title, " ", number), empty, list];
    const element = id === "closed"
      ? h("details", { class: "group-box", data: { group: id } }, h("summary", {}, h("h2", {}, title, " ", number)), list)
      : h("section", { class: "group-box", data: { group: id }, "aria-label": title }, ...head);
    return { element, list, number, empty };
  }

  filter() {
    const words = h("input", { type: "search", "aria-label": "Find by bed, patient, sign or person", placeholder: "Bed, patient, sign …", oninput: () => { this.wanted.words = words.value.trim().toLowerCase(); this.place(); } });
    return h("form", { class: "filter", role: "search", onsubmit: (event) => event.preventDefault() }, this.chips("Priority", "priority", PRIORITIES), this.chips("About", "kind", KINDS), words);
  }

  chips(label, key, options) {
    const buttons = options.map(([value, text]) => h("button", { type: "button", "aria-pressed": String(value === ""), onclick: () => {
      this.wanted[key] = value;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value)));
      this.place();
    } }, text));
    return h("div", { class: "range", role: "group", "aria-label": label }, ...buttons);
  }

  soon() {
    this.later ??= setTimeout(() => { this.later = null; this.load(); }, SOON_MS);
  }

  async load() {
    let answer;
    try {
      answer = await get("/api/alarms");
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
      return;
    }
    this.note.hidden = true;
    const still = new Set(answer.alarms.map(({ id }) => id));
    for (const id of this.cards.keys()) if (!still.has(id)) this.cards.delete(id);
    const now = wardNow();
    for (const alarm of answer.alarms) {
      if (!this.cards.has(alarm.id)) this.cards.set(alarm.id, new AlarmCard(alarm.patient, alarm, false, where(alarm)));
      this.cards.get(alarm.id).update(alarm, now);
    }
    this.order = answer.alarms;
    this.place();
  }

  place() {
    const { priority, kind, words } = this.wanted;
    const shown = (this.order ?? []).filter((alarm) =>
      (!priority || alarm.priority === priority) && (!kind || alarm.kind === kind) && (!words || textOf(alarm).includes(words)));
    for (const [id, { element, list, number, empty }] of this.sections) {
      const members = shown.filter((alarm) => groupOf(alarm) === id);
      arrange(list, id === "waiting" || id === "tasks" ? this.folded(id, members) : members.map((alarm) => this.cards.get(alarm.id).element));
      setText(number, String(members.length));
      empty.hidden = members.length > 0;
      element.hidden = members.length === 0 && id !== "waiting";
    }
  }

  /** Many of one rule that can wait are one line: a flood of equipment must not bury what comes after it. */
  folded(group, members) {
    const byRule = new Map();
    for (const alarm of members) {
      const key = alarm.priority === "low" ? `${group} ${alarm.title}` : alarm.id;
      byRule.set(key, [...(byRule.get(key) ?? []), alarm]);
    }
    return [...byRule].flatMap(([key, alarms]) => {
      const cards = alarms.map(({ id }) => this.cards.get(id).element);
      return alarms.length < MANY ? cards : [this.fold(key, alarms, cards)];
    });
  }

  fold(key, alarms, cards) {
    if (!this.folds.has(key)) {
      const words = h("span", {});
      const list = h("div", { class: "cards" });
      this.folds.set(key, { words, list, element: h("details", { class: "fold" }, h("summary", {}, badge("low"), words), list) });
    }
    const { words, list, element } = this.folds.get(key);
    words.replaceChildren(h("b", {}, alarms[0].title), ` · ${count(new Set(alarms.map(({ patient }) => patient)).size, "patient")}`);
    arrange(list, cards);
    return element;
  }

  tick() {
    const now = wardNow();
    for (const card of this.cards.values()) card.tick(now);
  }

  live(isLive) {
    for (const card of this.cards.values()) card.live(isLive);
  }
}

/** Whose alarm it is: a link to the patient; what is about ourselves has no page. */
function where({ patient, place, id }) {
  if (patient === "teleward") return h("span", { class: "card-who" }, "About ourselves");
  return h("a", { class: "card-who", href: `/patient/${encodeURIComponent(patient)}?alarm=${encodeURIComponent(id)}`, "data-link": true }, place || patient);
}

function textOf({ patient, place, title, cause, device, acknowledged, shelf }) {
  return [patient, place, title, cause, device, acknowledged?.by, shelf?.by].join(" ").toLowerCase();
}
