// One card per stream: verdict, offset on a scale, delay of the latest decision.

import { byId, h, s, setText } from "./dom.js";
import { facePicture, mouthChart } from "./faces.js";
import { ago, atAGlance, clock, mark, PATHS, ratio, shape, signed, tick } from "./words.js";

const QUIET_SECONDS = 5;
const WIDTH = 240;

export function showCards(streams, chosen, choose) {
  const list = byId("cards");
  const names = [...streams.keys()].sort();
  for (const item of [...list.children]) if (!streams.has(item.dataset.name)) item.remove();
  names.forEach((name, place) => {
    let item = [...list.children].find((child) => child.dataset.name === name);
    if (!item) {
      item = h("li", { "data-name": name }, h("button", { type: "button", onclick: () => choose(name) }));
      list.insertBefore(item, list.children[place] ?? null);
    }
    const stream = streams.get(name);
    const key = JSON.stringify([stream.status, name === chosen, quiet(stream), stream.face]);
    if (item.dataset.key !== key) {
      item.dataset.key = key;
      fillCard(item.firstChild, stream, name === chosen);
    }
  });
  byId("empty").hidden = names.length > 0;
  const alarms = names.filter((name) => streams.get(name).status.alarm).length;
  setText(byId("count"), names.length ? `${names.length} ${names.length === 1 ? "stream" : "streams"}, ${alarms || "none"} out of sync` : "");
}

function quiet(stream) {
  const seconds = (Date.now() - stream.heard) / 1000;
  return stream.status.state === "live" && seconds > QUIET_SECONDS ? Math.round(seconds) : 0;
}

function fillCard(button, stream, isChosen) {
  const status = stream.status;
  const [state, words] = atAGlance(status);
  button.className = `stream ${state}${status.alarm ? " alarm" : ""}`;
  button.setAttribute("aria-pressed", String(isChosen));
  const tag = status.alarm ? h("span", { class: "tag alarm" }, "out of sync") : h("span", { class: "tag" }, status.state);
  button.replaceChildren(
    h("span", { class: "name" }, h("span", { title: status.name }, status.name), tag),
    h("span", { class: "word" }, shape(state), words),
    gauge(status),
    look(stream.face),
    h("span", { class: "facts" }, h("span", { class: "why" }, facts(status)), h("span", {}, lateness(stream))),
  );
}

// The confidence, or the reason why the stream is undetermined; and what that rests on.
function facts({ error, latest }) {
  if (error) return error;
  if (!latest) return "";
  const words = latest.state === "undetermined" && latest.reason ? latest.reason : `confidence ${ratio(latest.confidence)}`;
  return `${words} \u00b7 ${PATHS[latest.path]}`;
}

function look(face) {
  return face?.times_seconds.length ? h("span", { class: "look" }, facePicture(face, "thumb"), mouthChart(face, 170, 48)) : null;
}

export function lateness(stream) {
  const silent = quiet(stream);
  if (silent) return `no decision for ${ago(silent)}`;
  const delay = stream.status.latest?.delay_seconds;
  if (stream.status.state !== "live") return stream.status.latest ? `until ${clock(stream.status.latest.unix_seconds)}` : "";
  return delay === null || delay === undefined ? "" : `${delay.toFixed(1)} s behind`;
}

// The offset on a scale: late to the left, early to the right, the allowed range coloured.
function gauge(status) {
  const latest = status.latest;
  const offset = latest?.audio_offset_ms ?? null;
  const limits = [status.late_limit_ms ?? 0, status.early_limit_ms ?? 0];
  const reach = Math.max(400, 1.25 * Math.abs(offset ?? 0), 1.5 * Math.max(...limits));
  const x = (value) => WIDTH / 2 + (Math.max(-reach, Math.min(reach, value)) / reach) * (WIDTH / 2 - 10);
  const isKnown = offset !== null && latest.is_measured;
  return s(
    "svg",
    { class: "gauge", viewBox: `0 0 ${WIDTH} 30`, role: "img", "aria-label": isKnown ? `offset ${signed(offset)}` : "no trusted offset" },
    s("line", { class: "rail", x1: 6, x2: WIDTH - 6, y1: 9, y2: 9 }),
    limits[0] || limits[1] ? s("line", { class: "allowed", x1: x(-limits[0]), x2: x(limits[1]), y1: 9, y2: 9 }) : null,
    s("line", { class: "zero", x1: WIDTH / 2, x2: WIDTH / 2, y1: 3, y2: 15 }),
    offset === null ? null : mark(isKnown ? latest.state : "undetermined", x(offset), 9, 13),
    s("text", { x: 3, y: 27 }, `late ${tick(-Math.round(reach))}`),
    s("text", { x: WIDTH / 2, y: 27, "text-anchor": "middle" }, "0"),
    s("text", { x: WIDTH - 3, y: 27, "text-anchor": "end" }, `+${Math.round(reach)} early`),
  );
}
