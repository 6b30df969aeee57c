// How long every hop took, and what the parts say of themselves.

import { h } from "./dom.js";
import { hop } from "./format.js";
import { get } from "./net.js";

const EVERY_MS = 3000;
const COLUMNS = ["mean", "p50", "p95", "p99", "max"];
const NAMES = {
  gather: "measured → published", radio: "published → received", ingest: "received → appended", log: "appended → fetched",
  judge: "fetched → scored", emit: "scored → emitted", store: "emitted → stored", show: "emitted → shown",
  "show:read": "emitted → arrived here", "show:push": "arrived → pushed", "show:draw": "pushed → shown",
  to_alarm: "measured → emitted", to_shown: "measured → shown",
};

/** A hop as its two stamps. */
export function hopName(name) {
  return NAMES[name] ?? name;
}

export class LatencyPage {
  constructor() {
    this.body = h("tbody", {});
    this.parts = h("div", {});
    this.empty = h("p", { class: "note" }, "No alarm event has come since this console started.");
    const head = h("tr", {}, h("th", { scope: "col" }, "Hop"), h("th", { scope: "col" }, "Count"), ...COLUMNS.map((name) => h("th", { scope: "col" }, name)));
    this.table = h("table", { class: "hops" }, h("caption", { class: "vh" }, "Times of the hops"), h("thead", {}, head), this.body);
    this.element = h(
      "div",
      { class: "page" },
      h("h1", { tabindex: "-1" }, "Latency"),
      h("p", { class: "note" }, "Alarm events since this console started; time of the wall; the mean is total time over number of samples. Percentiles are true to 1 %."),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of hops" }, this.table),
      this.empty,
      h("p", { class: "note" }, "“Pushed” is stamped when our server has handed the event to the stream of the first page. “Shown” is when that page's word of having drawn it arrived, less the time that the page says it held its word back by its own stopwatch: late by the way of that word, never early. A page in the background draws nothing, so it counts when somebody looks."),
      h("p", { class: "note" }, "† crosses from a device's clock to ours, and holds the error of the device's clock."),
      h("h2", {}, "Parts"),
      this.parts,
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
    this.body.replaceChildren(...told.hops.map((row) => this.row(row)));
    this.empty.hidden = told.hops.length > 0;
    this.table.hidden = told.hops.length === 0;
    const parts = told.parts.map(({ part, status, text }) => h("li", { class: "part", data: { status } }, h("b", {}, part), ` ${status}`, text ? `: ${text}` : ""));
    this.parts.replaceChildren(parts.length ? h("ul", {}, ...parts) : h("p", { class: "note" }, "No part has spoken yet."));
  }

  row(row) {
    const negative = row.negative ? ` (${row.negative} negative)` : "";
    const inside = row.hop.startsWith("show:");
    const name = h("th", { scope: "row", class: inside ? "inside" : null }, hopName(row.hop), row.crosses_clocks ? "†" : "", negative);
    name.append(h("span", { class: "contains" }, row.contains));
    return h("tr", {}, name, h("td", {}, String(row.count)), ...COLUMNS.map((key) => h("td", {}, hop(row[key]))));
  }
}
