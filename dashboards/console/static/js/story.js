// An alarm on its patient's page: what it is, why it was raised, what happened since, and what can be said to it.

import { h, setText } from "./dom.js";
import { at, clock, hop } from "./format.js";
import { badge } from "./icons.js";
import { openCommand } from "./commands.js";
import { explained } from "./why.js";
import { hopName } from "./latency.js";
import { stateOf } from "./row.js";
import { ward } from "./store.js";
import { isLive } from "./stream.js";
import { wardNow } from "./time.js";

const ACTIONS = [
  ["acknowledge", "Acknowledge"],
  ["unshelve", "Take the shelf back"],
  ["shelve", "Shelve …"],
  ["expect", "Expect …"],
  ["resolve", "Resolve …"],
];

// Machines take milliseconds and people minutes: each part has a scale of its own.
const PEOPLE = new Set(["answer", "confirm"]);
const isSum = (name) => name.startsWith("to_");
const PARTS = [(name) => !isSum(name) && !PEOPLE.has(name), (name) => PEOPLE.has(name)];

export class AlarmCard {
  /** `where` is the link to the patient, where the card does not stand on the patient's own page. */
  constructor(patient, alarm, unfolded, where = null) {
    this.patient = patient;
    this.badge = h("span", {});
    this.title = h("h3", {});
    this.state = h("span", { class: "card-state" });
    this.body = h("div", { class: "card-body" });
    this.buttons = ACTIONS.map(([action, text]) => h("button", { type: "button", class: action === "acknowledge" ? "primary" : null, data: { action }, onclick: () => this.say(action) }, text));
    this.actions = h("div", { class: "actions" }, ...this.buttons);
    this.steps = h("ol", { class: "steps" });
    this.storyTitle = h("summary", {}, "Story");
    this.story = h("details", { open: unfolded }, this.storyTitle, this.steps);
    this.hops = h("ol", { class: "hop-bars" });
    this.hopNote = h("p", { class: "note" }, "† from the device's clock to ours: holds the error of the device's clock.");
    this.boundNote = h("p", { class: "note" }, "‡ from the device's clock to ours, which were compared in both directions: it took no less and no more than this.");
    this.hopBox = h("details", {}, h("summary", {}, "How long each hop took"), this.hops, this.hopNote, this.boundNote);
    this.element = h(
      "article",
      { class: "card", data: { alarm: alarm.id }, tabindex: "-1" },
      h("header", { class: "card-head" }, this.badge, where, this.title, this.state),
      this.body,
      this.actions,
      this.story,
      this.hopBox,
    );
  }

  update(alarm, now) {
    this.alarm = alarm;
    const { element } = this;
    Object.assign(element.dataset, { priority: alarm.priority, attended: String(alarm.attended), closed: String(alarm.closed), task: String(alarm.task) });
    this.badge.replaceChildren(badge(alarm.priority, alarm.attended || alarm.closed));
    setText(this.title, alarm.title);
    this.body.replaceChildren(...why(alarm, now));
    this.steps.replaceChildren(...alarm.story.map((step) => stepOf(step, now)).reverse());
    setText(this.storyTitle, `Story: ${alarm.story.length} ${alarm.story.length === 1 ? "event" : "events"}`);
    this.showHops(alarm.why.hops);
    this.live(isLive());
    this.tick(now);
  }

  tick(now) {
    const { alarm } = this;
    if (now === null || !alarm) return;
    const since = `raised ${at(alarm.raised, now)}`;
    setText(this.state, alarm.closed ? `${since}, closed` : `${since} · ${stateOf(alarm, now)}${owed(alarm, now)}`);
  }

  live(live) {
    const { alarm } = this;
    const mine = ward.me.may_command && (!ward.me.equipment_only || alarm.kind === "technical");
    this.actions.hidden = alarm.closed || !mine;
    for (const button of this.buttons) {
      const { action } = button.dataset;
      const barred = alarm.may?.[action] === false;
      button.disabled = !live || barred;
      button.title = barred && action === "shelve" ? alarm.may.why_not : "";
      if (action === "acknowledge") button.hidden = Boolean(alarm.acknowledged);
      if (action === "unshelve") button.hidden = !alarm.shelf;
      if (action === "shelve") button.hidden = Boolean(alarm.shelf);
    }
  }

  say(action) {
    openCommand(action, this.patient, this.alarm);
  }

