// Texts, shapes and number formats, the same on the page and in the reports.

import { s } from "./dom.js";

export const STATES = { in_sync: "in sync", audio_early: "audio early", audio_late: "audio late", undetermined: "undetermined" };

export const PATHS = { face: "face", whole: "whole picture" };

// Shapes distinguish the states without colour: dot, triangle up (early), triangle down (late), ring.
const SHAPES = {
  in_sync: "M7 1.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z",
  audio_early: "M7 1l6.2 11.4H.8z",
  audio_late: "M7 13L.8 1.6h12.4z",
  undetermined: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
  failed: "M2.5 1L7 5.5 11.5 1 13 2.5 8.5 7 13 11.5 11.5 13 7 8.5 2.5 13 1 11.5 5.5 7 1 2.5z",
};

export const shape = (state) =>
  s("svg", { class: `shape ${state}`, viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: SHAPES[state] }));

export const mark = (state, x, y, size = 10) =>
  s("path", { class: `mark ${state}`, d: SHAPES[state], transform: `translate(${x - size / 2} ${y - size / 2}) scale(${size / 14})` });

const minus = (text) => text.replace("-", "\u2212");

export function signed(value, unit = "ms") {
  if (value === null || value === undefined) return "\u2013";
  const whole = Math.round(value) + 0;
  return minus(`${whole > 0 ? "+" : ""}${whole} ${unit}`);
}

export const ratio = (value) => (value === null || value === undefined ? "\u2013" : minus(value.toFixed(2)));
export const tick = (value) => minus(String(value));

export function clock(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString([], { hour12: false });
}

export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

// Summary of a stream: [state for colour and shape, text].
export function atAGlance(stream) {
  if (stream.state === "lost" || (stream.error && stream.state === "live")) return ["failed", "Connection lost"];
  if (!stream.latest) return ["undetermined", stream.state === "ended" ? "Ended" : "Waiting for a window"];
  return [stream.latest.state, stream.latest.headline];
}
