// Pages for the person who is signed in here: shown on every page, answered in one tap.

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
const closed = new Set();

/** From now on. */
export function startNotices() {
  told.addEventListener("notices", show);
  told.addEventListener("picture", load);
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
  const open = ward.notices.filter(({ message_id: id, at: when, kind }) => !closed.has(id) && kind !== "quiet" && now - when < FRESH_MS);
  const known = new Set([...node.children].map(({ dataset }) => dataset.id));
  node.replaceChildren(...open.slice(0, 3).map(notice));
  const fresh = open.find(({ message_id: id }) => !known.has(id));
  if (fresh) sayNow(`For you: ${fresh.title}`);
}

function notice({ message_id: id, priority, kind, title, body, at: when, tokens }) {
  const hide = () => { closed.add(id); show(); };
  const buttons = Object.entries(tokens ?? {}).filter(([action]) => action in WORDS).map(([action, token]) => h("button", { type: "button", class: action === "acknowledge" || action === "confirm" ? "primary" : null, data: { action }, onclick: async () => {
    try {
      await post("/api/answer", { token });
      toast(DONE[action]);
      hide();
    } catch (error) {
      toast(error.message, "refused");
    }
  } }, WORDS[action]));
  return h(
    "article",
    { class: "notice", data: { id, priority } },
    h("div", { class: "notice-head" }, kind === "page" ? badge(priority) : h("span", { class: "tag" }, kind), h("b", {}, title), h("time", { class: "note" }, at(when, wardNow() ?? when))),
    h("details", {}, h("summary", {}, "What it says"), h("pre", { class: "notice-body", tabindex: "0" }, body)),
    h("div", { class: "actions" }, ...buttons, h("button", { type: "button", class: "quiet", onclick: hide }, "Put aside")),
  );
}
