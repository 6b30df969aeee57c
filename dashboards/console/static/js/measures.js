// The measures as the page names them, and the range that a small line spans when nothing leaves it.

export const MEASURES = {
  rate: { short: "HR", label: "heart rate", unit: "/min", range: [40, 140] },
  spo2: { short: "SpO₂", label: "oxygen saturation", unit: "%", range: [84, 100] },
  resp: { short: "RR", label: "respiration", unit: "/min", range: [6, 32] },
  temp: { short: "Temp", label: "temperature", unit: "°C", range: [35, 40] },
  sbp: { short: "BP", label: "blood pressure", unit: "mmHg", range: [80, 180] },
};

/** In this order on the ward page. */
export const SHOWN = ["rate", "spo2", "resp", "sbp", "temp"];

const OTHERS = { dbp: "diastolic pressure", map: "mean pressure", consciousness: "consciousness", oxygen: "air or oxygen" };
const OTHERS_SHORT = { dbp: "BP", map: "mean BP", consciousness: "ACVPU", oxygen: "air/O₂" };

/** A measure in words. */
export function labelOf(slug) {
  return slug === "sbp" ? "systolic pressure" : (MEASURES[slug]?.label ?? OTHERS[slug] ?? slug);
}

/** A measure in a few letters. */
export function shortOf(slug) {
  return MEASURES[slug]?.short ?? OTHERS_SHORT[slug] ?? slug;
}
