// The rota: a week of lines and people, gaps, and who cannot be reached.

import { h, setText } from "./dom.js";
import { boardNote, day, hour, loadDuty, span, weekDays } from "./duty.js";
import { count } from "./format.js";
import { told, ward } from "./store.js";
import { wardNow } from "./time.js";

const EVERY_MS = 30e3;
const WEEK = 7;

export class RotaPage {
  constructor() {
    this.week = 0;
    this.note = h("p", { class: "note warn", hidden: true });
    this.body = h("div", { class: "blocks" });
    this.element = h("div", { class: "page rota-page" }, h("h1", { tabindex: "-1" }, "Rota"), this.note, this.body);
    this.listening = new AbortController();
    for (const name of ["picture", "duty"]) told.addEventListener(name, () => this.load(), { signal: this.listening.signal });
    this.timer = setInterval(() => this.load(), EVERY_MS);
    this.load();
  }

  title() {
    return "Rota";
  }

  close() {
    this.listening.abort();
    clearInterval(this.timer);
  }

  async load() {
    try {
      this.duty = await loadDuty();
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
      return;
    }
    this.show();
  }

  show() {
    const { duty } = this;
    const note = boardNote(duty);
    this.note.hidden = !note;
    setText(this.note, note);
    if (!duty.told) return;
    const seen = JSON.stringify([this.week, duty.duties, duty.gaps, duty.unreachable, duty.people, duty.holders, Math.floor((wardNow() ?? 0) / 60e3)]);
    if (seen === this.seen) return;
    this.seen = seen;
    this.body.replaceChildren(trouble(duty), this.calendar(duty), people(duty));
  }

  calendar(duty) {
    const now = wardNow() ?? duty.at;
    const days = weekDays(now + this.week * WEEK * 86400e3, duty.zone);
    const lines = [...new Set([...duty.holders, ...duty.duties, ...duty.gaps].map(({ team, line }) => `${team}\n${line}`))];
    const move = (step) => h("button", { type: "button", class: "quiet", onclick: () => { this.week += step; this.show(); } }, step < 0 ? "← Week before" : "Week after →");
    const today = h("button", { type: "button", class: "quiet", hidden: this.week === 0, onclick: () => { this.week = 0; this.show(); } }, "This week");
    return h(
      "section",
      { class: "block wide", "aria-label": "Week" },
      h("div", { class: "week-head" }, h("h2", {}, `${day(days[0], duty.zone)} to ${day(days[WEEK] - 1, duty.zone)}`), h("span", { class: "note" }, `Times of ${duty.zone}`), h("span", { class: "week-move" }, move(-1), today, move(1))),
      ...lines.map((key) => week(key, days, duty, now)),
    );
  }
}

/** One line of a team over a week: a day is a column (a row on a phone), a duty or a gap stands in the days it touches. */
function week(key, days, duty, now) {
  const [team, line] = key.split("\n");
  const mine = ({ team: t, line: l }) => t === team && l === line;
  const held = duty.duties.filter(mine).map((one) => ({ ...one, kind: "duty" }));
  const gaps = duty.gaps.filter(mine).map((one) => ({ ...one, kind: "gap", person: "" }));
  const columns = Array.from({ length: WEEK }, (_, i) => {
    const [from, to] = [days[i], days[i + 1]];
    const inside = [...held, ...gaps].filter((one) => one.from < to && one.to > from).sort((a, b) => a.from - b.from);
    return h(
      "li",
      { class: "day", data: { today: String(from <= now && now < to) } },
      h("span", { class: "day-name" }, day(from, duty.zone), from <= now && now < to ? h("span", { class: "tag" }, "today") : null),
      inside.length ? h("ul", {}, ...inside.map((one) => stretch(one, from, to, now, duty.zone))) : h("span", { class: "note" }, to < duty.at ? "over" : "not told"),
    );
  });
  return h("section", { class: "line-week", "aria-label": `${line} of ${team}` }, h("h3", {}, `${line} `, h("span", { class: "note" }, team)), h("ol", { class: "week" }, ...columns));
}

function stretch({ kind, person, from, to }, dayFrom, dayTo, now, zone) {
  const start = from < dayFrom ? "00:00" : hour(from, zone);
  const end = to >= dayTo ? "24:00" : hour(to, zone);
  const running = from <= now && now < to;
  return h(
    "li",
    { class: "stretch", data: { kind, now: String(running), me: String(person === ward.me.name) } },
    h("span", { class: "stretch-time" }, `${start}–${end}`),
    h("b", {}, kind === "gap" ? "⚠ Nobody" : person),
    running && kind === "duty" ? h("span", { class: "vh" }, "on duty now") : null,
  );
}

function trouble({ gaps, unreachable, zone }) {
  const lines = [
    ...gaps.map(({ team, line, from, to }) => `Nobody is ${line} of ${team}: ${span(from, to, zone)}`),
    ...unreachable.map(({ person, team, line, from, to }) => `${person} has no channel that works, and is ${line} of ${team}: ${span(from, to, zone)}`),
  ];
  if (!lines.length) return h("p", { class: "state-line", data: { ok: "true" } }, "No gaps ahead, and everybody on call has a channel that works.");
  return h("section", { class: "block trouble", "aria-label": "Trouble ahead" }, h("h2", {}, `⚠ ${count(lines.length, "thing")} to mend`), h("ul", { class: "plain-list" }, ...lines.map((text) => h("li", {}, text))));
}

function people({ people: all, zone }) {
  const rows = all.map(({ person, teams, leads, channels, broken, proven }) => h(
    "tr",
    {},
    h("th", { scope: "row" }, person, person === ward.me.name ? h("span", { class: "tag" }, "you") : null),
    h("td", {}, teams.map((team) => (leads.includes(team) ? `${team} (lead)` : team)).join(", ")),
    h("td", { data: { ok: String(channels - broken > 0) } }, channels === 0 ? "✕ none" : broken ? `⚠ ${channels - broken} of ${channels} work` : `✓ ${channels}`),
    h("td", { data: { ok: String(proven !== null) } }, proven === null ? "✕ never" : `✓ ${day(proven, zone)} ${hour(proven, zone)}`),
  ));
  const head = ["Person", "Team", "Channels", "Test page confirmed"].map((text) => h("th", { scope: "col" }, text));
  return h("section", { class: "block wide", "aria-label": "People" }, h("h2", {}, "People"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "People and how they are reached" }, h("table", { class: "list-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows))));
}
