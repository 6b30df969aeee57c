// What a person says about an alarm: a dialog for each, and what came of it.
//
// A command counts as done only when the ward's own event about it has come back on the stream.

import { h } from "./dom.js";
import { lastingFine } from "./format.js";
import { badge } from "./icons.js";
import { post } from "./net.js";
import { toast } from "./say.js";
import { told, ward, who } from "./store.js";

const ANSWER_MS = 10e3;
const WORDS = {
  acknowledge: { title: "Acknowledge", button: "Acknowledge", done: "Acknowledged" },
  shelve: { title: "Shelve", button: "Shelve", done: "Shelved" },
  expect: { title: "Expect improvement", button: "Expect", done: "Noted what is expected" },
  unshelve: { title: "Take the shelf back", button: "Take the shelf back", done: "The shelf is taken back" },
  resolve: { title: "Resolve", button: "Resolve and close", done: "Resolved" },
};
const SHELF_S = [900, 1800, 3600, 7200, 14400, 43200];
const WITHIN_S = [600, 1200, 1800, 3600];
const OUTCOMES = [
  ["confirmed", "Confirmed: it was real"],
  ["dismissed", "Dismissed: it was not"],
  ["duplicate", "Duplicate: another alarm says the same"],
];

const waiting = new Map(); // command id -> { done, refused }

told.addEventListener("answer", ({ detail: answer }) => {
  const asked = waiting.get(answer.command_id);
  if (asked) {
    waiting.delete(answer.command_id);
    if (answer.refused) asked.refused(answer.text);
    else asked.done();
  } else if (answer.refused) toast(`The ward refused: ${answer.text}`, "refused");
});

/** Open the dialog for an action on an alarm. Escape and Cancel leave everything as it was. */
export function openCommand(action, patient, alarm) {
  const words = WORDS[action];
  const fields = FIELDS[action](alarm);
  const status = h("p", { class: "dialog-status", role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, words.button);
  const cancel = h("button", { type: "button" }, "Cancel");
  const row = ward.patients.get(patient);
  const whose = row ? who(row) : alarm.place || (patient === "teleward" ? "About ourselves" : patient);
  const form = h(
    "form",
    { novalidate: true },
    h("h2", { id: "dialog-title" }, `${words.title}: ${alarm.title}`),
    h("p", { class: "dialog-about" }, badge(alarm.priority), ` ${whose} · ${alarm.cause}`),
    ...fields.nodes,
    status,
    h("div", { class: "dialog-buttons" }, h("span", { class: "note" }, `As ${ward.me.name}`), cancel, submit),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: "command", data: { action } }, form);
  const asked = new Asked(dialog, status, submit, words.done);
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = fields.read();
    if (typeof body === "string") asked.wrong(body);
    else asked.send({ alarm_id: alarm.id, patient, action, seen: alarm.n, ...body });
  });
  document.body.append(dialog);
  dialog.showModal();
  (form.querySelector("input, select, textarea") ?? submit).focus();
}

class Asked {
  constructor(dialog, status, submit, done) {
    Object.assign(this, { dialog, status, submit, doneWords: done });
    // One id for the dialog: sent again after a doubtful answer, it is the same command to the ward.
    this.id = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  }

  wrong(text) {
    this.status.dataset.kind = "wrong";
    this.status.textContent = text;
  }

  async send(body) {
    this.submit.disabled = true;
    this.status.dataset.kind = "";
    this.status.textContent = "Sending …";
    waiting.set(this.id, { done: () => this.done(), refused: (text) => this.refused(text) });
    try {
      await post("/api/commands", { command_id: this.id, ...body });
    } catch (error) {
      // An answer of the ward that overtook this one counts for more.
      if (!waiting.has(this.id)) return;
      if (error.status !== 504) waiting.delete(this.id);
      this.submit.disabled = false;
      this.wrong(error.message);
      return;
    }
    if (!waiting.has(this.id)) return;
    this.status.textContent = "Sent. Waiting for the ward to confirm …";
    setTimeout(() => {
      if (!waiting.has(this.id)) return;
      this.submit.disabled = false;
      this.wrong("The ward has not confirmed this. Do not count on it; you can send it again.");
    }, ANSWER_MS);
  }

  done() {
    this.dialog.close();
    toast(`${this.doneWords}.`);
  }

  refused(text) {
    if (!this.dialog.open) toast(`The ward refused: ${text}`, "refused");
    this.submit.disabled = true;
    this.status.dataset.kind = "refused";
    this.status.textContent = `The ward refused: ${text}`;
  }
}

