// Tells the server which alarm events this page has drawn, so that the last hop of an alarm's way is known too.

import { post } from "./net.js";
import { ward } from "./store.js";

const EVERY_MS = 3000;

let drawn = [];
let timer = null;

/** Events came with a change that is being drawn now. */
export function reportDrawn(events) {
  if (!events.length) return;
  // The first frame callback runs before the picture is painted, the second after. A hidden page gets none: what
  // nobody could see does not count as shown.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const when = performance.now();
    drawn.push(...events.map(({ id }) => ({ id, when })));
    timer ??= setTimeout(send, EVERY_MS);
  }));
}

async function send() {
  timer = null;
  const batch = drawn.splice(0);
  const now = performance.now();
  const events = batch.map(({ id, when }) => ({ id, waited_ms: now - when }));
  try {
    await post("/api/shown", { page: ward.page, events });
  } catch {
    // Lost measurements are no reason to disturb anybody; the stream says it where the server is gone.
  }
}
