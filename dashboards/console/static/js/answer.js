// A page's link was opened on somebody's phone: says what it is about, and does what it says only when pressed.

import { h, setText } from "./dom.js";
import { clock } from "./format.js";
import { post } from "./net.js";

const title = document.getElementById("title");
const body = document.getElementById("body");
const token = decodeURIComponent(location.pathname.split("/").pop());
const WORDS = { acknowledge: "Acknowledge", "on-my-way": "I am on my way", "hand-on": "Hand to the next person", snooze: "Snooze", confirm: "Confirm" };
const MEANS = {
  acknowledge: "You have seen it and look after it. It calls again when that time is over, and at once if it gets worse.",
  "on-my-way": "The others learn that you are going.",
  "hand-on": "The next person is called at once.",
  snooze: "Off the phone for a while, still on the page. It comes back at once if it gets worse.",
  confirm: "You are reached here.",
};
const DONE = { acknowledge: "Acknowledged", "on-my-way": "They know that you are on your way", "hand-on": "Handed to the next person", snooze: "Snoozed", confirm: "Confirmed" };

function refused(error) {
  setText(title, error.status === 409 ? "This link does nothing" : "Not answered");
  body.replaceChildren(
    h("p", { class: "alert-box", role: "alert" }, error.message),
    error.status === 409 ? "" : h("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again"),
    h("p", { class: "links" }, h("a", { class: "button", href: "/" }, "To the ward")),
  );
}

function patientLinks({ patients, alarms }) {
  const known = patients.filter((name) => name !== "teleward");
  return h("p", { class: "links" }, ...known.map((name) => {
    const alarm = alarms.find((id) => id.startsWith(`${name}:`));
    return h("a", { class: "button", href: `/patient/${encodeURIComponent(name)}?alarm=${encodeURIComponent(alarm)}` }, known.length > 1 ? `Open ${name}` : "Open the patient");
  }));
}

function ask(told) {
  setText(title, WORDS[told.action] ?? told.action);
  const status = h("p", { class: "wrong", role: "alert" });
  const reason = told.action === "snooze" ? h("input", { maxlength: "500", required: true, autocomplete: "off" }) : null;
  const button = h("button", { type: "button", class: "primary big" }, WORDS[told.action] ?? "Do it");
  button.addEventListener("click", async () => {
    if (reason && !reason.value.trim()) {
      setText(status, "A snooze needs a reason.");
      reason.focus();
      return;
    }
    button.disabled = true;
    try {
      done(await post("/api/answer", reason ? { token, reason: reason.value.trim() } : { token }));
    } catch (error) {
      if (error.status === 409) refused(error);
      else {
        button.disabled = false;
        setText(status, error.message);
      }
    }
  });
  body.replaceChildren(
    h("p", { class: "answer-title" }, h("b", {}, told.title)),
    h("p", { class: "note" }, `Sent to ${told.person} at ${clock(told.at)}.`),
    h("div", { class: "answer-lines", tabindex: "0", role: "group", "aria-label": "What the page says" }, ...told.lines.filter((line) => !line.startsWith("Message ")).map((line) => (line.trim() ? h("p", { class: /^\s/.test(line) ? "inner" : null }, line.trim()) : ""))),
    reason ? h("label", { class: "field" }, "Why", reason) : "",
    h("p", { class: "note" }, MEANS[told.action] ?? ""),
    status,
    button,
    patientLinks(told),
  );
}

function done(told) {
  setText(title, "✓ Done");
  body.replaceChildren(
    h("p", { class: "done-box", role: "status" }, h("b", {}, `${DONE[told.action] ?? "Done"}.`), " You can close this page."),
    h("p", { class: "note" }, told.title),
    patientLinks(told),
  );
}

// Opening changes nothing: programs open links too. Only the button does.
try {
  ask(await post("/api/link", { token }));
} catch (error) {
  refused(error);
}
