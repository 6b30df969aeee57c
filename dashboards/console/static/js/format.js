// Numbers and times as people read them.

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** A length of time: "12 s", "5 min", "3 h", "2 d". */
export function lasting(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** As `lasting`, with minutes beside hours: "1 h 20 min". */
export function lastingFine(ms) {
  const minutes = Math.floor(ms / 60000);
  if (minutes < 60 || minutes >= 48 * 60) return lasting(ms);
  const rest = minutes % 60;
  return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${minutes / 60} h`;
}

/** "14:02:31". */
export function clock(ms) {
  return SECONDS.format(ms);
}

/** "14:02", with the day where it is another one than `now`'s: "20 Nov 14:02". */
export function at(ms, now) {
  const same = Math.abs(now - ms) < 20 * 3600e3 && new Date(ms).getDate() === new Date(now).getDate();
  return same ? TIME.format(ms) : `${DAY.format(ms)} ${TIME.format(ms)}`;
}

/** Milliseconds of a hop: "0.8 ms", "42 ms", "1.3 s", "2 min 5 s". */
export function hop(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60e3) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60e3)} min ${Math.round((ms % 60e3) / 1000)} s`;
}

/** "1 alarm", "2 alarms". */
export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}
