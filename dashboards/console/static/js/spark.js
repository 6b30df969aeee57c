// A small line of the last hours. Where nothing stood there is nothing: the line breaks.

import { setAttribute, svg } from "./dom.js";
import { MEASURES } from "./measures.js";

const WIDTH = 100;
const HEIGHT = 20;

export function spark(slug) {
  const band = svg("rect", { class: "spark-normal", x: 0, width: WIDTH });
  const line = svg("path", { class: "spark-line" });
  const element = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    band,
    line,
  );
  let drawn = "";
  return {
    element,
    draw(points, normal) {
      const seen = points.filter((value) => value !== null);
      const [least, most] = MEASURES[slug].range;
      const low = Math.min(least, ...seen);
      const high = Math.max(most, ...seen);
      const y = (value) => ((HEIGHT - 2) * (high - value)) / (high - low) + 1;
      const path = pathOf(points, y);
      if (path === drawn) return;
      drawn = path;
      setAttribute(line, "d", path);
      if (normal) {
        const top = Math.max(0, y(Math.min(normal[1], high)));
        setAttribute(band, "y", top.toFixed(1));
        setAttribute(band, "height", Math.max(0, y(Math.max(normal[0], low)) - top).toFixed(1));
      } else setAttribute(band, "height", 0);
    },
  };
}

function pathOf(points, y) {
  const step = WIDTH / Math.max(1, points.length - 1);
  let path = "";
  let open = false;
  points.forEach((value, i) => {
    if (value === null) { open = false; return; }
    // A lone point gets a line of no length: with round ends it is a dot.
    const here = `${(i * step).toFixed(1)} ${y(value).toFixed(1)}`;
    path += open ? `L${here}` : `M${here}l0 0`;
    open = true;
  });
  return path;
}