  showHops(hops) {
    this.hopBox.hidden = hops.length === 0;
    const parts = PARTS.map((names) => hops.filter(({ hop: name }) => names(name))).filter((rows) => rows.length);
    this.hops.replaceChildren(...parts.flatMap(waterfall), ...hops.filter(({ hop: name }) => isSum(name)).map(sumOf));
    this.hopNote.hidden = !hops.some((row) => row.crosses_clocks && row.most === undefined);
    this.boundNote.hidden = !hops.some((row) => row.most !== undefined);
  }
}

/** Hops of one part as they followed each other: a bar begins where its hop began. */
function waterfall(rows) {
  const from = Math.min(...rows.map(({ start }) => start));
  const span = Math.max(1e-6, ...rows.map(({ start, ms }) => start + Math.max(0, ms) - from));
  return rows.map((row) => {
    const bar = h("span", { class: "bar-fill" });
    const left = Math.min(99.5, (100 * (row.start - from)) / span);
    bar.style.marginLeft = `${left}%`;
    bar.style.width = `${Math.min(100 - left, Math.max(0.5, (100 * Math.max(0, row.ms)) / span))}%`;
    return hopOf(row, bar);
  });
}

function sumOf(row) {
  return hopOf(row, null);
}

function hopOf({ hop: name, ms, contains, crosses_clocks: crosses, least, most }, bar) {
  const bounded = most !== undefined;
  const mark = bounded ? " ‡" : crosses ? " †" : "";
  const took = bounded ? between(hop(least), hop(most)) : hop(ms);
  return h("li", { class: bar ? null : "sum", title: contains }, h("span", { class: "hop-name" }, `${hopName(name)}${mark}`), h("span", { class: "hop-bar", "aria-hidden": "true" }, bar), h("span", { class: "hop-ms" }, took));
}

/** "60 to 140 ms": a unit that both have is said once. */
function between(least, most) {
  const unit = most.slice(most.indexOf(" "));
  return `${least.endsWith(unit) ? least.slice(0, -unit.length) : least} to ${most}`;
}

/** By when somebody has to look, while nobody does. */
function owed({ attended, due }, now) {
  if (attended || !due) return "";
  return due < now ? ` · answer overdue since ${at(due, now)}` : ` · answer due ${at(due, now)}`;
}

function why(alarm, now) {
  const { why: step } = alarm;
  // A learned score's own sentence says what its cause says, and more.
  const nodes = step.score?.why ? [] : [h("p", { class: "card-cause" }, step.cause)];
  // A task's cause is its meaning; said twice it would only be longer.
  if (alarm.means && !alarm.means.startsWith(step.cause)) nodes.push(h("p", { class: "note" }, alarm.means));
  if (alarm.unobserved) nodes.push(h("p", { class: "card-unobserved" }, `Cannot be observed since ${at(alarm.unobserved, now)}. It stays open: silence is no recovery.`));
  if (step.delayed) nodes.push(h("p", { class: "note" }, "Its readings were sent in time and received late."));
  nodes.push(...explained(step));
  nodes.push(...said(alarm, now));
  return nodes;
}

function said({ acknowledged, shelf, expecting }, now) {
  const until = (what) => (what.until ? ` until ${at(what.until, now)}` : "");
  const bound = (what, verb) => (what.bound !== null ? `; ${verb} at ${what.bound} or ${what.direction}` : "");
  const lines = [];
  if (acknowledged) lines.push(`Acknowledged by ${acknowledged.by} at ${at(acknowledged.at, now)}${until(acknowledged)}.`);
  if (shelf) lines.push(`Shelved by ${shelf.by}${until(shelf)}${bound(shelf, "comes back")}: ${shelf.reason}`);
  if (expecting) lines.push(`${expecting.by} expects it to get better${until(expecting)}${bound(expecting, "met")}: ${expecting.reason}`);
  return lines.map((line) => h("p", { class: "card-said" }, line));
}

function stepOf(step, now) {
  const cause = step.cause ? h("span", { class: "step-cause" }, step.cause) : null;
  return h(
    "li",
    { data: { event: step.event } },
    h("time", { title: clock(step.at) }, at(step.at, now ?? wardNow() ?? step.at)),
    h("div", {}, h("b", {}, step.words), cause, step.note ? h("span", { class: "step-cause" }, `“${step.note}”`) : null),
  );
}
