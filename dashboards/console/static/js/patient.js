// One patient: what stands now, the trends, the alarms with their stories.

import { arrange, h, setText } from "./dom.js";
import { at, clock } from "./format.js";
import { labelOf, SHOWN, shortOf } from "./measures.js";
import { get } from "./net.js";
import { passBox } from "./passes.js";
import { Cell, newsOf } from "./row.js";
import { told, ward, who } from "./store.js";
import { AlarmCard } from "./story.js";
import { overdue, wardNow } from "./time.js";
import { Trends } from "./trends.js";

const SOON_MS = 250;

export class PatientPage {
  constructor(id) {
    this.id = id;
    this.wanted = new URLSearchParams(location.search).get("alarm");
    this.cards = new Map();
    this.heading = h("h1", { tabindex: "-1" }, id);
    this.pseudonym = h("span", { class: "pseudonym" });
    this.facts = h("p", { class: "facts" });
    this.warning = h("p", { class: "note warn", hidden: true });
    this.news = h("section", { class: "news-card", "aria-label": "NEWS2" });
    this.cells = new Map(SHOWN.map((slug) => [slug, new Cell(slug)]));
    this.bedside = new Map(["consciousness", "oxygen"].map((slug) => [slug, h("div", { class: "cell plain" })]));
    this.trends = new Trends(id);
    this.open = h("div", { class: "cards" });
    this.closed = h("div", { class: "cards" });
    this.closedBox = h("details", { class: "closed" }, h("summary", {}, "Closed alarms"), this.closed);
    this.none = h("p", { class: "note none" }, "No open alarms.");
    this.alarmsNote = h("p", { class: "note warn", hidden: true });
    this.element = this.build();
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    told.addEventListener("picture", () => { this.update(); this.loadAlarms(); this.trends.load(); }, options);
    told.addEventListener("change", ({ detail }) => { if (detail.changed.has(id)) this.update(); }, options);
    told.addEventListener("lost", () => this.live(false), options);
    told.addEventListener("found", () => this.live(true), options);
    this.timer = setInterval(() => this.tick(), 1000);
    this.update();
    this.loadAlarms();
  }

  build() {
    const now = h("dl", { class: "now-cells" }, ...[...this.cells.values()].map((cell) => cell.element), ...this.bedside.values());
    return h(
      "div",
      { class: "page patient" },
      h("nav", { class: "back", "aria-label": "Back" }, h("a", { href: "/", "data-link": true }, "← Ward")),
      h("header", { class: "patient-head" }, h("div", { class: "patient-who" }, h("div", { class: "who-line" }, this.heading, this.pseudonym), this.facts), this.news),
      this.warning,
      h("section", { "aria-label": "Newest values" }, now),
      h(
        "div",
        { class: "columns" },
        h("section", { class: "column-alarms", "aria-labelledby": "alarms-title" }, h("h2", { id: "alarms-title" }, "Alarms"), this.alarmsNote, this.none, this.open, this.closedBox),
        this.trends.element,
      ),
      passBox(this.id),
    );
  }

  title() {
    const row = ward.patients.get(this.id);
    return row ? who(row) : this.id;
  }

  close() {
    this.listening.abort();
    this.trends.close();
    clearInterval(this.timer);
    clearTimeout(this.soon);
  }

  update() {
    const row = ward.patients.get(this.id);
    if (!row) {
      this.warning.hidden = false;
      setText(this.warning, "Nobody of this name is on the ward.");
      return;
    }
    setText(this.heading, who(row));
    setText(this.pseudonym, row.place ? row.id : "");
    for (const [slug, cell] of this.cells) cell.update(row, ward.normal[slug]);
    if (row.news2 !== this.newsDrawn) this.showNews(row.news2);
    if (this.alarmsSeen && row.alarms !== this.alarmsSeen) {
      clearTimeout(this.soon);
      this.soon = setTimeout(() => this.loadAlarms(), SOON_MS);
    }
    this.alarmsSeen = row.alarms;
    this.trends.append(row);
    this.tick();
  }

  tick() {
    const row = ward.patients.get(this.id);
    const now = wardNow();
    if (!row || now === null) return;
    const late = overdue(row, now);
    for (const cell of this.cells.values()) cell.tick(now, late);
    for (const [slug, node] of this.bedside) this.showBedside(node, slug, row.measures[slug], now, late);
    setText(this.facts, facts(row, now));
    const warning = warningOf(row, now, late);
    this.warning.hidden = !warning;
    setText(this.warning, warning);
    for (const card of this.cards.values()) card.tick(now);
  }

