// The audit: what people were told, said and did, to search in; and one alarm's whole story.

import { h, setText } from "./dom.js";
import { at, clock } from "./format.js";
import { get } from "./net.js";
import { wardNow } from "./time.js";

const WAIT_MS = 300;

export class AuditPage {
  constructor() {
    const asked = new URLSearchParams(location.search);
    this.note = h("p", { class: "note warn", hidden: true });
    this.words = h("input", { type: "search", value: asked.get("q") ?? "", "aria-label": "Words to find", placeholder: "Words, a person, an alarm …", oninput: () => this.soon() });
    this.kind = h("select", { "aria-label": "Kind of fact", onchange: () => this.load() }, h("option", { value: "" }, "Everything"));
    this.tests = h("input", { type: "checkbox", onchange: () => this.load() });
    this.list = h("ol", { class: "facts-list" });
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.load(true) }, "Older ones");
    this.head = h("p", { class: "note chain" });
    this.story = h("section", { class: "block wide", "aria-label": "One alarm's story", hidden: true });
    this.element = h(
      "div",
      { class: "page audit-page" },
      h("h1", { tabindex: "-1" }, "Audit"),
      this.head,
      h("form", { class: "filter", role: "search", onsubmit: (event) => { event.preventDefault(); this.load(); } }, this.words, this.kind, h("label", { class: "choice" }, this.tests, h("span", {}, "The test patient too"))),
      this.note,
      this.story,
      h("section", { class: "block wide", "aria-label": "Facts" }, this.list, this.more),
    );
    this.load();
    if (asked.get("alarm")) this.tell(asked.get("alarm"));
  }

  title() {
    return "Audit";
  }

  close() {
    clearTimeout(this.later);
  }

  soon() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.load(), WAIT_MS);
  }

  async load(older = false) {
    const asked = new URLSearchParams({ q: this.words.value.trim(), what: this.kind.value, tests: String(this.tests.checked) });
    if (older && this.oldest) asked.set("before", this.oldest);
    let told;
    try {
      told = await get(`/api/audit?${asked}`);
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
      return;
    }
    this.note.hidden = true;
    setText(this.head, told.head ? `Head of the chain: ${told.head}. Note it elsewhere; “teleward audit” checks the whole chain against it.` : "The pager has not told the head of the chain.");
    const now = wardNow();
    if (!older) this.list.replaceChildren();
    this.list.append(...told.entries.map((entry) => this.fact(entry, now)));
    if (!this.list.children.length) this.list.append(h("li", { class: "note" }, "Nothing that fits."));
    this.oldest = told.entries.at(-1)?.at;
    this.more.hidden = !told.more;
    const known = new Set([...this.kind.options].map(({ value }) => value));
    this.kind.append(...told.kinds.filter((kind) => !known.has(kind)).map((kind) => h("option", { value: kind }, kind)));
  }

  fact({ at: when, what, person, text, part, alarms }, now) {
    return h(
      "li",
      { class: "fact" },
      h("time", {}, dayAndClock(when, now ?? when)),
      h("span", { class: "tag" }, what),
      h("b", {}, person || "–"),
      h("span", { class: "fact-text" }, text, ...alarms.map((alarm) => h("button", { type: "button", class: "link", title: alarm.id, onclick: () => this.tell(alarm.id, alarm.words) }, alarm.words))),
      h("span", { class: "note" }, part),
    );
  }

  async tell(alarm, words = alarm) {
    this.story.hidden = false;
    this.story.replaceChildren(h("p", { class: "loading" }, "Looking …"));
    let told;
    try {
      told = await get(`/api/audit/alarm?id=${encodeURIComponent(alarm)}`);
    } catch (error) {
      this.story.replaceChildren(h("p", { class: "note warn" }, error.message));
      return;
    }
    const close = h("button", { type: "button", class: "quiet", onclick: () => { this.story.hidden = true; } }, "Close");
    const heading = h("h2", { tabindex: "-1" }, `Story of ${words}`);
    this.story.replaceChildren(
      h("div", { class: "week-head" }, heading, h("span", { class: "week-move" }, close)),
      h("p", { class: "note chain" }, `Its name, for “teleward audit”: ${alarm}`),
      told.note ? h("p", { class: "note warn" }, told.note) : "",
      h("ol", { class: "steps story-steps" }, ...told.story.map((step) => stepOf(step))),
    );
    heading.focus();
  }
}

/** "08:33:12", with the day where it is another one: an audit is read to the second. */
function dayAndClock(when, now) {
  const short = at(when, now);
  return short.includes(" ") ? `${short.split(" ").slice(0, 2).join(" ")} ${clock(when)}` : clock(when);
}

function stepOf(step) {
  const time = h("time", {}, clock(step.at));
  if (step.kind === "entry") return h("li", { data: { event: "person" } }, time, h("div", {}, h("b", {}, `${step.person || step.part}: ${step.what}`), h("span", { class: "step-cause" }, step.text)));
  const readings = step.evidence.map(({ label, text, limit, at: when }) => `${label} ${text}${limit ? ` (limit ${limit})` : ""} at ${clock(when)}`);
  return h(
    "li",
    { data: { event: step.event } },
    time,
    h("div", {}, h("b", {}, step.words), h("span", { class: "step-cause" }, step.cause), ...readings.map((text) => h("span", { class: "step-cause" }, text)), step.note ? h("span", { class: "step-cause" }, `“${step.note}”`) : null, h("span", { class: "note" }, `${step.rule}, level ${step.level}, rules ${step.version}`)),
  );
}
