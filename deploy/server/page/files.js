// Upload a file and show the progress of all jobs.

import { byId, h, setText } from "./dom.js";
import { shape } from "./words.js";

const ASK_MS = 1000;
let timer = null;

export function startFiles() {
  byId("upload").addEventListener("submit", (event) => {
    event.preventDefault();
    upload(event.target);
  });
  refresh();
}

async function upload(form) {
  const status = byId("upload-status");
  setText(status, "Sending");
  try {
    const response = await fetch("/v1/jobs", { method: "POST", body: new FormData(form) });
    const answer = await response.json();
    setText(status, response.ok ? `${answer.name} was sent` : answer.error);
    if (response.ok) form.reset();
  } catch {
    setText(status, "The server cannot be reached: try again");
  }
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  try {
    const response = await fetch("/v1/jobs");
    if (!response.ok) return;
    const { jobs } = await response.json();
    byId("jobs").replaceChildren(...jobs.map(line));
    if (jobs.some((job) => job.state === "queued" || job.state === "running")) timer = setTimeout(refresh, ASK_MS);
  } catch {
    timer = setTimeout(refresh, 5 * ASK_MS);
  }
}

function line(job) {
  const state = job.summary?.state ?? (job.state === "failed" ? "failed" : "");
  const { done_seconds: done, duration_seconds: total } = job.progress;
  const outcome =
    job.state === "running"
      ? h("progress", { max: total ?? 1, value: total ? Math.min(done, total) : null, "aria-label": `progress of ${job.name}` })
      : h("span", { class: "outcome" }, state ? shape(state) : null, job.verdict ?? job.state);
  const link = job.links.report ? h("a", { href: job.links.report, "aria-label": `Report of ${job.name}` }, "Report") : h("span", {});
  return h("li", { class: state }, h("span", { class: "name" }, job.name), outcome, link, job.error ? h("p", { class: "error small wrong" }, job.error) : null);
}
