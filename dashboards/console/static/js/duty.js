// What pages about duty share: the board as the server tells it, times in the rota's zone, and how old it may be.

import { h } from "./dom.js";
import { lasting } from "./format.js";
import { get } from "./net.js";

// The pager says the board anew at least every half minute; three of them missed is no word at all.
const OLD_S = 90;

export function loadDuty() {
  return get("/api/duty");
}

/** What to know about the board itself: "" where it is fresh. */
export function boardNote(duty) {
  if (!duty.told) return "The pager has not said anything yet. Nobody may be called: look at the alarms yourself.";
  if (duty.quiet_s > OLD_S) return `The pager has said nothing for ${lasting(duty.quiet_s * 1000)}. What stands here is old; do not rely on it.`;
  return "";
}

const made = new Map();

function format(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!made.has(key)) made.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }));
  return made.get(key);
}

/** "07:00". */
export function hour(ms, zone) {
  return format(zone, { hour: "2-digit", minute: "2-digit" }).format(ms);
}

/** "Mon 5 Jan". */
export function day(ms, zone) {
  return format(zone, { weekday: "short", day: "numeric", month: "short" }).format(ms);
}

/** "Mon 5 Jan 07:00 to 19:00", the second day named where it is another. */
export function span(from, to, zone) {
  const same = day(from, zone) === day(to, zone);
  return `${day(from, zone)} ${hour(from, zone)} to ${same ? "" : `${day(to, zone)} `}${hour(to, zone)}`;
}

/** Local midnights: the starts of `n` days from the Monday of the week that holds `now`. Summer time may take an hour. */
export function weekDays(now, zone, n = 7) {
  const weekday = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].indexOf(format(zone, { weekday: "short" }).format(now));
  const first = midnight(now - weekday * 86400e3, zone);
  const days = [first];
  while (days.length < n + 1) days.push(midnight(days.at(-1) + 30 * 3600e3, zone));
  return days;
}

function midnight(ms, zone) {
  const parts = Object.fromEntries(format(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  const guess = ms - ((parts.hour * 60 + parts.minute) * 60 + parts.second) * 1000 - (ms % 1000);
  // On the day of a change of the clock the count from midnight is an hour off.
  const off = Number(format(zone, { hour: "2-digit", hourCycle: "h23" }).format(guess));
  return off === 0 ? guess : off > 12 ? guess + (24 - off) * 3600e3 : guess - off * 3600e3;
}

/** What becomes of a message, in words and with a mark of its own for each. */
const RECEIPTS = {
  queued: ["·", "queued"],
  "held-back": ["‖", "held back for a digest"],
  sent: ["→", "sent"],
  delivered: ["⇥", "delivered"],
  opened: ["◉", "opened"],
  answered: ["✓", "answered"],
  acted: ["✓✓", "acted on"],
  failed: ["✕", "failed"],
  withdrawn: ["⊘", "withdrawn"],
  "in-doubt": ["?", "in doubt"],
};

export function receiptOf({ what, at, detail }, zone) {
  const [mark, word] = RECEIPTS[what] ?? ["·", what];
  return h("li", { class: "receipt", data: { what } }, h("span", { "aria-hidden": "true" }, mark), ` ${word} `, h("time", {}, hour(at, zone)), detail ? h("span", { class: "note" }, ` ${detail}`) : null);
}
