// How long every hop took, and what the parts say of themselves.

import { h } from "./dom.js";
import { hop } from "./format.js";
import { get } from "./net.js";

const EVERY_MS = 3000;
const COLUMNS = ["mean", "p50", "p95", "p99", "max"];
const NAMES = {
  gather: "measured → published", radio: "published → received", ingest: "received → appended", log: "appended → fetched",
  judge: "fetched → scored", emit: "scored → emitted", store: "emitted → stored", show: "emitted → shown",
  carry: "received → fetched", "show:all": "scored → shown", "show:read": "scored → arrived here", "show:push": "arrived → pushed", "show:draw": "pushed → shown",
  notice: "scored → queued for people", send: "queued → sent", answer: "sent → answered", confirm: "answered → acknowledged",
  to_alarm: "measured → emitted", to_shown: "measured → shown", to_answered: "measured → answered", to_scored: "measured → scored", to_stored: "measured → stored",
};

/** A hop as its two stamps. */
export function hopName(name) {
  return NAMES[name] ?? name;
}

class Table {
  constructor(title, note) {
    this.body = h("tbody", {});
    const head = h("tr", {}, h("th", { scope: "col" }, "Hop"), h("th", { scope: "col" }, "Count"), ...COLUMNS.map((name) => h("th", { scope: "col" }, name)));
    this.table = h("table", { class: "hops" }, h("thead", {}, head), this.body);
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, this.table);
    this.empty = h("p", { class: "note" }, "Nothing has been timed yet.");
    this.element = h("section", { class: "times" }, h("h2", {}, title), h("p", { class: "note" }, note), this.scroll, this.empty);
  }

  show(rows) {
    this.body.replaceChildren(...rows.map(rowOf));
    this.scroll.hidden = rows.length === 0;
    this.empty.hidden = rows.length > 0;
  }
}

function rowOf(row) {
  const marks = `${row.crosses_clocks ? "†" : ""}${row.part ? ` (${row.part})` : ""}${row.negative ? ` (${row.negative} negative)` : ""}`;
  const inside = row.hop.startsWith("show:") && row.hop !== "show:all";
  const name = h("th", { scope: "row", class: inside ? "inside" : null }, hopName(row.hop), marks, h("span", { class: "contains" }, row.contains));
  return h("tr", {}, name, h("td", {}, String(row.count)), ...COLUMNS.map((key) => h("td", {}, hop(row[key]))));
}

export class LatencyPage {
  constructor() {
    this.mine = new Table("Alarm events on their way to this page", "As this console followed them since it started.");
    this.all = new Table("All traffic", "As each part times it since it started.");
    this.parts = h("div", {});
    this.element = h(
      "div",
      { class: "page" },
      h("h1", { tabindex: "-1" }, "Latency"),
      h("p", { class: "note" }, "Time of the wall. The mean is total time over number of samples; percentiles are true to 1 %. † crosses from a device's clock to ours, and holds the error of the device's clock."),
      this.mine.element,
      h("p", { class: "note" }, "“Pushed” is stamped when our server has handed the event to the stream of the first page. “Shown” is when that page's word of having drawn it arrived, less the time that the page says it held its word back by its own stopwatch: late by the way of that word, never early. A page in the background draws nothing, so it counts when somebody looks."),
      this.all.element,
      h("section", { class: "times" }, h("h2", {}, "Parts"), this.parts),
    );
    this.timer = setInterval(() => this.load(), EVERY_MS);
    this.load();
  }

  title() {
    return "Latency";
  }

  close() {
    clearInterval(this.timer);
  }

  async load() {
    let told;
    try {
      told = await get("/api/latency");
    } catch {
      return; // the bar on top says that the server is gone
    }
    this.mine.show(told.hops);
    this.all.show(told.all);
    const parts = told.parts.map(({ part, status, text }) => h("li", { class: "part", data: { status } }, h("b", {}, part), ` ${status}`, text ? `: ${text}` : ""));
    this.parts.replaceChildren(parts.length ? h("ul", {}, ...parts) : h("p", { class: "note" }, "No part has spoken yet."));
  }
}
