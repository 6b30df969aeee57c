// One patient on the ward page: the same element as a full row (someone is needed) or a small tile (all is quiet).

import { h, setAttribute, setText } from "./dom.js";
import { at, lasting, lastingFine } from "./format.js";
import { badge } from "./icons.js";
import { labelOf, MEASURES, SHOWN, shortOf } from "./measures.js";
import { spark } from "./spark.js";
import { who } from "./store.js";
import { overdue } from "./time.js";

const LINES = 2;

export class Row {
  constructor(row) {
    this.link = h("a", { class: "who-link", href: `/patient/${encodeURIComponent(row.id)}`, "data-link": true });
    this.pseudonym = h("span", { class: "pseudonym" });
    this.bedside = h("span", { class: "bedside" });
    this.flag = h("span", { class: "flag" });
    this.alarms = h("ul", { class: "alarms" });
    this.news = h("div", { class: "news" });
    this.cells = new Map(SHOWN.map((slug) => [slug, new Cell(slug)]));
    this.element = h(
      "li",
      { class: "row", data: { patient: row.id } },
      h("div", { class: "who" }, h("div", { class: "who-line" }, this.link, this.pseudonym), this.bedside, this.flag),
      this.alarms,
      this.news,
      h("dl", { class: "cells" }, ...[...this.cells.values()].map((cell) => cell.element)),
    );
  }

  /** The patient's picture changed. */
  update(row, normal) {
    this.row = row;
    setText(this.link, who(row));
    setText(this.pseudonym, row.place ? row.id : "");
    for (const [slug, cell] of this.cells) cell.update(row, normal[slug]);
    // What did not change is the same object: a frame without news leaves these elements alone.
    if (row.alarms !== this.alarmsDrawn || row.watch !== this.watchDrawn) this.showAlarms(row);
    if (row.news2 !== this.newsDrawn) this.showNews(row.news2);
  }

  showAlarms({ alarms, watch }) {
    this.alarmsDrawn = alarms;
    this.watchDrawn = watch;
    this.since = [];
    const tasks = alarms.filter((alarm) => alarm.task);
    const lines = alarms.filter((alarm) => !alarm.task).map((alarm) => [alarm]);
    if (tasks.length) lines.push(tasks);
    this.alarms.replaceChildren(...lines.slice(0, LINES).map((line) => (line[0].task ? this.tasks(line) : this.alarm(line[0]))));
    if (!alarms.length && watch.state !== "admitted") this.alarms.append(this.away(watch));
    const more = lines.slice(LINES).flat().length;
    if (more > 0) this.alarms.lastElementChild.append(h("span", { class: "more" }, `and ${more} more`));
    this.element.dataset.worst = alarms.find((alarm) => !alarm.attended)?.priority ?? "none";
  }

  /** Time went on. */
  tick(now) {
    const row = this.row;
    const late = overdue(row, now);
    for (const cell of this.cells.values()) cell.tick(now, late, this.small);
    for (const { node, text } of this.since) setText(node, text(now));
    setText(this.bedside, bedside(row, now, late));
    const flag = flagOf(row, now, late);
    setText(this.flag, flag);
    setAttribute(this.element, "data-flag", flag ? "" : null);
    setAttribute(this.element, "data-late", late ? "" : null);
    setAttribute(this.element, "data-away", row.watch.state === "admitted" ? null : "");
  }

  alarm(alarm) {
    const time = h("span", { class: "alarm-since" });
    this.since.push({ node: time, text: (now) => stateOf(alarm, now) });
    return h(
      "li",
      { class: "alarm", data: { attended: String(alarm.attended), kind: alarm.kind }, title: alarm.cause },
      badge(alarm.priority, alarm.attended),
      h("span", { class: "alarm-title" }, alarm.title),
      time,
      h("span", { class: "alarm-cause" }, alarm.cause),
    );
  }

  /** Who paused the patient, why and until when: in full where no alarm needs the line. */
  away(watch) {
    const words = h("span", { class: "alarm-cause" });
    this.since.push({ node: words, text: (now) => awayWords(watch, now) });
    return h("li", { class: "alarm", data: { kind: "away" } }, words);
  }

  /** What has to be observed, in one line: none of it calls anybody. */
  tasks(tasks) {
    const attended = tasks.every((task) => task.attended);
    const words = tasks.map((task) => task.title.replace("Observe ", "")).join(", ");
    return h(
      "li",
      { class: "alarm", data: { attended: String(attended), kind: "task" }, title: `To observe: ${words}` },
      badge("low", attended),
      h("span", { class: "alarm-title" }, "Observe"),
      h("span", { class: "alarm-cause" }, words),
    );
  }

  showNews(news2) {
    this.newsDrawn = news2;
    const { text, band, words } = newsOf(news2);
    setAttribute(this.news, "data-band", band);
    this.news.replaceChildren(
      h("span", { class: "news-label", "aria-hidden": "true" }, "NEWS2"),
      h("b", { class: "news-number", "aria-hidden": "true" }, text),
      h("span", { class: "news-missing", "aria-hidden": "true" }, news2?.young ? "under 16" : news2?.missing.length ? lacking(news2) : ""),
      h("span", { class: "vh" }, words),
    );
    this.news.title = words;
  }
}

