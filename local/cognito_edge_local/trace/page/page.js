// The trace page: a list of requests that grows as they come, and the whole way of the chosen one.
//
// The secret comes in the address's fragment, which no request carries. It is taken out of the address bar at once and kept
// in this tab's session storage (which knows the port, as cookies do not), so that a reload works. All text goes into the
// page as text: the page's policy forbids anything else (CSP, Trusted Types).
"use strict";

const KEY = "trace-secret";
const RECONNECT_MS = [250, 500, 1000, 2000];
const requests = new Map(); // id -> summary
const rows = new Map(); // id -> <tr>
let version = 0;
let limit = 200;
let chosen = null;
let shownVersion = 0;
const $ = (id) => document.getElementById(id);

// --- small helpers ----------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function kindOf(request) {
  const status = request.status;
  if (status === null || status === undefined) return request.decision === "ERROR" ? "failed" : "";
  if (status >= 500) return "failed";
  if (status >= 400) return "refused";
  return status >= 300 ? "moved" : "ok";
}

// Colour alone says nothing to many people: each kind has a sign as well.
const SIGNS = { ok: "✓", moved: "→", refused: "✕", failed: "!", "": "…" };

function badge(request) {
  const kind = kindOf(request);
  const text = request.status ?? (request.open ? "" : request.decision === "ERROR" ? "log" : "left");
  return make("span", { class: `badge ${kind}` }, `${SIGNS[kind]} ${text}`.trim());
}

function timeOf(request) {
  return request.time ? request.time.slice(11, 23) : "";
}

function decisionOf(request) {
  const words = { forward: "forwarded", direct: "called directly", ERROR: "error" };
  if (request.code) return request.code;
  if (request.door_refused) return request.decision === "direct" ? "refused: direct call" : "refused: function URL";
  if (request.decision) return words[request.decision] ?? request.decision;
  if (request.open) return "under way";
  return request.answered_by === "cloudfront" ? "refused: CloudFront" : "no edge function";
}

function milliseconds(value) {
  if (value === null || value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
}

// --- list -------------------------------------------------------------------------------------------------------------

function take(summary) {
  const isNew = !requests.has(summary.id);
  requests.set(summary.id, summary);
  version = Math.max(version, summary.version);
  const row = rows.get(summary.id) ?? newRow(summary.id);
  fill(row, summary);
  if (isNew) {
    $("rows").prepend(row);
    row.classList.add("fresh");
  }
  while (requests.size > limit) forget(requests.keys().next().value);
  if (summary.id === chosen && summary.version > shownVersion) showDetail(summary.id);
}

function forget(id) {
  requests.delete(id);
  rows.get(id)?.remove();
  rows.delete(id);
}

function newRow(id) {
  const row = make("tr", { role: "row", tabindex: "-1", "aria-selected": "false" });
  for (const name of ["time", "status", "method", "path", "code", "ms"]) {
    row.append(make("td", { role: "gridcell", class: name }));
  }
  row.addEventListener("click", () => choose(id, { focus: true }));
  row.dataset.id = id;
  rows.set(id, row);
  return row;
}

function fill(row, request) {
  const [time, status, method, path, code, ms] = row.children;
  time.textContent = timeOf(request);
  status.replaceChildren(badge(request));
  method.textContent = request.method;
  path.textContent = request.path;
  path.title = request.path;
  code.textContent = decisionOf(request);
  code.title = code.textContent;
  ms.textContent = milliseconds(request.ms);
}

function visibleRows() {
  return [...$("rows").children].filter((row) => !row.hidden);
}

function applyFilter() {
  const text = $("text").value.trim().toLowerCase();
  const refusedOnly = $("refused").checked;
  for (const [id, request] of requests) {
    const words = `${request.method} ${request.path} ${request.status ?? ""} ${decisionOf(request)} ${id}`.toLowerCase();
    const kind = kindOf(request);
    rows.get(id).hidden = !words.includes(text) || (refusedOnly && kind !== "refused" && kind !== "failed");
  }
  const visible = visibleRows();
  const all = requests.size;
  $("count").textContent = visible.length === all ? `${all} request${all === 1 ? "" : "s"}` : `${visible.length} of ${all}`;
  $("empty").hidden = visible.length > 0;
  if (all > 0) $("empty-text").textContent = "No request fits the filter.";
  // One row is in the tab order: the chosen one, or else the first.
  const entry = visible.find((row) => row.dataset.id === chosen) ?? visible[0];
  for (const row of rows.values()) row.tabIndex = row === entry ? 0 : -1;
}

function choose(id, { focus = false } = {}) {
  chosen = id;
  shownVersion = 0;
  for (const [other, row] of rows) row.setAttribute("aria-selected", String(other === id));
  document.querySelector("main").classList.toggle("split", id !== null);
  $("detail").hidden = id === null;
  applyFilter();
  if (id === null) return;
  $("detail").replaceChildren();
  if (focus) {
    rows.get(id).focus();
    rows.get(id).scrollIntoView({ block: "nearest" });
  }
  showDetail(id);
}

function back() {
  const row = rows.get(chosen);
  choose(null);
  row?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("text").focus();
  } else if (event.key === "Escape" && typing && $("text").value) {
    $("text").value = "";
    applyFilter();
  } else if (event.key === "Escape" && chosen !== null) {
    back();
  } else if (event.target.closest?.("#rows, #text")) {
    moveBy(event);
  }
});

