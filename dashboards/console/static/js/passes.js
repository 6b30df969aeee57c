// Links to one patient's own page, for the patient or carer: made, seen, taken back. Where somebody may.

import { h, setText } from "./dom.js";
import { at } from "./format.js";
import { get, post } from "./net.js";
import { ward } from "./store.js";

/** A folded box at the end of a patient's page; null for who may not. */
export function passBox(patient) {
  if (!ward.me.may_pass) return null;
  const said = h("p", { class: "note", role: "status" });
  const list = h("ul", { class: "plain-list" });
  const load = () => loaded(patient, list, said);
  const make = h("button", { type: "button", onclick: async () => {
    try {
      const { path, for_s: seconds } = await post("/api/passes", { patient });
      const link = h("input", { class: "pass-link", readonly: true, value: location.origin + path, "aria-label": "Link for the patient or carer", onclick: (event) => event.target.select() });
      said.replaceChildren(`Works once, within ${Math.round(seconds / 3600)} hours, and shows this patient's own page only. Hand it to nobody else.`, link);
      await load();
    } catch (error) {
      setText(said, error.message);
    }
  } }, "Make a link");
  const box = h("details", { class: "pass-box" }, h("summary", {}, "Page for the patient or carer"), list, make, said);
  box.addEventListener("toggle", () => { if (box.open) load(); });
  return box;
}

async function loaded(patient, list, said) {
  try {
    const { passes } = await get(`/api/patients/${encodeURIComponent(patient)}/passes`);
    list.replaceChildren(...(passes.length ? passes.map((one) => passOf(one, () => loaded(patient, list, said), said)) : [h("li", { class: "note" }, "Nobody has a link to this patient's page.")]));
  } catch (error) {
    setText(said, error.message);
  }
}

// Times of sign-ins are the wall's, however fast ward time runs.
function passOf({ id, by, made, ends, used }, again, said) {
  const now = Date.now();
  const state = used === null ? `not used yet, may be until ${at(ends, now)}` : `used ${at(used, now)}, lets in until ${at(ends, now)}`;
  const back = h("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await post("/api/passes/end", { id });
      setText(said, "Taken back: it opens nothing any more, and whoever came in by it is out.");
      await again();
    } catch (error) {
      setText(said, error.message);
    }
  } }, "Take back");
  return h("li", { class: "pass", data: { id } }, h("b", {}, `Made ${at(made, now)} by ${by}`), `, ${state} `, back);
}
