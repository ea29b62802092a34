// Alarms are announced once when they begin and once when they end; active ones stay visible.

import { byId, h } from "./dom.js";
import { clock, shape, signed } from "./words.js";

const OVER_MS = 6000;

export function showAlarms(streams) {
  const holder = byId("alarms");
  const wanted = new Map();
  for (const [name, { status }] of streams) if (status.alarm) wanted.set(name, status.alarm);
  for (const line of [...holder.children]) {
    if (!line.dataset.over && !wanted.has(line.dataset.name)) line.remove();
  }
  for (const [name, alarm] of wanted) {
    const found = [...holder.children].find((line) => line.dataset.name === name && !line.dataset.over);
    if (found?.dataset.state === alarm.state) continue;
    found?.remove();
    const words = `${name}: ${alarm.words} since ${clock(alarm.unix_seconds)} (${signed(alarm.extreme)})`;
    holder.append(h("p", { class: alarm.state, "data-name": name, "data-state": alarm.state }, shape(alarm.state), h("span", {}, words)));
  }
}

export function sayOver(name) {
  const line = h("p", { class: "in_sync", "data-name": name, "data-over": "yes" }, shape("in_sync"), h("span", {}, `${name}: the alarm is over`));
  byId("alarms").append(line);
  setTimeout(() => line.remove(), OVER_MS);
}
