#include "monitoring/status_page.h"

namespace muster::monitoring {
namespace {

constexpr const char* kPage = R"PAGE(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Muster</title>
<link rel="icon" href="data:,">
<style>
:root {
  --page: #f6f7f9; --card: #ffffff; --ink: #14181f; --soft: #5b6472; --line: #dfe3e9;
  --track: #e7eaef; --accent: #2f6fde; --good: #1a7f4b; --warn: #a15c00; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #171b21; --ink: #e8ebf0; --soft: #98a2b1; --line: #2a3038;
    --track: #262c35; --accent: #6da0ff; --good: #4fc488; --warn: #e0a458; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 24px 20px 48px; max-width: 1080px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 14px; margin-bottom: 20px; }
h1 { font-size: 24px; letter-spacing: -0.02em; margin: 0; }
h2 { font-size: 13px; font-weight: 600; margin: 28px 0 10px; color: var(--soft); }
h3 { font-size: 17px; margin: 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: 13px; }
.push { margin-left: auto; }
.number { font-variant-numeric: tabular-nums; }
.grid { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); }
.tasks { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; min-width: 0; }
.big { font-size: 26px; font-weight: 600; letter-spacing: -0.02em; line-height: 1.25; }
.pill {
  display: inline-block; padding: 1px 10px; border-radius: 99px; border: 1px solid currentColor;
  font-size: 12px; font-weight: 600; white-space: nowrap; color: var(--soft);
}
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.row { display: flex; align-items: center; gap: 10px; }
.bar { position: relative; height: 10px; margin: 12px 0 6px; border-radius: 99px; background: var(--track); overflow: hidden; }
.fill { height: 100%; width: 0; border-radius: 99px; background: var(--accent); transition: width .5s; }
.full .fill { background: var(--good); }
.time { height: 4px; } .time .fill { background: var(--soft); }
.high .fill { background: var(--bad); }
.tick { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); opacity: .55; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 12px 0 0; font-size: 13px; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th { text-align: left; font-weight: 600; font-size: 12px; color: var(--soft); }
th, td { padding: 6px 0; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
td.count, th.count { text-align: right; padding-left: 16px; white-space: nowrap; }
td.share { width: 40%; padding-left: 16px; }
td.share .bar { margin: 0; height: 6px; }
td.share .fill { background: var(--warn); }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: 34px; margin-top: 6px; }
polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
#notice { border-color: var(--bad); margin-bottom: 12px; }
a { color: var(--accent); }
footer { margin-top: 28px; }
[hidden] { display: none !important; }
@media (max-width: 480px) { body { padding: 16px 12px 32px; } .push { margin-left: 0; } }
@media (prefers-reduced-motion: reduce) { .fill { transition: none; } }
</style>
</head>
<body>
<header>
  <h1>Muster</h1>
  <span class="pill" id="ready" role="status">connecting</span>
  <span class="soft" id="build"></span>
  <span class="soft push" id="age"></span>
</header>
<noscript><div class="card">This page draws itself with JavaScript. The same numbers are at
<a href="/status.json">/status.json</a> and <a href="/metrics">/metrics</a>.</div></noscript>
<div class="card bad" id="notice" role="alert" hidden></div>
<main id="main" hidden>
  <div class="grid">
    <div class="card"><div class="soft">Updates accepted</div><div class="big number" id="accepted"></div>
      <div class="soft number" id="rate"></div>
      <svg viewBox="0 0 60 20" preserveAspectRatio="none" aria-hidden="true"><polyline id="spark"/></svg></div>
    <div class="card"><div class="soft">Refused</div><div class="big number" id="refused"></div>
      <div class="soft" id="refused-share"></div></div>
    <div class="card"><div class="soft">Spool</div><div class="big number" id="spool"></div>
      <div class="soft number" id="spool-note"></div></div>
    <div class="card"><div class="soft">Memory</div><div class="big number" id="memory"></div>
      <div class="bar" id="memory-bar"><div class="fill"></div></div>
      <div class="soft" id="memory-note"></div></div>
  </div>
  <h2>Tasks</h2>
  <div class="tasks" id="tasks"></div>
  <h2>Refusals</h2>
  <div class="card"><table>
    <thead><tr><th>Reason</th><th></th><th class="count">Updates</th></tr></thead>
    <tbody id="refusals"></tbody>
  </table></div>
</main>
<footer class="soft">Refreshes every 2 seconds. For machines:
  <a href="/metrics">/metrics</a>, <a href="/readyz">/readyz</a>, <a href="/status.json">/status.json</a></footer>
<script>
"use strict";
const PERIOD_MS = 2000, POINTS = 60;
const byId = (id) => document.getElementById(id);
const whole = (n) => Math.round(Number(n) || 0).toLocaleString("en");
const clamp = (x) => Math.min(1, Math.max(0, x || 0));
const samples = [];
let lastGood = 0;
const rateText = (r) => r < 10 ? r.toFixed(1) : whole(r);

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = Number(n) || 0, unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return value.toFixed(unit && value < 100 ? 1 : 0) + " " + units[unit];
}
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
}
function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
function bar(share, label) {
  const outer = make("div", "bar" + (share >= 1 ? " full" : ""));
  outer.setAttribute("role", "progressbar");
  outer.setAttribute("aria-label", label);
  outer.setAttribute("aria-valuemin", "0");
  outer.setAttribute("aria-valuemax", "100");
  outer.setAttribute("aria-valuenow", String(Math.round(clamp(share) * 100)));
  const fill = make("div", "fill");
  fill.style.width = (clamp(share) * 100).toFixed(2) + "%";
  outer.append(fill);
  return outer;
}
const TONES = { open: "good", released: "good", shredded: "good", abandoned: "bad", failed: "bad" };

