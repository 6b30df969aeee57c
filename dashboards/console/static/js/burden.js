// The burden of alarms: how many, how many for nothing, how long until somebody answers, and whether the budget holds.

import { h, setText } from "./dom.js";
import { lastingFine } from "./format.js";
import { get } from "./net.js";
import { ward } from "./store.js";

const DAYS = [[1, "1 day"], [7, "1 week"], [28, "4 weeks"]];

export class BurdenPage {
  constructor() {
    this.days = 7;
    this.note = h("p", { class: "note warn", hidden: true });
    this.body = h("div", { class: "blocks" }, h("p", { class: "loading" }, "Counting …"));
    this.element = h("div", { class: "page burden-page" }, h("div", { class: "trends-head" }, h("h1", { tabindex: "-1" }, "Alarm burden"), this.range()), this.note, this.body);
    this.load();
  }

  title() {
    return "Burden";
  }

  close() {}

  range() {
    const buttons = DAYS.map(([days, text]) => h("button", { type: "button", "aria-pressed": String(days === this.days), onclick: () => {
      this.days = days;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(DAYS[i][0] === days)));
      this.load();
    } }, text));
    return h("div", { class: "range", role: "group", "aria-label": "Over how long" }, ...buttons);
  }

  async load() {
    const { days } = this;
    let told;
    try {
      told = await get(`/api/burden?days=${days}`);
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
      return;
    }
    if (days !== this.days) return;
    this.note.hidden = !told.note;
    setText(this.note, told.note);
    this.body.replaceChildren(figures(told), budget(told), worst(told), table("By rule", "Rule", told.rules, true), ...(told.people ? [table("By who answered first", "Person", told.people, false)] : []));
  }
}

function rate(value, digits = 1) {
  return value === null ? "–" : value.toFixed(digits);
}

function seconds(value) {
  return value === null ? "–" : lastingFine(value * 1000);
}

function figure(number, words, note = "") {
  return h("div", { class: "figure" }, h("b", {}, number), h("span", {}, words), note ? h("span", { class: "note" }, note) : null);
}

function figures(told) {
  const { answer, alarms } = told;
  const judged = told.confirmed + told.dismissed + told.duplicate;
  return h(
    "section",
    { class: "block wide figures", "aria-label": "In short" },
    figure(rate(told.per_patient_day), "calling alarms per patient and day", `${told.paging} on ${told.patients} patients, ${told.patient_days.toFixed(1)} patient-days`),
    figure(seconds(answer.p50_s), "until somebody answered (half of them)", `nine in ten within ${seconds(answer.p90_s)}; ${answer.unanswered} never answered`),
    figure(rate(told.false_per_patient_hour, 3), "false alarms per patient-hour, at least", `${told.dismissed} dismissed, ${told.confirmed} confirmed; nobody judged ${told.unjudged}`),
    figure(`${alarms.high ?? 0} / ${alarms.medium ?? 0} / ${alarms.low ?? 0}`, "high / medium / low raised", `${judged} of them judged by somebody`),
  );
}

function budget({ budget: { per_patient_day: most, period_h: hours }, burn }) {
  const rows = burn.map(({ span_h: span, per_patient_day: per, rate: burning }) => {
    const bar = h("span", { class: "bar-fill" });
    bar.style.width = `${Math.min(100, 50 * (burning ?? 0))}%`;
    const words = burning === null ? "nobody was watched" : burning <= 1 ? "✓ within" : `⚠ ${burning.toFixed(1)} × too fast`;
    return h("li", { class: "burn", data: { over: String((burning ?? 0) > 1) } }, h("span", {}, `last ${span < 48 ? `${span} h` : `${span / 24} d`}`), h("span", { class: "burn-bar", "aria-hidden": "true" }, bar), h("b", {}, rate(per)), h("span", { class: "burn-words" }, words));
  });
  return h("section", { class: "block", "aria-label": "Budget" }, h("h2", {}, "Budget"), h("p", { class: "note" }, `At most ${most} calling alarms per patient and day over ${hours / 24} days. The mark in the middle is the budget.`), h("ol", { class: "burns" }, ...rows));
}

function table(title, first, rows, perDay) {
  const heads = [first, "Raised", "Called", ...(perDay ? ["Per patient-day"] : []), "Confirmed", "Dismissed", "Answer, half", "Answer, 9 in 10", "Never"];
  const body = rows.map((row) => h(
    "tr",
    {},
    h("th", { scope: "row" }, row.title ?? row.name),
    ...[row.alarms, row.paging, ...(perDay ? [rate(row.per_patient_day, 2)] : []), row.confirmed, row.dismissed, seconds(row.answer.p50_s), seconds(row.answer.p90_s), row.answer.unanswered].map((cell) => h("td", {}, String(cell))),
  ));
  return h("section", { class: "block wide", "aria-label": title }, h("h2", {}, title), rows.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", { class: "list-table numbers-table" }, h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...body))) : h("p", { class: "note" }, "Nothing to tell."));
}

function worst({ worst: { patients, share, rows } }) {
  const words = share === null ? "No alarm called." : `${patients === 1 ? "One patient makes" : `${patients} patients make`} ${Math.round(100 * share)} % of the calling alarms.`;
  return h(
    "section",
    { class: "block", "aria-label": "Patients with most alarms" },
    h("h2", {}, "The tenth of patients with most alarms"),
    h("p", {}, words),
    h("ol", { class: "plain-list" }, ...rows.filter(({ paging }) => paging > 0).map(({ name, paging }) => h("li", {}, h("a", { href: `/patient/${encodeURIComponent(name)}`, "data-link": true }, ward.patients.get(name)?.place || name), ` ${paging} called`))),
  );
}
