// Heat map of similarity by time and offset: one column per decision, light where video and audio match.

import { h, s } from "./dom.js";
import { axes, draw, MARGIN, Scale, valueTicks } from "./charts.js";

// Dark to light in even steps of lightness, readable in grey and with any colour vision.
const COLOURS = [[13, 17, 48], [38, 42, 108], [48, 84, 150], [35, 130, 158], [47, 172, 143], [135, 205, 104], [248, 230, 92]];

export function heatChart(holder, decisions, x, height = 190) {
  const known = decisions.filter((decision) => decision.curve);
  const reach = known.length ? Math.max(...known.map((decision) => decision.curve.to_ms)) : 600;
  const y = new Scale(-reach, reach, height - MARGIN.bottom, MARGIN.top);
  const width = Math.max(1, Math.round(x.end - x.begin));
  const rows = Math.round(y.begin - y.end);
  const canvas = holder.querySelector("canvas") ?? holder.appendChild(h("canvas", { "aria-hidden": "true" }));
  Object.assign(canvas.style, { left: `${x.begin}px`, top: `${MARGIN.top}px`, width: `${width}px`, height: `${rows}px` });
  canvas.width = width;
  canvas.height = rows;
  paint(canvas.getContext("2d"), known, x, y, width, rows);
  const parts = axes(x, y, height, valueTicks(y, 5)).filter((part) => part.tagName === "text");
  parts.push(s("rect", { class: "frame", x: x.begin, y: y.end, width, height: rows }));
  draw(holder, parts, x, height, "Similarity by time and offset; the offset of the best match is in the chart above");
}

function paint(context, decisions, x, y, width, rows) {
  const columns = decisions.map((decision) => levelled(decision.curve.similarity));
  const values = columns.flat().filter((value) => value !== null).sort((a, b) => a - b);
  if (!values.length) return;
  const low = values[Math.floor(0.02 * (values.length - 1))];
  const high = values[Math.floor(0.995 * (values.length - 1))];
  decisions.forEach((decision, place) => {
    const begin = Math.round(x.at(decision.unix_seconds) - x.begin);
    const next = decisions[place + 1];
    const gap = next ? next.unix_seconds - decision.unix_seconds : 0.5;
    // A column extends to the next decision; gaps longer than 3 s stay empty.
    const end = gap > 3 ? begin + 3 : Math.max(begin + 1, Math.round(x.at(decision.unix_seconds + gap) - x.begin));
    const { from_ms: from, to_ms: to } = decision.curve;
    const column = columns[place];
    const tall = Math.abs(y.at(from) - y.at(to)) / (column.length - 1);
    column.forEach((value, row) => {
      if (value === null) return;
      const offset = from + ((to - from) * row) / (column.length - 1);
      context.fillStyle = colour((value - low) / Math.max(high - low, 1e-9));
      context.fillRect(begin, Math.floor(y.at(offset) - y.end - tall / 2), Math.min(end, width) - begin, Math.ceil(tall) + 1);
    });
  });
}

// Subtract each column's median, so that scenes of different content are comparable.
function levelled(column) {
  const known = column.filter((value) => value !== null).sort((a, b) => a - b);
  const median = known[Math.floor(known.length / 2)] ?? 0;
  return column.map((value) => (value === null ? null : value - median));
}

function colour(share) {
  const place = Math.max(0, Math.min(1, share)) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(place), COLOURS.length - 2);
  const part = place - below;
  const channels = COLOURS[below].map((value, index) => Math.round(value + part * (COLOURS[below + 1][index] - value)));
  return `rgb(${channels.join(" ")})`;
}
