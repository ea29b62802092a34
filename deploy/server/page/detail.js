// The selected stream: verdict, charts, numbers, events.

import { byId, h, setText } from "./dom.js";
import { lineChart, offsetChart, timeScale } from "./charts.js";
import { facePicture, mouthChart } from "./faces.js";
import { heatChart } from "./heat.js";
import { lateness } from "./cards.js";
import { atAGlance, clock, PATHS, ratio, shape, signed, STATES } from "./words.js";

const TABLE_ROWS = 20;

export function showKeys() {
  byId("keys").replaceChildren(...Object.entries(STATES).map(([state, words]) => h("span", { class: "key" }, shape(state), words)));
}

export function showDetail(stream, now) {
  byId("detail").hidden = !stream;
  if (!stream) return;
  const status = stream.status;
  const [state, words] = atAGlance(status);
  setText(byId("detail-title"), status.name);
  const verdict = byId("detail-verdict");
  if (verdict.textContent !== words || !verdict.classList.contains(state)) {
    verdict.className = `verdict ${state}`;
    verdict.replaceChildren(shape(state), words);
  }
  const reason = status.error ?? status.latest?.reason ?? "";
  setText(byId("detail-reason"), reason ? `${reason[0].toUpperCase()}${reason.slice(1)}.` : "");
  setText(byId("profile"), status.profile);
  showCharts(stream, now);
  showFace(stream);
  showNumbers(stream);
  showEvents(stream.events);
  showTable(stream.decisions);
}

function showCharts(stream, now) {
  const holder = byId("offset-chart");
  const span = Number(byId("span").value);
  const first = stream.decisions[0]?.unix_seconds ?? now;
  const x = timeScale(Math.max(260, holder.clientWidth), now, span, first);
  const inside = stream.decisions.filter((decision) => decision.unix_seconds >= x.low);
  offsetChart(holder, stream.status, inside, x);
  heatChart(byId("heat-chart"), inside, x);
  lineChart(byId("line-chart"), inside, x);
}

// Below a smaller offset both panels would look the same.
const MIN_SHIFT_MS = 10;

function showFace({ face, status }) {
  const isThere = Boolean(face?.times_seconds.length);
  byId("face").hidden = !isThere;
  if (!isThere) return;
  const offset = status.latest?.is_measured ? status.latest.audio_offset_ms : 0;
  const panel = (words, shift) => [h("p", { class: "small" }, words), mouthChart(face, 520, 76, shift)];
  const moved = `with the audio ${offset > 0 ? "delayed" : "advanced"} by ${Math.abs(Math.round(offset))} ms`;
  byId("face-picture").replaceChildren(facePicture(face, "portrait") ?? "");
  byId("face-chart").replaceChildren(...panel("as sent", 0), ...(Math.abs(offset) < MIN_SHIFT_MS ? [] : panel(moved, offset)));
}

function repair(delay) {
  const known = delay !== null && delay !== undefined;
  return [known && delay < 0 ? "Advance audio by" : "Delay audio by", known ? `${Math.abs(Math.round(delay))} ms` : "\u2013"];
}

function showNumbers(stream) {
  const { status } = stream;
  const latest = status.latest;
  const limits = status.early_limit_ms === null ? "one frame" : `${signed(status.early_limit_ms, "")}/ ${signed(-status.late_limit_ms)}`;
  const counts = Object.entries(status.windows).filter(([, count]) => count).map(([state, count]) => [`Windows ${STATES[state]}`, String(count)]);
  const offset = latest && !latest.is_measured && latest.audio_offset_ms !== null ? `(${signed(latest.audio_offset_ms)})` : signed(latest?.audio_offset_ms);
  const rows = [
    ["Offset", offset],
    ["Resolution", latest?.offset_resolution_ms ? `${Math.round(latest.offset_resolution_ms)} ms` : "\u2013"],
    ["Drift", signed(status.drift_ms_per_minute, "ms/min")],
    ["Confidence", ratio(latest?.confidence)],
    ["Similarity", ratio(latest?.similarity)],
    ["Rests on", latest ? PATHS[latest.path] : "\u2013"],
    repair(latest?.suggested_audio_delay_ms),
    ["Decision", lateness(stream) || "\u2013"],
    ["Allowed", limits],
    ["Source", status.source],
    ...counts,
  ];
  byId("numbers").replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function showEvents(events) {
  const list = byId("events");
  const key = JSON.stringify(events.at(-1) ?? null) + events.length;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  if (!events.length) {
    list.replaceChildren(h("li", { class: "none" }, "None so far."));
    return;
  }
  list.replaceChildren(
    ...[...events].reverse().map((event) => {
      const began = event.phase === "began";
      const cutShort = event.cause === "stream_ended";
      const state = began || cutShort ? event.state : "in_sync";
      const over = cutShort ? "Open when the stream ended" : "Over";
      const words = began ? `${event.words[0].toUpperCase()}${event.words.slice(1)}` : `${over}: ${event.words}`;
      return h(
        "li",
        { class: state },
        shape(state),
        h("span", { class: "what" }, words),
        h("span", {}, signed(event.extreme)),
        h("span", {}),
        h("time", { class: "soft small" }, clock(event.unix_seconds)),
      );
    }),
  );
}

function showTable(decisions) {
  if (!byId("table").closest("details").open) return;
  const rows = decisions.slice(-TABLE_ROWS).reverse();
  byId("table").replaceChildren(
    ...rows.map((decision) =>
      h(
        "tr",
        {},
        h("td", {}, clock(decision.unix_seconds)),
        h("td", {}, STATES[decision.state]),
        h("td", {}, PATHS[decision.path]),
        h("td", { class: "number" }, signed(decision.audio_offset_ms)),
        h("td", { class: "number" }, ratio(decision.confidence)),
      ),
    ),
  );
}
