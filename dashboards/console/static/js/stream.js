// The stream from the server, and the watch over it: silent for too long or dropped, the page says so at once.

import { h, setText } from "./dom.js";
import { clock, lasting } from "./format.js";
import { signInAgain } from "./net.js";
import { onChange, onPicture, told, ward } from "./store.js";
import { onBeat, wardThen } from "./time.js";

const WAITS_MS = [500, 1000, 2000, 3000, 5000];

let source = null;
let silenceMs = 5000;
let heard = Date.now();
let lostAt = null;
let opening = false;
let tries = 0;

/** Whether what the page shows is live. */
export function isLive() {
  return lostAt === null && source !== null;
}

/** Begin, and go on for ever. */
export function start() {
  open();
  setInterval(watch, 250);
  // A page that slept (a closed lid, a tab in the background) must not look well for even one more second.
  document.addEventListener("visibilitychange", watch);
  addEventListener("offline", () => lose("This device has no network."));
  addEventListener("pagehide", () => source?.close());
}

function open() {
  heard = Date.now();
  source = new EventSource("/events");
  source.addEventListener("picture", (event) => {
    const picture = hear(event);
    silenceMs = picture.silence_s * 1000;
    beat(picture);
    onPicture(picture);
    found();
  });
  source.addEventListener("change", (event) => onChange(hear(event)));
  source.addEventListener("beat", (event) => beat(hear(event)));
  source.addEventListener("bye", () => lose("The server has stopped."));
  source.addEventListener("error", () => lose("The connection to the server dropped."));
}

function hear(event) {
  heard = Date.now();
  return JSON.parse(event.data);
}

function beat(data) {
  onBeat(data);
  ward.problems = data.problems;
  told.dispatchEvent(new CustomEvent("beat"));
}

function watch() {
  if (source !== null && Date.now() - heard > silenceMs) lose(`Nothing from the server for ${lasting(Date.now() - heard)}.`);
  if (lostAt !== null) showLost();
}

function lose(reason) {
  source?.close();
  source = null;
  if (lostAt === null) {
    lostAt = heard;
    banner(reason);
    told.dispatchEvent(new CustomEvent("lost"));
  }
  if (!opening) reopen();
}

async function reopen() {
  opening = true;
  const wait = WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)];
  await new Promise((done) => setTimeout(done, wait));
  // An event source hides the status: ask first, so that an ended session leads to the sign-in page.
  const session = await fetch("/api/session").then((response) => response.json(), () => null).catch(() => null);
  opening = false;
  if (session === null) reopen();
  else if (session.signed_in) open();
  else signInAgain();
}

function found() {
  tries = 0;
  if (lostAt === null) return;
  lostAt = null;
  document.body.classList.remove("is-lost");
  document.getElementById("lost").hidden = true;
  told.dispatchEvent(new CustomEvent("found"));
}

function banner(reason) {
  const node = document.getElementById("lost");
  const then = wardThen();
  const since = then === null ? "" : ` The ward as it was at ${clock(then)} ward time; it may look different now.`;
  node.replaceChildren(
    h("strong", {}, "Not live: do not rely on this page"),
    h("span", {}, `${reason}${since} Trying to reconnect.`),
    h("span", { class: "lost-for", "aria-hidden": "true" }),
  );
  node.hidden = false;
  document.body.classList.add("is-lost");
  showLost();
}

function showLost() {
  const node = document.querySelector("#lost .lost-for");
  if (node) setText(node, `lost since ${clock(lostAt)} (${lasting(Date.now() - lostAt)})`);
}
