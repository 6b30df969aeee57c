// My shift: who has the pager now, what was sent to me and what became of it, taking over, and proof that I am reached.

import { h, setText } from "./dom.js";
import { boardNote, hour, loadDuty, receiptOf, span } from "./duty.js";
import { count, lasting } from "./format.js";
import { badge } from "./icons.js";
import { post } from "./net.js";
import { toast } from "./say.js";
import { told, ward } from "./store.js";
import { isLive } from "./stream.js";
import { wardNow } from "./time.js";

const EVERY_MS = 10e3;
const KINDS = { page: "Page", digest: "Digest", limit: "Limit of pages", refused: "Answer refused", test: "Test page", quiet: "Quiet shift", "hand-over": "Hand-over" };

export class ShiftPage {
  constructor() {
    this.note = h("p", { class: "note warn", hidden: true });
    this.body = h("div", { class: "blocks" });
    this.element = h("div", { class: "page shift-page" }, h("h1", { tabindex: "-1" }, "My shift"), this.note, this.body);
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    for (const name of ["picture", "duty", "notices"]) told.addEventListener(name, () => this.load(), options);
    for (const name of ["lost", "found"]) told.addEventListener(name, () => this.live(), options);
    this.timer = setInterval(() => this.load(), EVERY_MS);
    this.load();
  }

  title() {
    return "My shift";
  }

  close() {
    this.listening.abort();
    clearInterval(this.timer);
  }

  async load() {
    try {
      this.show(await loadDuty());
    } catch (error) {
      this.note.hidden = false;
      setText(this.note, error.message);
    }
  }

  show(duty) {
    const note = boardNote(duty);
    this.note.hidden = !note;
    setText(this.note, note);
    if (!duty.told) return;
    // What did not change is left alone: somebody may be about to press a button in it.
    const seen = JSON.stringify({ ...duty, at: 0, quiet_s: 0 });
    if (seen === this.seen) return;
    this.seen = seen;
    const me = ward.me.name;
    this.body.replaceChildren(
      now(duty, me),
      ...this.handOvers(duty, me),
      this.reach(duty, me),
      duties(duty, me),
      messages(duty, me),
    );
    this.live();
  }

  handOvers(duty, me) {
    const mine = duty.hand_overs.filter((one) => one.accepted === null && (one.into === me || one.out === me));
    return mine.map((one) => h(
      "section",
      { class: "block hand-over", "aria-label": "Hand-over" },
      h("h2", {}, one.into === me ? `${one.out} hands the pager over to you` : `${one.into} has not taken over yet`),
      h("p", {}, `${one.line} of ${one.team}, from ${span(one.from, one.from, duty.zone).split(" to ")[0]}. Until it is taken over, ${one.out === me ? "you keep" : `${one.out} keeps`} the pager.`),
      one.digest ? h("p", { class: "digest" }, one.digest) : null,
      one.into === me ? this.button("Take over the pager", "/api/duty/confirm", { message_id: one.message_id }, "You have the pager.") : null,
    ));
  }

  reach(duty, me) {
    const self = duty.people.find(({ person }) => person === me);
    if (!self) return h("section", { class: "block", "aria-label": "Whether you are reached" }, h("h2", {}, "Can you be reached?"), h("p", { class: "note" }, "You are not on the rota: the pager calls you for nothing."));
    const open = duty.tests.filter(({ person, answered }) => person === me && answered === null);
    const working = self.channels - self.broken;
    const proven = self.proven === null ? "You have never confirmed a test page." : `Last test page confirmed ${span(self.proven, self.proven, duty.zone).split(" to ")[0]}.`;
    return h(
      "section",
      { class: "block tall", "aria-label": "Whether you are reached" },
      h("h2", {}, "Can you be reached?"),
      h("p", { class: "state-line", data: { ok: String(working > 0 && self.proven !== null) } }, working > 0 ? `${working} of ${self.channels} ways to reach you ${working === 1 ? "works" : "work"}. ` : "No way to reach you works! ", proven),
      ...open.map((test) => h("div", { class: "ask" }, h("p", {}, `A test page was sent ${hour(test.sent, duty.zone)}. Did it reach you?`), this.button("Yes, it reached me", "/api/duty/confirm", { message_id: test.message_id }, "Confirmed: you are reached."))),
      this.button("Send me a test page", "/api/duty/test", {}, "A test page is on its way. Answer it where it reaches you.", open.length === 0 && !self.proven ? "primary" : null),
    );
  }