  showBedside(node, slug, measure, now, late) {
    const label = slug === "oxygen" ? "Air or oxygen" : "ACVPU";
    const stale = measure && (!measure.stands || late);
    if (node.dataset.shown !== `${measure?.text}`) {
      node.dataset.shown = `${measure?.text}`;
      node.replaceChildren(h("dt", {}, label), h("dd", {}, h("span", { class: "value" }, measure?.text || "–"), h("span", { class: "age" })));
    }
    node.toggleAttribute("data-stale", Boolean(stale));
    const age = measure ? at(measure.at, now) : "";
    setText(node.querySelector(".age"), measure ? (stale ? `stale, ${age}` : `at ${age}`) : "never observed");
  }

  showNews(news2) {
    this.newsDrawn = news2;
    const { text, band, words } = newsOf(news2);
    const parts = Object.entries(news2?.parts ?? {})
      .map(([slug, [low, high]]) => ({ label: shortOf(slug), low, high }))
      .filter(({ high }) => high > 0)
      .sort((a, b) => b.low - a.low || b.high - a.high);
    const missing = news2?.young
      ? "Under 16: no score here is made for children, so none is given. Limits go on; set them for this patient."
      : news2?.missing.length ? `Missing: ${news2.missing.map(labelOf).join(", ")}` : "Nothing missing";
    this.news.dataset.band = band;
    this.news.replaceChildren(
      h("div", { class: "news-total" }, h("span", { class: "news-label" }, "NEWS2"), h("b", { class: "news-number", title: words }, text)),
      h(
        "div",
        { class: "news-why" },
        h("ul", { class: "parts" }, ...parts.map(({ label, low, high }) => h("li", { data: { points: low } }, `${label} ${low === high ? low : `${low}–${high}`}`))),
        h("p", { class: "news-missing" }, news2 ? missing : "Not assessed yet"),
      ),
    );
  }

  async loadAlarms() {
    let answer;
    try {
      answer = await get(`/api/patients/${encodeURIComponent(this.id)}/alarms`);
    } catch (error) {
      this.alarmsNote.hidden = false;
      setText(this.alarmsNote, error.message);
      return;
    }
    this.alarmsNote.hidden = !answer.note;
    setText(this.alarmsNote, answer.note);
    const still = new Set(answer.alarms.map((alarm) => alarm.id));
    for (const id of this.cards.keys()) if (!still.has(id)) this.cards.delete(id);
    const now = wardNow();
    answer.alarms.forEach((alarm, i) => {
      if (!this.cards.has(alarm.id)) this.cards.set(alarm.id, new AlarmCard(this.id, alarm, i === 0 && !alarm.closed));
      this.cards.get(alarm.id).update(alarm, now);
    });
    const elements = (closed) => answer.alarms.filter((alarm) => alarm.closed === closed).map((alarm) => this.cards.get(alarm.id).element);
    arrange(this.open, elements(false));
    arrange(this.closed, elements(true));
    this.none.hidden = this.open.children.length > 0;
    this.closedBox.hidden = this.closed.children.length === 0;
    this.trends.setAlarms(answer.spans);
    this.showWanted();
  }

  /** Came by a link to one alarm: that one is brought into sight, once. */
  showWanted() {
    const card = this.cards.get(this.wanted);
    this.wanted = null;
    if (!card) return;
    if (card.alarm.closed) this.closedBox.open = true;
    card.story.open = true;
    card.element.scrollIntoView({ block: "start" });
    card.element.focus({ preventScroll: true });
  }

  live(isLive) {
    for (const card of this.cards.values()) card.live(isLive);
  }
}

function facts(row, now) {
  const words = [];
  if (row.watch.scale === 2) words.push("SpO₂ scale 2");
  words.push(row.devices.length ? `wears ${row.devices.join(", ")}` : "wears no device");
  if (row.frame !== null) words.push(`values up to ${clock(row.frame)}`);
  for (const [name, score] of Object.entries(row.detectors)) words.push(`${name} ${score.toFixed(2)}`);
  if (row.watch.state === "admitted" && row.watch.at) words.push(`admitted ${at(row.watch.at, now)}${row.watch.by ? ` by ${row.watch.by}` : ""}`);
  return words.join(" · ");
}

function warningOf(row, now, late) {
  const { watch } = row;
  if (watch.state === "paused") {
    const end = watch.until ? `until ${at(watch.until, now)}` : "with no end";
    return `Paused ${end} by ${watch.by || "nobody named"}${watch.reason ? `: ${watch.reason}` : ""}. Silence of devices raises no alarm.`;
  }
  if (watch.state === "discharged") return `Discharged ${at(watch.at, now)} by ${watch.by || "nobody named"}.`;
  if (late) return `No values have come since ${at(row.frame, now)}. All that stands here is stale.`;
  return "";
}