function taskCard(task) {
  const card = make("section", "card");
  const head = make("div", "row");
  head.append(make("h3", "", task.name), make("span", "pill push " + (TONES[task.state] || "warn"), task.state || "idle"));
  card.append(head, make("div", "soft", "round " + whole(task.round) + ", rule " + task.rule));
  const target = Number(task.target) || 0, cohort = Number(task.cohort) || 0;
  const progress = bar(target ? cohort / target : 0, "cohort of " + task.name);
  if (target && task.minimum > 0 && task.minimum < target) {
    const tick = make("div", "tick");
    tick.style.left = (100 * task.minimum / target).toFixed(2) + "%";
    tick.title = "minimum cohort " + whole(task.minimum);
    progress.append(tick);
  }
  card.append(progress, make("div", "number", whole(cohort) + " of " + whole(target) + " updates"));
  const left = Number(task.deadline_s) || 0, age = Number(task.age_s) || 0;
  if (left > 0) {
    const time = bar(age / (age + left) * 0.999, "time of the round of " + task.name);
    time.classList.add("time");
    card.append(time, make("div", "soft number", duration(age) + " old, closes in " + duration(left)));
  } else {
    card.append(make("div", "soft number", duration(age) + " old, no deadline"));
  }
  const facts = make("dl", "number");
  const fact = (name, value) => facts.append(make("dt", "", name), make("dd", "", value));
  fact("Minimum cohort", whole(task.minimum));
  fact("Model version", whole(task.model_version));
  fact("Rounds released", whole(task.rounds_done));
  const privacy = task.privacy;
  if (!privacy) fact("Privacy", "no statement");
  card.append(facts);
  if (privacy) {
    const spent = Number(privacy.epsilon_spent) || 0, limit = Number(privacy.epsilon_limit) || 0;
    const budget = bar(limit ? spent / limit : 0, "privacy budget of " + task.name);
    if (limit && spent / limit > 0.8) budget.classList.add("high");
    budget.classList.remove("full");
    card.append(budget, make("div", "number", "epsilon " + spent.toFixed(2) + " of " + limit.toFixed(2)
      + " spent, delta " + Number(privacy.delta).toExponential(0)));
  }
  return card;
}
function drawRate(accepted, received) {
  samples.push({ at: performance.now(), accepted, received });
  if (samples.length > POINTS + 1) samples.shift();
  const rates = [];
  for (let i = 1; i < samples.length; i += 1) {
    const seconds = (samples[i].at - samples[i - 1].at) / 1000;
    rates.push(Math.max(0, (samples[i].accepted - samples[i - 1].accepted) / seconds));
  }
  if (rates.length === 0) { byId("rate").textContent = "measuring the rate"; return; }
  const top = Math.max(1e-9, ...rates), now = rates[rates.length - 1];
  const last = samples[samples.length - 1], before = samples[samples.length - 2];
  const flow = Math.max(0, (last.received - before.received) * 1000 / (last.at - before.at));
  byId("rate").textContent = rateText(now) + " a second, " + bytes(flow) + "/s";
  byId("spark").setAttribute("points", rates
    .map((r, i) => (POINTS - rates.length + i) + "," + (19 - 18 * r / top).toFixed(2)).join(" "));
}
function drawRefusals(refused, accepted) {
  const rows = Object.entries(refused || {}).filter((entry) => entry[1] > 0).sort((a, b) => b[1] - a[1]);
  const total = rows.reduce((sum, entry) => sum + entry[1], 0);
  byId("refused").textContent = whole(total);
  byId("refused-share").textContent = total === 0 ? "none so far"
    : (100 * total / (total + accepted)).toFixed(1) + " % of all updates";
  const body = byId("refusals");
  body.replaceChildren();
  for (const [reason, count] of rows) {
    const row = make("tr"), name = make("td"), share = make("td", "share");
    name.append(make("code", "", reason));
    share.append(bar(count / rows[0][1] * 0.999, reason));
    row.append(name, share, make("td", "count number", whole(count)));
    body.append(row);
  }
  if (rows.length === 0) {
    const row = make("tr"), cell = make("td", "soft", "Nothing was refused.");
    cell.colSpan = 3;
    row.append(cell);
    body.append(row);
  }
}
function draw(status) {
  const ready = byId("ready");
  ready.textContent = status.ready ? "ready"
    : "not ready" + (status.causes && status.causes.length ? ": " + status.causes.join(", ") : "");
  ready.className = "pill " + (status.ready ? "good" : "bad");
  byId("build").textContent = "version " + status.version + ", backend " + status.backend
    + ", " + whole(status.connections) + " connections";
  const accepted = Number(status.updates_accepted) || 0;
  byId("accepted").textContent = whole(accepted);
  drawRate(accepted, Number(status.bytes_received) || 0);
  drawRefusals(status.refused, accepted);
  byId("spool").textContent = bytes(status.spool_bytes);
  byId("spool-note").textContent = bytes(status.spool_free_bytes) + " free; files stay until their rounds are released";
  const memory = status.memory || {};
  byId("memory").textContent = bytes(memory.resident);
  byId("memory-bar").hidden = !memory.budget;
  byId("memory-bar").firstElementChild.style.width = (100 * clamp(memory.resident / memory.budget)).toFixed(1) + "%";
  byId("memory-note").textContent = memory.budget ? "resident, of a budget of " + bytes(memory.budget) : "resident";
  const slab = status.slab || {};
  if (slab.bytes) byId("memory-note").textContent += "; slots " + bytes(slab.used) + " of " + bytes(slab.bytes);
  const tasks = status.tasks || [];
  byId("tasks").replaceChildren(...tasks.map(taskCard));
  if (tasks.length === 0)
    byId("tasks").append(make("div", "card soft", "No task yet. Make one with: muster task create FILE"));
  byId("main").hidden = false;
  /* For the test of this page: how much wider than the screen it is. */
  const root = document.documentElement;
  root.dataset.overflow = String(Math.max(0, root.scrollWidth - root.clientWidth));
}
async function refresh() {
  const notice = byId("notice");
  try {
    const answer = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    draw(await answer.json());
    lastGood = Date.now();
    notice.hidden = true;
    byId("main").style.opacity = "1";
  } catch (error) {
    notice.textContent = "The server does not answer (" + error.message + "). "
      + (lastGood ? "These numbers are old." : "Is musterd running?");
    notice.hidden = false;
    byId("ready").textContent = "unreachable";
    byId("ready").className = "pill bad";
    byId("main").style.opacity = "0.5";
  }
  byId("age").textContent = lastGood ? "as of " + new Date(lastGood).toLocaleTimeString() : "";
  setTimeout(refresh, document.hidden ? 5 * PERIOD_MS : PERIOD_MS);
}
refresh();
</script>
</body>
</html>
)PAGE";

}  // namespace

const std::string& status_page() {
  static const std::string page = kPage;
  return page;
}

}  // namespace muster::monitoring
