// Sound for alarms of high priority that nobody attends to. Browsers let a page sound only after a person has pressed
// something on it, so there is a button, and it always says how things are: on, off, or waiting for a tap.
//
// The burst has ten pulses (3, 2, then 3, 2), as IEC 60601-1-8 describes a high priority; it is a reminder beside the
// page and never in place of the pager.

import { sayPolitely } from "./say.js";
import { told, ward } from "./store.js";
import { isLive } from "./stream.js";

const button = document.getElementById("sound");
const KEPT = "teleward-sound";
const BURST_S = [0, 0.2, 0.4, 0.7, 0.9, 1.6, 1.8, 2.0, 2.3, 2.5];
const AGAIN_MS = 10e3;
const LOST_S = [0, 0.35];

let context = null;
let wanted = false;
let lastMs = -Infinity;
let lost = false;

/** From now on. */
export function startSound() {
  try {
    wanted = localStorage.getItem(KEPT) === "on";
  } catch {
    wanted = false; // a browser that keeps nothing for us asks anew each time
  }
  button.addEventListener("click", toggle);
  // A page that was opened anew has no leave yet: any tap gives it.
  if (wanted) addEventListener("pointerdown", open, { once: true });
  told.addEventListener("picture", () => { lost = false; });
  told.addEventListener("lost", () => { if (!lost) { lost = true; beep(LOST_S, 330); } });
  setInterval(remind, 1000);
  show();
}

async function toggle() {
  const ready = context?.state === "running";
  wanted = !(wanted && ready);
  try {
    localStorage.setItem(KEPT, wanted ? "on" : "off");
  } catch {
    // See above.
  }
  if (wanted) {
    await open();
    beep([0], 880);
    sayPolitely("Sound is on. You should have heard one beep.");
  } else sayPolitely("Sound is off.");
  show();
}

async function open() {
  context ??= new AudioContext();
  context.addEventListener("statechange", show);
  await context.resume().catch(() => {});
  show();
}

function show() {
  const state = !wanted ? "off" : context?.state === "running" ? "on" : "blocked";
  button.dataset.state = state;
  button.setAttribute("aria-pressed", String(state === "on"));
  button.querySelector(".sound-words").textContent = { off: "Sound is off", on: "Sound is on", blocked: "Sound waits: tap" }[state];
  button.title = { off: "Alarms of high priority make no sound here. Press to let them.", on: "Alarms of high priority that nobody attends to sound here. Press to silence this page.", blocked: "The browser lets no sound out until you tap." }[state];
}

/** Whether something of high priority waits. */
export function waits() {
  const rows = [...ward.patients.values()].flatMap((row) => row.alarms);
  return [...rows, ...ward.own].some((alarm) => alarm.priority === "high" && !alarm.attended && !alarm.task);
}

function remind() {
  if (!isLive() || !waits()) return;
  const now = performance.now();
  if (now - lastMs < AGAIN_MS) return;
  lastMs = now;
  beep(BURST_S, 740);
  if (wanted) navigator.vibrate?.([150, 50, 150, 50, 150, 100, 150, 50, 150]);
}

/** Pulses at these seconds from now; each rises and falls softly, or it clicks. */
function beep(times, pitch) {
  if (!wanted || context?.state !== "running") return;
  button.dataset.played = String(Number(button.dataset.played ?? 0) + 1);
  const start = context.currentTime + 0.02;
  for (const offset of times) {
    const gain = context.createGain();
    gain.connect(context.destination);
    gain.gain.setValueAtTime(0, start + offset);
    gain.gain.linearRampToValueAtTime(0.35, start + offset + 0.015);
    gain.gain.setValueAtTime(0.35, start + offset + 0.12);
    gain.gain.linearRampToValueAtTime(0, start + offset + 0.15);
    for (const harmonic of [1, 2, 3, 4]) {
      const tone = context.createOscillator();
      tone.frequency.value = pitch * harmonic;
      tone.connect(gain);
      tone.start(start + offset);
      tone.stop(start + offset + 0.16);
    }
  }
}
