// What is said aloud to screen readers, and short notices at the edge of the page.

import { h } from "./dom.js";

function say(id, text) {
  const node = document.getElementById(id);
  // Emptied first: the same sentence twice must be said twice.
  node.textContent = "";
  setTimeout(() => { node.textContent = text; }, 50);
}

export function sayNow(text) {
  say("say-now", text);
}

export function sayPolitely(text) {
  say("say", text);
}

/** A notice; what was refused stays until it is closed. */
export function toast(text, kind = "done") {
  const node = h("div", { class: "toast", role: kind === "refused" ? "alert" : "status", data: { kind } }, h("span", {}, text));
  const close = () => node.remove();
  node.append(h("button", { type: "button", onclick: close }, "Close"));
  document.getElementById("toasts").append(node);
  if (kind !== "refused") setTimeout(close, 6000);
}
