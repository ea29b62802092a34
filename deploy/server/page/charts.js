// Charts of offset, similarity and confidence over time, as wide as the page.

import { s } from "./dom.js";
import { clock, mark, signed, tick } from "./words.js";

export const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };

export class Scale {
  constructor(low, high, begin, end) {
    Object.assign(this, { low, high, begin, end });
  }
  at(value) {
    return this.begin + ((value - this.low) / (this.high - this.low)) * (this.end - this.begin);
  }
}

const MIN_SPAN_SECONDS = 30;

// A young stream's chart starts at its first decision.
export function timeScale(width, now, spanSeconds, firstSeconds) {
  const begin = Math.min(Math.max(now - spanSeconds, firstSeconds), now - MIN_SPAN_SECONDS);
  return new Scale(begin, now, MARGIN.left, width - MARGIN.right);
}

export function valueTicks(scale, count) {
  const raw = (scale.high - scale.low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9));
  const ticks = [];
  for (let place = Math.ceil(scale.low / step - 1e-9); place <= Math.floor(scale.high / step + 1e-9); place++) {
    ticks.push(Number((place * step).toPrecision(6)) + 0);
  }
  return ticks;
}

export function axes(x, y, height, ticks) {
  const step = [10, 15, 30, 60, 120].find((seconds) => (x.high - x.low) / seconds <= (x.end - x.begin) / 90) ?? 120;
  const parts = ticks.flatMap((value) => [
    s("line", { class: "gridline", x1: x.begin, x2: x.end, y1: y.at(value), y2: y.at(value) }),
    s("text", { x: x.begin - 6, y: y.at(value) + 4, "text-anchor": "end" }, tick(value)),
  ]);
  for (let time = Math.ceil(x.low / step) * step; time <= x.high; time += step) {
    const place = x.at(time);
    if (place > x.begin + 20 && place < x.end - 24) parts.push(s("text", { x: place, y: height - 6, "text-anchor": "middle" }, clock(time)));
  }
  return parts;
}

export function offsetChart(holder, stream, decisions, x, height = 210) {
  const { early_limit_ms: early, late_limit_ms: late } = stream;
  // Untrusted offsets may lie anywhere: they are drawn where they fit and do not stretch the axis.
  const offsets = decisions.filter((decision) => decision.is_measured).map((decision) => decision.audio_offset_ms);
  const limits = early === null ? [] : [early, -late];
  const low = Math.min(-100, ...offsets, ...limits);
  const high = Math.max(100, ...offsets, ...limits);
  const margin = 0.12 * (high - low);
  const y = new Scale(low - margin, high + margin, height - MARGIN.bottom, MARGIN.top);
  const parts = [];
  if (limits.length) {
    parts.push(s("rect", { class: "band", x: x.begin, width: x.end - x.begin, y: y.at(early), height: y.at(-late) - y.at(early) }));
    for (const limit of limits) parts.push(s("line", { class: "limit", x1: x.begin, x2: x.end, y1: y.at(limit), y2: y.at(limit) }));
  }
  parts.push(...axes(x, y, height, valueTicks(y, 6)));
  parts.push(s("line", { class: "zeroline", x1: x.begin, x2: x.end, y1: y.at(0), y2: y.at(0) }));
  for (const decision of decisions) {
    if (decision.audio_offset_ms === null || decision.audio_offset_ms < y.low || decision.audio_offset_ms > y.high) continue;
    const place = x.at(decision.unix_seconds);
    const state = decision.is_measured ? decision.state : "undetermined";
    parts.push(mark(state, place, y.at(decision.audio_offset_ms), 9));
  }
  if (!offsets.length) parts.push(s("text", { x: (x.begin + x.end) / 2, y: y.at(0) - 8, "text-anchor": "middle" }, "no trusted offset in this time"));
  draw(holder, parts, x, height, offsetLabel(offsets));
}

export function lineChart(holder, decisions, x, height = 130) {
  const y = new Scale(0, 1, height - MARGIN.bottom, MARGIN.top);
  const parts = axes(x, y, height, [0, 0.5, 1]);
  for (const name of ["similarity", "confidence"]) {
    const d = linePath(decisions, name, x, y);
    if (d) parts.push(s("path", { class: `curve ${name}`, d }));
  }
  const last = decisions.at(-1);
  const label = last ? `now similarity ${last.similarity ?? "unknown"}, confidence ${last.confidence ?? "unknown"}` : "no decision yet";
  draw(holder, parts, x, height, `Similarity and confidence over time: ${label}`);
}

function linePath(decisions, name, x, y) {
  let d = "";
  let pen = "M";
  for (const decision of decisions) {
    const value = decision[name];
    if (value === null) {
      pen = "M";
      continue;
    }
    d += `${pen}${x.at(decision.unix_seconds).toFixed(1)} ${y.at(Math.max(0, Math.min(1, value))).toFixed(1)}h.1`;
    pen = "L";
  }
  return d;
}

function offsetLabel(offsets) {
  if (!offsets.length) return "Offset over time: no trusted offset";
  return `Offset over time: now ${signed(offsets.at(-1))}, between ${signed(Math.min(...offsets))} and ${signed(Math.max(...offsets))}`;
}

export function draw(holder, parts, x, height, label) {
  const width = x.end + MARGIN.right;
  holder.querySelector("svg")?.remove();
  holder.append(s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...parts));
}
