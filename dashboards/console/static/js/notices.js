// Pages for the person who is signed in here: shown on every page, answered in one tap. A page grows and is told again:
// of one patient only its newest word stands here, and none once nobody is wanted for it any more.

import { h } from "./dom.js";
import { at } from "./format.js";
import { badge } from "./icons.js";
import { get, post } from "./net.js";
import { sayNow, toast } from "./say.js";
import { told, ward } from "./store.js";
import { wardNow } from "./time.js";

const node = document.getElementById("notices");
const WORDS = { acknowledge: "Acknowledge", "on-my-way": "On my way", "hand-on": "Hand to the next", snooze: "Snooze", confirm: "Confirm" };
const DONE = { acknowledge: "Acknowledged.", "on-my-way": "They know that you are on your way.", "hand-on": "Handed to the next.", snooze: "Snoozed.", confirm: "Confirmed." };
const FRESH_MS = 3600e3;
const RANK = { high: 0, medium: 1, low: 2 };
const AT_ONCE = matchMedia("(max-width: 560px)").matches ? 1 : 2;
const FIRST = new Set(["acknowledge", "on-my-way", "confirm"]);
const closed = new Set();
let shown = "";

/** From now on. */
export function startNotices() {
  told.addEventListener("notices", show);
  told.addEventListener("picture", load);
  for (const name of ["change", "own"]) told.addEventListener(name, () => { if (ward.notices.length) show(); });
}

async function load() {
  try {
    ward.notices = (await get("/api/duty")).notices;
    show();
  } catch {
    // The bar on top says that the server is gone.
  }
}

function show() {
  const now = wardNow() ?? 0;
  // What is older than its links can hardly be answered here any more: it stands under "My shift".
  const open = newest(ward.notices.filter(({ at: when, kind }) => kind !== "quiet" && now - when < FRESH_MS)).filter((one) => !closed.has(one.message_id) && wanted(one));
  open.sort((a, b) => RANK[a.priority] - RANK[b.priority]);
  const seen = open.map(({ message_id: id }) => id).join(" ");
  if (seen === shown) return; // somebody may be about to press a button in it
  const known = new Set(shown.split(" "));
  shown = seen;
  node.replaceChildren(...open.slice(0, AT_ONCE).map(notice));
  if (open.length > AT_ONCE) node.append(h("p", { class: "notice-more" }, h("a", { href: "/shift", "data-link": true }, `${open.length - AT_ONCE} more for you under My shift`)));
  const fresh = open.find(({ message_id: id }) => !known.has(id));
  if (fresh) sayNow(`For you: ${fresh.title}`);
}

/** Of one patient's page its newest word; what is about nobody stands by itself. */
function newest(notices) {
  const held = new Map();
  for (const one of notices) {
    const key = one.kind === "page" && one.alarms.length ? one.alarms[0].split(":")[0] : one.message_id;
    const before = held.get(key);
    if (!before || before.at < one.at) held.set(key, one);
  }
  return [...held.values()];
}

/** Whether somebody is still wanted: an alarm that this page does not know may be. */
function wanted({ kind, alarms }) {
  if (kind !== "page" || !alarms.length) return true;
  return alarms.some((id) => {
    const name = id.split(":")[0];
    const row = ward.patients.get(name);
    const open = name === "teleward" ? ward.own : row?.alarms;
    return !open || open.some((alarm) => alarm.id === id && !alarm.attended);
  });
}

function notice({ message_id: id, priority, kind, title, body, at: when, tokens, alarms }) {
  const hide = () => { closed.add(id); show(); };
  const answer = ([action, token]) => h("button", { type: "button", class: action === "acknowledge" || action === "confirm" ? "primary" : null, data: { action }, onclick: async () => {
    try {
      await post("/api/answer", { token });
      toast(DONE[action]);
      hide();
    } catch (error) {
      toast(error.message, "refused");
    }
  } }, WORDS[action]);
  const given = Object.entries(tokens ?? {}).filter(([action]) => action in WORDS);
  const first = given.filter(([action]) => FIRST.has(action));
  // A snooze needs a reason: the page behind its link asks for it.
  const others = given.filter(([action]) => !FIRST.has(action)).map((one) => (one[0] === "snooze" ? h("a", { class: "button", href: `/a/${one[1]}` }, "Snooze …") : answer(one)));
  return h(
    "article",
    { class: "notice", data: { id, priority } },
    h("div", { class: "notice-head" }, kind === "page" ? badge(priority) : h("span", { class: "tag" }, kind), h("b", {}, titleOf(title, alarms)), h("time", { class: "note" }, at(when, wardNow() ?? when))),
    h("div", { class: "actions" }, ...first.map(answer), h("button", { type: "button", class: "quiet", onclick: hide }, "Put aside")),
    h("details", {}, h("summary", {}, others.length ? "What it says, and other answers" : "What it says"), h("pre", { class: "notice-body", tabindex: "0" }, body), others.length ? h("div", { class: "actions" }, ...others) : null),
  );
}

/** A title that leads to the patient, where it is about one. */
function titleOf(whole, alarms) {
  const title = whole.replace(/^[A-Z]+: look (now|soon) - /, ""); // the badge beside it says so
  const name = alarms[0]?.split(":")[0];
  if (!ward.patients.has(name)) return title;
  return h("a", { href: `/patient/${encodeURIComponent(name)}?alarm=${encodeURIComponent(alarms[0])}`, "data-link": true }, title);
}
