// What the server has told, and nothing else. Pages read it; the stream writes it.

export const ward = {
  patients: new Map(),
  order: [],
  normal: {},
  title: "Ward",
  volatile: false,
  page: "",
  problems: [],
  own: [],
  duty: { at: null, holders: [] },
  pager: false,
  notices: [],
  me: { name: "", role: "", may_command: false },
};

export const told = new EventTarget();

function tell(name, detail) {
  told.dispatchEvent(new CustomEvent(name, { detail }));
}

/** A full picture: what came before is forgotten. */
export function onPicture(picture) {
  ward.patients = new Map(picture.patients.map((row) => [row.id, row]));
  ward.order = picture.order;
  ward.normal = picture.normal ?? {};
  ward.title = picture.title;
  ward.volatile = picture.volatile;
  ward.page = picture.page;
  ward.own = picture.own ?? [];
  ward.pager = picture.pager === true;
  ward.duty = picture.duty ?? { at: null, holders: [] };
  tell("picture", null);
}

/** A change: only the keys that differ, and of small lines only the newest points. */
export function onChange(change) {
  const changed = new Set();
  const news = [];
  for (const part of change.patients ?? []) {
    const before = ward.patients.get(part.id);
    const row = { ...before, ...part };
    if (before && part.spark) row.spark = grow(before.spark, part.spark);
    if (part.alarms) news.push(...newAlarms(row, before));
    ward.patients.set(part.id, row);
    changed.add(part.id);
  }
  if (change.order) ward.order = change.order;
  if (change.own) ward.own = change.own;
  if (change.duty) ward.duty = change.duty;
  if (change.notices) ward.notices = change.notices;
  tell("change", { changed, reordered: Boolean(change.order), fresh: change.fresh ?? [] });
  for (const alarm of news) tell("alarm", alarm);
  if (change.own) tell("own", null);
  if (change.duty) tell("duty", null);
  if (change.notices) tell("notices", null);
  for (const answer of change.answers ?? []) tell("answer", answer);
}

function newAlarms(row, before) {
  const known = new Map((before?.alarms ?? []).map((alarm) => [alarm.id, alarm]));
  const worse = (alarm) => known.get(alarm.id) && known.get(alarm.id).priority !== alarm.priority;
  return row.alarms
    .filter((alarm) => !alarm.attended && (!known.has(alarm.id) || worse(alarm)))
    .map((alarm) => ({ row, alarm }));
}

function grow(old, more) {
  const slugs = Object.keys(old.lines);
  if (!slugs.length) return more;
  const length = old.lines[slugs[0]].length;
  const first = more.first + Object.values(more.lines)[0].length - length;
  const lines = {};
  for (const slug of slugs) {
    lines[slug] = Array.from({ length }, (_, i) => {
      const bin = first + i;
      return (bin >= more.first ? more.lines[slug][bin - more.first] : old.lines[slug][bin - old.first]) ?? null;
    });
  }
  return { first, lines };
}

/** What staff call a patient, and the pseudonym where that is another word. */
export function who(row) {
  return row.place || row.id;
}