/** One measure: value, unit, what it gives NEWS2, a line of the last hours, its age. */
export class Cell {
  constructor(slug) {
    const { short, label, unit } = MEASURES[slug];
    this.slug = slug;
    this.value = h("span", { class: "value" });
    this.points = h("span", { class: "points" });
    this.age = h("span", { class: "age" });
    this.line = spark(slug);
    this.element = h(
      "div",
      { class: "cell", data: { measure: slug } },
      h("dt", { title: label }, short),
      h("dd", { class: "top" }, this.value, h("span", { class: "unit" }, unit), this.points),
      h("dd", { class: "bottom" }, this.line.element, this.age),
    );
  }

  update(row, normal) {
    this.measure = row.measures[this.slug];
    this.text = this.slug === "sbp" ? pressure(row.measures) : (this.measure?.text ?? "");
    const points = row.news2?.parts[this.slug]?.[0] ?? 0;
    setText(this.points, points ? `+${points}` : "");
    setAttribute(this.element, "data-points", points && this.measure?.stands ? points : null);
    this.points.title = points ? `gives NEWS2 ${points}` : "";
    // The band is scale 1's: for a patient on scale 2 it would mislead.
    this.line.draw(row.spark.lines[this.slug] ?? [], this.slug === "spo2" && row.watch.scale === 2 ? null : normal);
    setText(this.value, this.text || "–");
  }

  /** Time went on. In a small cell the row says it where all of it is late, so the word need not stand in each. */
  tick(now, late, small = false) {
    const measure = this.measure;
    if (!measure) {
      setText(this.age, "never");
      setAttribute(this.element, "data-stale", null);
      setAttribute(this.element, "data-none", "");
      return;
    }
    const stale = !measure.stands || late;
    setAttribute(this.element, "data-none", null);
    setAttribute(this.element, "data-stale", stale ? "" : null);
    const age = lasting(now - measure.at);
    const short = small ? age.replace(" min", "m").replace(" ", "") : age;
    setText(this.age, !stale ? age : small && late ? short : `stale ${short}`);
  }
}

/** Systolic over diastolic, where both were told. */
export function pressure(measures) {
  if (!measures.sbp?.text) return "";
  return measures.dbp?.text ? `${measures.sbp.text}/${measures.dbp.text}` : measures.sbp.text;
}

/** The state of an alarm in a few words. */
export function stateOf(alarm, now) {
  if (alarm.shelf) return `shelved by ${alarm.shelf.by}${until(alarm.shelf, now)}`;
  if (alarm.expecting) return `${alarm.expecting.by} expects better${until(alarm.expecting, now)}`;
  const words = [];
  if (alarm.unobserved) words.push(`unobserved since ${at(alarm.unobserved, now)}`);
  else if (alarm.condition === "returned") words.push("back to normal");
  else words.push(lastingFine(now - alarm.raised));
  if (alarm.acknowledged) words.push(`seen by ${alarm.acknowledged.by}`);
  return words.join(", ");
}

function until(said, now) {
  return said.until ? ` until ${at(said.until, now)}` : "";
}

/** NEWS2 as a number or an interval, its band, and the whole in words. */
export function newsOf(news2) {
  if (!news2) return { text: "–", band: "none", words: "NEWS2: not assessed yet" };
  if (news2.young) return { text: "–", band: "none", words: "NEWS2: not made for anybody under 16" };
  if (!news2.assessed) return { text: "–", band: "none", words: "NEWS2: not assessed, everything is missing" };
  const { low, high, missing, parts } = news2;
  const single = Object.values(parts).some(([least]) => least >= 3);
  const band = low >= 7 ? "high" : low >= 5 || single ? "medium" : low >= 1 ? "some" : "zero";
  if (low === high && !missing.length) return { text: String(low), band, words: `NEWS2: ${low}` };
  const text = low === high ? String(low) : `${low}–${high}`;
  return { text, band, words: `NEWS2: ${low} to ${high}; missing: ${missing.map(labelOf).join(", ")}` };
}

function lacking({ missing }) {
  return missing.length > 1 ? `lacks ${missing.length}` : `no ${shortOf(missing[0])}`;
}

function bedside(row, now, late) {
  const { consciousness: c, oxygen: o } = row.measures;
  const say = (measure, text) => (measure?.text ? `${text} ${measure.stands && !late ? lasting(now - measure.at) : "stale"}` : "");
  return [say(c, c?.text), say(o, o?.text === "oxygen" ? "O₂" : "air")].filter(Boolean).join(" · ");
}

function awayWords(watch, now) {
  if (watch.state === "discharged") return `Discharged by ${watch.by || "nobody named"}`;
  const end = watch.until ? ` until ${at(watch.until, now)}` : "";
  return `Paused by ${watch.by || "nobody named"}${end}${watch.reason ? `: ${watch.reason}` : ""}`;
}

function flagOf(row, now, late) {
  if (row.watch.state !== "admitted") return row.alarms.length ? awayWords(row.watch, now) : "";
  if (row.frame === null) return "Nothing received yet";
  return late ? `Stale: nothing since ${at(row.frame, now)}` : "";
}