const FIELDS = {
  acknowledge() {
    const text = h("p", { class: "note" }, "You have seen it and are looking after it. The acknowledgement ends by itself, and at once if it gets worse.");
    return { nodes: [text], read: () => ({}) };
  },

  shelve(alarm) {
    const reason = reasonField("Why", ["Being treated", "At physiotherapy", "Being washed", "Known for this patient", "Sensor is being changed"]);
    const most = alarm.may?.shelf_max_s ?? 7200;
    const spans = SHELF_S.filter((s) => s <= most);
    const length = choices("For how long", "for", (spans.length ? spans : [most]).map((s) => [s, lastingFine(s * 1000)]), 1);
    const bound = alarm.may?.measure ? boundField("Come back at once if", alarm) : null;
    return {
      nodes: [h("p", { class: "note" }, "Off the phone, still on the page. It comes back at its time, and at once if it gets worse."), reason.node, length.node, bound?.node],
      read() {
        if (!reason.value()) return reason.missing("A shelf needs a reason.");
        const value = bound?.value() ?? {};
        return typeof value === "string" ? value : { reason: reason.value(), for_s: Number(length.value()), ...value };
      },
    };
  },

  expect(alarm) {
    const reason = reasonField("What was done", ["Gave oxygen", "Gave fluids", "Gave medication", "Changed position", "Changed the sensor"]);
    const bound = alarm.may?.measure ? boundField("Expect", alarm, true) : null;
    const most = alarm.may?.expect_max_s ?? 1800;
    const within = choices("Within", "within", WITHIN_S.filter((s) => s <= most).map((s) => [s, lastingFine(s * 1000)]), 1);
    return {
      nodes: [h("p", { class: "note" }, bound ? "Closes if it gets better in time, and is raised again if it does not." : "What is expected is the return to normal: it closes if that comes in time, and is raised again if it does not."), reason.node, bound?.node, within.node],
      read() {
        if (!reason.value()) return reason.missing("Say what was done.");
        const value = bound?.value() ?? {};
        return typeof value === "string" ? value : { reason: reason.value(), within_s: Number(within.value()), ...value };
      },
    };
  },

  unshelve() {
    const text = h("p", { class: "note" }, "It calls again at once, unless somebody has acknowledged it.");
    return { nodes: [text], read: () => ({}) };
  },

  resolve() {
    const outcome = choices("What was it", "outcome", OUTCOMES, null);
    const note = h("textarea", { rows: "2", maxlength: "500" });
    return {
      nodes: [outcome.node, h("label", { class: "field" }, "Note (never a patient's name)", note)],
      read() {
        const value = outcome.value();
        return value ? { outcome: value, note: note.value.trim() } : "Say what it was.";
      },
    };
  },
};

function reasonField(label, proposals) {
  const id = `reasons-${label.replace(/\W/g, "")}`;
  const input = h("input", { maxlength: "500", list: id, required: true, autocomplete: "off" });
  const node = h("label", { class: "field" }, label, input, h("datalist", { id }, ...proposals.map((value) => h("option", { value }))));
  const missing = (text) => { input.focus(); input.setAttribute("aria-invalid", "true"); return text; };
  return { node, value: () => input.value.trim(), missing };
}

function choices(label, name, options, chosen) {
  const inputs = options.map(([value]) => h("input", { type: "radio", name, value }));
  if (chosen !== null) inputs[Math.min(chosen, inputs.length - 1)].checked = true;
  const labels = options.map(([, text], i) => h("label", { class: "choice" }, inputs[i], h("span", {}, text)));
  const node = h("fieldset", { class: "choices" }, h("legend", {}, label), ...labels);
  return { node, value: () => inputs.find((input) => input.checked)?.value ?? "" };
}

function boundField(label, alarm, better = false) {
  const { label: measure, unit, direction } = alarm.may;
  // A shelf breaks on the bad side of its value; what is expected lies on the good one.
  const side = better ? (direction === "above" ? "below" : "above") : direction;
  const input = h("input", { type: "number", step: "any", inputmode: "decimal", class: "short" });
  const words = `${label} ${measure} is ${side === "above" ? "at least" : "at most"}`;
  const node = h("label", { class: "field inline" }, words, input, h("span", {}, `${unit} (optional)`));
  const value = () => {
    if (input.validity.badInput) return "That is no number.";
    return input.value === "" ? {} : { bound: Number(input.value), direction: side };
  };
  return { node, value };
}
