// The face that a stream is judged on: its picture, and its mouth beside the sound. Asked for only while it can be seen.

import { h, s } from "./dom.js";

const SPAN_SECONDS = 10;
const LOUDNESS_RANGE_DB = 35;
const MAX_GAP_SECONDS = 0.2;

// Asks once for the face of every stream that has one; `changed` is called when something new is there.
export function askFaces(streams, changed) {
  if (document.hidden) return;
  for (const stream of streams.values()) {
    const { name, state, has_face: hasFace } = stream.status;
    if (!hasFace) stream.face = null;
    if (!hasFace || stream.isAsking || (state !== "live" && stream.face)) continue;
    stream.isAsking = true;
    fetch(`/v1/streams/${encodeURIComponent(name)}/face`)
      .then((response) => (response.ok ? response.json() : null))
      .then((face) => {
        stream.face = face;
        changed();
      })
      .catch(() => {})
      .finally(() => (stream.isAsking = false));
  }
}

export const facePicture = (face, kind) =>
  face?.picture ? h("img", { class: kind, src: face.picture, alt: "The face that the sound is compared with, in a box" }) : null;

// The opening of the mouth as an area, the loudness of the sound as a line, the sound shown later by `shiftMs`.
export function mouthChart(face, width, height, shiftMs = 0) {
  const times = face.times_seconds;
  const end = times.at(-1) ?? 0;
  const x = (time) => ((time - end + SPAN_SECONDS) / SPAN_SECONDS) * width;
  const y = (share) => height - 1 - share * (height - 3);
  const mouth = runs(times, shares(face.mouth_opening), x, y);
  const sound = runs(times.map((time) => time + shiftMs / 1000), loudness(face.sound_dbfs), x, y);
  const areas = mouth.map((run) => `M${run[0][0]} ${height - 1}L${joined(run)}L${run.at(-1)[0]} ${height - 1}z`);
  return s(
    "svg",
    { class: "lips", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "Opening of the mouth and loudness of the sound in the last ten seconds" },
    s("path", { class: "mouth", d: areas.join("") }),
    s("path", { class: "sound", d: sound.map((run) => `M${joined(run)}`).join("") }),
    s("line", { class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
  );
}

const joined = (points) => points.map(([x, y]) => `${x} ${y}`).join("L");

// Points, cut where nothing is known.
function runs(times, values, x, y) {
  const found = [];
  let last = -Infinity;
  times.forEach((time, place) => {
    if (values[place] === null) return;
    if (!(time > last && time - last <= MAX_GAP_SECONDS)) found.push([]);
    found.at(-1).push([Number(x(time).toFixed(1)), Number(y(values[place]).toFixed(1))]);
    last = time;
  });
  return found;
}

function shares(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[0] ?? 0;
  const high = sorted[Math.floor(0.99 * (sorted.length - 1))] ?? 1;
  return smooth(values.map((value) => Math.min(1, (value - low) / Math.max(high - low, 0.02))));
}

function loudness(levels) {
  const top = Math.max(...levels.filter((level) => level !== null), -80);
  return smooth(levels.map((level) => (level === null ? null : Math.max(0, (level - top) / LOUDNESS_RANGE_DB + 1))));
}

const smooth = (values) =>
  values.map((value, place) => (value === null ? null : 0.5 * value + 0.25 * (values[place - 1] ?? value) + 0.25 * (values[place + 1] ?? value)));