function moveBy(event) {
  const visible = visibleRows();
  const at = visible.indexOf(document.activeElement);
  const last = visible.length - 1;
  const targets = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last };
  if (event.target.id === "text" && event.key !== "ArrowDown") return;
  if (event.key === "Enter" || event.key === " ") {
    if (at >= 0) choose(visible[at].dataset.id, { focus: true });
    if (at >= 0) $("detail").focus();
  } else if (event.key in targets && last >= 0) {
    // In a narrow window the detail covers the list: there the arrows only move.
    const row = visible[targets[event.key]];
    if (matchMedia("(max-width: 60rem)").matches) row.focus();
    else choose(row.dataset.id, { focus: true });
  } else {
    return;
  }
  event.preventDefault();
}

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("text").addEventListener("input", applyFilter);
$("refused").addEventListener("change", applyFilter);

// --- detail -----------------------------------------------------------------------------------------------------------

async function showDetail(id) {
  const answer = await call(`/request?id=${encodeURIComponent(id)}`).catch(() => null);
  if (answer === null || id !== chosen) return;
  const record = await answer.json();
  if (id !== chosen) return;
  if (!answer.ok) {
    $("detail").replaceChildren(make("p", {}, record.error));
    return;
  }
  if (record.version < shownVersion) return;
  shownVersion = record.version;
  // What is open or closed, and how far one has read, stays when the record grows.
  const closed = new Set([...$("detail").querySelectorAll("details:not([open])")].map((part) => part.dataset.part));
  const scrolled = $("detail").scrollTop;
  $("detail").replaceChildren(...detailOf(record));
  for (const part of $("detail").querySelectorAll("details")) if (closed.has(part.dataset.part)) part.open = false;
  $("detail").scrollTop = scrolled;
}

function detailOf(record) {
  const goBack = make("button", { type: "button", class: "back" }, "← All requests");
  goBack.addEventListener("click", back);
  const door = record.door ?? {};
  return [
    goBack,
    make("div", { class: "head" }, badge(record), make("h2", {}, `${record.method} ${record.path}`.trim())),
    reason(record),
    part("steps", "Steps", null, steps(record.steps)),
    facts(record),
    explanation(record),
    record.arrived && part("arrived", "What arrived", record.arrived.line, headersTable(record.arrived.headers)),
    record.sent &&
      part("sent", "What left the edge", `to ${record.sent.origin}`, code(record.sent.line), headersTable(record.sent.headers)),
    door.canonical_request &&
      part(
        "canonical",
        "Canonical request",
        "as the function URL computed it",
        code(door.canonical_request.join("\n")),
        make("h3", {}, "String to sign"),
        code(door.string_to_sign.join("\n")),
      ),
    door.event && part("event", "The event that the function saw", null, code(JSON.stringify(door.event, null, 2))),
    answerPart(record, door),
  ].filter(Boolean);
}

function facts(record) {
  const edge = record.edge ?? {};
  const door = record.door ?? {};
  const pairs = [
    ["Request id", record.id],
    ["Time", record.time],
    ["Decision", decisionOf(record)],
    ["Answered by", record.answered_by],
    ["Behavior", record.arrived?.behavior],
    ["Rule", edge.rule],
    ["User (hash of sub)", edge.sub_hash],
    ["Client", edge.client_id],
    ["Token ignored", edge.ignored_token],
    ["Caches", Object.entries(edge.cache ?? {}).map(([name, state]) => `${name}: ${state}`).join(", ")],
    ["Signed by", door.caller],
    ["Body", door.body?.bytes ? `${door.body.bytes.toLocaleString("en")} bytes ${door.body.type}` : null],
  ];
  const list = make("dl");
  for (const [name, value] of pairs) if (value) list.append(make("dt", {}, name), make("dd", { class: "mono" }, value));
  return list;
}