  button(text, path, body, done, look = "primary") {
    const button = h("button", { type: "button", class: look, data: { act: path }, onclick: async () => {
      button.disabled = true;
      try {
        await post(path, body);
        toast(done);
      } catch (error) {
        toast(error.message, "refused");
      }
      button.disabled = !isLive();
      this.load();
    } }, text);
    return button;
  }

  live() {
    for (const button of this.body.querySelectorAll("[data-act]")) button.disabled = !isLive();
  }
}

function now({ holders, zone }, me) {
  return h(
    "section",
    { class: "block now-block", "aria-label": "Who has the pager" },
    h("h2", {}, "Who has the pager now"),
    holders.length ? h("ul", { class: "holders" }, ...holders.map(({ team, line, people, until, why }) => h(
      "li",
      { class: "holder", data: { me: String(people.includes(me)) } },
      h("span", { class: "holder-line" }, `${line}, ${team}`),
      h("b", { class: "holder-who" }, people.length ? people.map((name) => (name === me ? "You" : name)).join(", then ") : "Nobody"),
      until ? h("span", { class: "note" }, `until ${span(until, until, zone).split(" to ")[0]}`) : null,
      why ? h("span", { class: "holder-why" }, why) : null,
    ))) : h("p", { class: "why-missing" }, "Nobody has it."),
  );
}

function duties({ duties: all, zone }, me) {
  const at = wardNow() ?? Date.now();
  const mine = all.filter(({ person, to }) => person === me && to > at);
  return h(
    "section",
    { class: "block", "aria-label": "My duties" },
    h("h2", {}, "My duties ahead"),
    mine.length ? h("ul", { class: "plain-list" }, ...mine.map(({ team, line, from, to }) => h("li", { data: { now: String(from <= at) } }, h("b", {}, span(from, to, zone)), ` ${line} of ${team}`, from <= at ? h("span", { class: "tag" }, "now") : h("span", { class: "note" }, ` in ${lasting(from - at)}`)))) : h("p", { class: "note" }, "None within the days that the pager tells of."),
  );
}

function messages({ messages: all, zone }, me) {
  const mine = grouped(all.filter(({ person }) => person === me));
  return h(
    "section",
    { class: "block wide", "aria-label": "My pages" },
    h("h2", {}, "My pages, and what became of them"),
    mine.length ? h("ol", { class: "messages" }, ...mine.map(([newest, ...earlier]) => messageOf(newest, earlier, zone))) : h("p", { class: "note" }, "Nothing was sent to you lately."),
  );
}

/** What says the same of the same again stands together, the newest first: a page that repeats is one thing to do. */
function grouped(messages) {
  const held = new Map();
  for (const one of messages) {
    const key = one.kind === "page" ? one.alarms[0]?.split(":")[0] ?? one.title : one.message_id;
    held.set(key, [...(held.get(key) ?? []), one]);
  }
  return [...held.values()].map((group) => group.sort((a, b) => b.at - a.at)).sort(([a], [b]) => b.at - a.at);
}

function messageOf({ kind, priority, title, at, because, receipts, alarms }, earlier, zone) {
  const patient = alarms[0]?.split(":")[0];
  const link = patient && patient !== "teleward" ? h("a", { href: `/patient/${encodeURIComponent(patient)}?alarm=${encodeURIComponent(alarms[0])}`, "data-link": true }, title) : title;
  return h(
    "li",
    { class: "message" },
    h("div", { class: "message-head" }, kind === "page" ? badge(priority) : h("span", { class: "tag" }, KINDS[kind] ?? kind), h("b", {}, link), h("time", { class: "note" }, hour(at, zone))),
    because ? h("p", { class: "note" }, `Because: ${because}`) : null,
    h("ol", { class: "receipts" }, ...receipts.map((receipt) => receiptOf(receipt, zone))),
    earlier.length ? h("details", { class: "again" }, h("summary", {}, `Told ${count(earlier.length, "time")} before, since ${hour(earlier.at(-1).at, zone)}`), ...earlier.map((one) => h("div", {}, h("time", { class: "note" }, hour(one.at, zone)), " ", one.title, h("ol", { class: "receipts" }, ...one.receipts.map((receipt) => receiptOf(receipt, zone)))))) : null,
  );
}
