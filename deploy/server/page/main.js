// The state of the page, fed by the server and drawn at most once per screen refresh.

import { byId, setText } from "./dom.js";
import { sayOver, showAlarms } from "./alarms.js";
import { showCards } from "./cards.js";
import { showDetail, showKeys } from "./detail.js";
import { askFaces } from "./faces.js";
import { startFiles } from "./files.js";

const KEPT_DECISIONS = 600;
const KEPT_EVENTS = 100;
const AGAIN_MS = 5000;
const FACES_MS = 1000;

const streams = new Map(); // name -> { status, decisions, events, heard, face }
let chosen = decodeURIComponent(location.hash.slice(1)) || null;
let loaded = null;
let isDue = false;
let clockAheadSeconds = 0;

const take = {
  streams({ streams: all }) {
    const names = new Set(all.map((status) => status.name));
    for (const name of [...streams.keys()]) if (!names.has(name)) streams.delete(name);
    all.forEach(hold);
    loaded = null;
  },
  stream: ({ stream }) => hold(stream),
  decision({ stream: status, decision }) {
    const stream = hold(status);
    stream.heard = Date.now();
    clockAheadSeconds = decision.unix_seconds - Date.now() / 1000;
    stream.decisions.push(decision);
    stream.decisions.splice(0, stream.decisions.length - KEPT_DECISIONS);
  },
  event({ name, event }) {
    const stream = streams.get(name);
    if (!stream) return;
    stream.events.push(event);
    stream.events.splice(0, stream.events.length - KEPT_EVENTS);
    if (event.phase === "ended") sayOver(name);
  },
  gone: ({ name }) => streams.delete(name),
};

function hold(status) {
  const stream = streams.get(status.name) ?? { decisions: [], events: [], heard: Date.now() - 1000 * status.silent_seconds };
  stream.status = status;
  streams.set(status.name, stream);
  return stream;
}

function choose(name) {
  chosen = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  redraw();
  // On a narrow screen the charts are below all cards.
  if (matchMedia("(max-width: 900px)").matches) requestAnimationFrame(() => byId("detail").scrollIntoView());
}

// Load the history from before this page was opened.
async function loadPast(name) {
  loaded = name;
  const response = await fetch(`/v1/streams/${encodeURIComponent(name)}`);
  const stream = streams.get(name);
  if (!response.ok || !stream) return;
  const { decisions, events } = await response.json();
  Object.assign(stream, { decisions, events });
  redraw();
}

function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (!streams.has(chosen)) chosen = [...streams.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))[0] ?? null;
    if (chosen && loaded !== chosen) loadPast(chosen).catch(() => (loaded = null));
    showAlarms(streams);
    showCards(streams, chosen, choose);
    showDetail(streams.get(chosen), Date.now() / 1000 + clockAheadSeconds);
    const alarms = [...streams.values()].filter(({ status }) => status.alarm).length;
    document.title = alarms ? `(${alarms}) out of sync \u2013 cavsync live` : "cavsync live";
  });
}

const rank = (name) => (streams.get(name).status.alarm ? 0 : 1);

function connect() {
  const feed = new EventSource("/v1/feed");
  const pill = byId("connection");
  const show = (words, kind) => {
    pill.className = `pill ${kind}`;
    setText(pill, words);
  };
  feed.onopen = () => show("Connected", "on");
  feed.onerror = () => {
    show("Connection lost, trying again", "off");
    // A refused feed is not retried by the browser; the server may be starting.
    if (feed.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  };
  feed.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    take[message.type]?.(message);
    redraw();
  };
}

showKeys();
startFiles();
connect();
byId("span").addEventListener("change", redraw);
byId("detail").querySelector("details").addEventListener("toggle", redraw);
addEventListener("resize", redraw);
setInterval(redraw, 1000);
setInterval(() => askFaces(streams, redraw), FACES_MS);
