// Ward time on this page: counted on from the newest heartbeat. It never runs backwards over a late heartbeat.

let known = null; // { ms, speed, heard }

export function onBeat(beat) {
  known = { ms: beat.now, speed: beat.speed, heard: performance.now() };
}

/** Ward time now, in milliseconds; null before the first heartbeat. */
export function wardNow() {
  return known === null ? null : known.ms + (performance.now() - known.heard) * known.speed;
}

/** Ward time as last told, without counting on. */
export function wardThen() {
  return known?.ms ?? null;
}

export function speed() {
  return known?.speed ?? 1;
}

// Three frames of a minute are missing, and the ten seconds that readings may be late.
const OVERDUE_MS = 190e3;
// Of the wall: at a high speed a breath of the machine is minutes of ward time. The server says it one second sooner.
const HASTE_MS = 5e3;

/** Whether the newest frame of a patient is so old that nothing in it counts as current. */
export function overdue(row, now) {
  return row.frame !== null && now - row.frame > OVERDUE_MS + HASTE_MS * speed();
}