function reason(record) {
  const texts = [record.problem, record.edge?.reason, record.door?.why].filter(Boolean);
  const code_ = record.edge?.code;
  if (texts.length === 0 && !code_) return null;
  const box = make("div", { class: `why ${kindOf(record) === "failed" ? "failed" : ""}` });
  if (code_) {
    box.append(make("p", {}, make("strong", {}, code_), ": what it means and what to do: ", make("code", {}, `scripts/doctor.py --code ${code_}`)));
  }
  for (const text of new Set(texts)) box.append(make("p", {}, text.split("\n", 1)[0]));
  return box;
}

// What takes more than a line: the two canonical requests of a signature that does not match, a traceback.
function explanation(record) {
  const texts = [record.problem, record.edge?.reason, record.door?.why].filter((text) => text?.includes("\n"));
  if (texts.length === 0) return null;
  return part("explanation", "Explanation", null, ...texts.map((text) => make("pre", { class: "columns", tabindex: "0" }, text)));
}

function part(name, title, hint, ...inside) {
  const summary = make("summary", {}, title, hint ? make("span", { class: "hint" }, ` · ${hint}`) : null);
  return make("details", { open: true, "data-part": name }, summary, make("div", { class: "inside" }, ...inside));
}

const VERDICTS = { passed: "✓ passed", refused: "✕ refused", failed: "! failed", answered: "→ answered" };

function steps(list) {
  const longest = Math.max(...list.map((one) => (one.note === "in all" ? 0 : one.ms ?? 0)), 0.001);
  const table = make("table", { class: "steps" });
  const head = ["Where", "What", "Verdict", "ms", ""].map((text) => make("th", { scope: "col" }, text));
  table.append(make("thead", {}, make("tr", {}, ...head)));
  const body = make("tbody");
  for (const one of list) {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${Math.round((100 * (one.ms ?? 0)) / longest)}%`;
    const what = make("td", {}, one.what);
    if (one.note && one.note !== "in all") what.append(make("div", { class: "note" }, one.note));
    body.append(
      make(
        "tr",
        {},
        make("td", {}, one.where),
        what,
        make("td", { class: `verdict ${one.verdict}` }, VERDICTS[one.verdict] ?? one.verdict),
        make("td", { class: "ms" }, milliseconds(one.ms)),
        make("td", { class: "bars", "aria-hidden": "true" }, one.ms !== null && one.note !== "in all" ? bar : ""),
      ),
    );
  }
  table.append(body);
  return table;
}

function headersTable(headers) {
  const table = make("table", { class: "headers" });
  const body = make("tbody");
  for (const [name, value] of headers) {
    const cell = make("td", {}, value);
    if (value.includes("[masked, ")) cell.classList.add("masked");
    body.append(make("tr", {}, make("td", {}, name), cell));
  }
  table.append(body);
  return table;
}

function code(text) {
  return make("pre", { tabindex: "0" }, text);
}

function answerPart(record, door) {
  if (record.answer?.status) {
    const hint = `${record.answer.status} from ${record.answered_by}`;
    const size = door.answer ? make("p", {}, `Body: ${door.answer.body.bytes.toLocaleString("en")} bytes. Bodies are never kept.`) : null;
    return part("answer", "The answer", hint, headersTable(record.answer.headers), size);
  }
  if (door.answer) return part("answer", "The answer", `${door.status} from the function URL`, headersTable(door.answer.headers));
  return null;
}

// --- connection -------------------------------------------------------------------------------------------------------

function secret() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY) ?? "";
}

function call(path, more = {}) {
  return fetch(path, { headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` }, cache: "no-store", ...more });
}

function say(state, text) {
  $("connection").dataset.state = state;
  $("connection").textContent = text;
}

async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (pending + value).split("\n");
    pending = lines.pop();
    const found = lines.filter(Boolean).map((line) => JSON.parse(line));
    if (found.length) yield found;
  }
}

async function follow() {
  let attempt = 0;
  for (;;) {
    try {
      const answer = await call(`/live?after=${version}`);
      if (answer.status === 401) {
        say("lost", "not let in");
        $("empty-text").textContent =
          "This page wants the secret of the run: open the address that `make run` printed after “trace” (or " +
          "`python scripts/logs.py --local --page`). Each start makes a new one.";
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      attempt = 0;
      say("live", "live");
      for await (const batch of linesOf(answer.body)) {
        for (const document_ of batch) {
          if (document_.id === undefined) limit = document_.limit;
          else take(document_);
        }
        applyFilter();
      }
    } catch {
      // The system has stopped, or is being started again: see below.
    }
    say("lost", "connection lost; trying again");
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS[Math.min(attempt, RECONNECT_MS.length - 1)]));
    attempt += 1;
  }
}

addEventListener("hashchange", () => {
  if (location.hash.length > 1) location.reload();
});
secret();
applyFilter();
follow();
