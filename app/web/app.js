/** The page's state and everything that changes it. The turns live in memory only; nothing said here is stored. */

import * as api from "./api.js";
import { NEW, fromWire, reduce, tally } from "./reducer.js";
import { readEvents } from "./sse.js";
import { T } from "./texts.js";
import { html, render } from "./vendor/htm-preact-standalone.module.js";
import { App } from "./view.js";

const root = document.getElementById("app");
const narrow = matchMedia("(max-width: 61.99rem)");
const query = new URLSearchParams(location.search);

let state = {
  turns: [], // {key, question, collection, answer, askedAt}
  running: null, // key of the turn that is being answered
  collection: query.get("collection") || "default",
  collections: null, // null until the service told
  manualIn: null, // a collection that holds the manual
  unwell: [], // parts that the service reports
  degraded: [], // those, and what the last answer had to do without
  panel: null,
  narrow: narrow.matches,
  theme: document.documentElement.dataset.theme ?? "auto",
  help: false,
  draft: null, // {text} to put into the box; a new object each time
  live: "", // the status line for screen readers
};

// ---- at most one render in a frame

let frame = 0;

function set(patch) {
  state = { ...state, ...patch };
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  render(html`<${App} state=${state} act=${act} />`, root);
  follow();
}

// ---- scrolling: with the answer, until the reader scrolls up or the question is at the top

let following = false;
let lastTop = 0;

addEventListener("scroll", () => {
  if (scrollY < lastTop - 2) following = false;
  lastTop = scrollY;
}, { passive: true });

function follow() {
  if (!following) return;
  const turn = root.querySelector(".turn:last-child");
  if (!turn) return;
  const room = turn.getBoundingClientRect().top - 16;
  const below = document.documentElement.scrollHeight - innerHeight - scrollY;
  const step = Math.min(room, below);
  if (step > 1) scrollBy({ top: step, behavior: "instant" });
  if (state.running === null || room <= 1) following = false;
}

let counter = 0;
let controller = null;

function change(key, event) {
  const turn = state.turns.find((one) => one.key === key);
  const answer = reduce(turn.answer, event);
  if (answer === turn.answer) return;
  const turns = state.turns.map((one) => (one === turn ? { ...turn, answer } : one));
  const patch = { turns, live: announce(turn.answer, answer) ?? state.live };
  if (answer.phase === "ended" && state.running === key) patch.running = null;
  if (answer.done) patch.degraded = merge(state.unwell, answer.done.degraded ?? []);
  set(patch);
  if (answer.done && patch.degraded.length + state.unwell.length > 0) checkHealth(answer.done.degraded ?? []);
}

const merge = (...lists) => [...new Set(lists.flat())];

function announce(before, after) {
  if (after.phase === "ended") {
    if (after.ending === "stopped") return T.stoppedLive;
    if (after.error) return T.failedLive(after.error.message ?? "");
    if (after.ending === "lost") return T.lostLive;
    if (after.done.abstention) return T.completeAbstained;
    if (after.done.finish_reason === "filtered") return T.completeFiltered;
    return T.complete(tally(after));
  }
  const fresh = after.notes !== before.notes && after.notes.find((note) => !before.notes.includes(note));
  if (fresh) return T.withdrawnLive(fresh.reason);
  return after.stage !== before.stage ? (T.stages[after.stage] ?? null) : null;
}

/** What was said before in this collection, for a question such as "And how do I stop it?". */
const said = (turns) => turns.filter(({ collection, answer }) => collection === state.collection && answer.ending === "done" && answer.text && answer.text.length < 9000).slice(-5)
  .flatMap(({ question, answer }) => [{ role: "user", content: question }, { role: "assistant", content: answer.text }]);

async function ask(text, before = state.turns) {
  const question = text.trim();
  if (question === "" || state.running !== null) return;
  counter += 1;
  const key = counter;
  const mine = new AbortController();
  controller = mine;
  following = true;
  const turn = { key, question, collection: state.collection, answer: NEW, askedAt: performance.now() };
  set({ turns: [...state.turns, turn], running: key, live: T.asking, draft: { text: "" } });
  try {
    const response = await api.ask(question, turn.collection, said(before), mine.signal);
    await readEvents(response.body, (message) => {
      const event = fromWire(message);
      if (event) change(key, event);
    });
    change(key, { type: "local.lost" }); // nothing, if `done` came
  } catch (error) {
    if (mine.signal.aborted) change(key, { type: "local.stopped" });
    else if (error instanceof api.ApiError) change(key, { type: "local.refused", error: error.envelope });
    else change(key, { type: "local.lost" });
  }
}

function stop() {
  if (state.running === null) return;
  controller.abort();
  change(state.running, { type: "local.stopped" });
  focusBox();
}

let loading = 0;
let opener = null;
let lastDocument = { id: null, text: null, at: -Infinity };
const FRESH_MS = 30_000;

const sourcesOf = (answer) => [...answer.sources, ...(answer.done?.abstention?.nearest ?? [])];

async function openSource(id, { turnKey = null, claimIndex = null, push = true } = {}) {
  const turn = state.turns.findLast((one) => (turnKey === null || one.key === turnKey) && sourcesOf(one.answer).some((s) => s.id === id));
  let source = turn ? sourcesOf(turn.answer).find((one) => one.id === id) : null;
  const claims = (turn?.answer.claims ?? []).filter((claim) => claimIndex === null || claim.index === claimIndex);
  const quotes = claims.flatMap((claim) => claim.citations.filter((citation) => citation.source === id));
  if (state.panel === null) opener = document.activeElement;
  if (push) {
    const url = `/${location.search}#source=${encodeURIComponent(id)}`;
    if (state.panel === null) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }
  loading += 1;
  const mine = loading;
  const show = (patch) => {
    if (mine === loading && state.panel !== null) set({ panel: { ...state.panel, ...patch } });
  };
  set({ panel: { id, source, quotes, turnKey: turn?.key ?? null, claimIndex, status: "loading", document: null, whole: false, opened: mine } });
  keepInView(turn?.key, claimIndex, id);
  try {
    if (typeof source?.text !== "string") source = { ...source, ...(await api.source(id)), n: source?.n };
  } catch (error) {
    if (!source) return show({ status: "failed", error: error.envelope ?? T.unreachable });
  }
  let text = null;
  try {
    text = await documentText(source.document_id);
  } catch {
    // shown as the passage alone
  }
  return show({ status: "ready", source, document: text });
}

async function documentText(id) {
  if (lastDocument.id !== id || performance.now() - lastDocument.at > FRESH_MS) {
    lastDocument = { id, text: await api.content(id), at: performance.now() };
  }
  return lastDocument.text;
}

const chipName = (turnKey, claimIndex, id) => `[data-chip="${CSS.escape(`${turnKey}/${claimIndex ?? ""}/${id}`)}"]`;

/** The panel takes room beside the answer: the lines move, the chip that was pressed stays in sight. */
function keepInView(turnKey, claimIndex, id) {
  if (turnKey === undefined || narrow.matches) return;
  requestAnimationFrame(() => requestAnimationFrame(() => root.querySelector(chipName(turnKey, claimIndex, id))?.scrollIntoView({ block: "nearest" })));
}

function closeSource({ keepUrl = false } = {}) {
  const { panel } = state;
  if (panel === null) return;
  loading += 1;
  if (!keepUrl) history.replaceState(null, "", `/${location.search}`);
  set({ panel: null });
  const back = opener;
  opener = null;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const chip = root.querySelector(chipName(panel.turnKey, panel.claimIndex, panel.id));
    const target = chip ?? (back?.isConnected && back !== document.body ? back : document.getElementById("question-box"));
    target.focus();
  }));
}

function sourceInUrl() {
  const found = /^#source=(.+)$/.exec(location.hash)?.[1] ?? /^\/sources\/([^/]+)$/.exec(location.pathname)?.[1];
  try {
    return found ? decodeURIComponent(found) : null;
  } catch {
    return null;
  }
}

function followUrl() {
  const id = sourceInUrl();
  if (id === null) closeSource({ keepUrl: true });
  else if (state.panel?.id !== id) openSource(id, { push: false });
}

async function refresh() {
  try {
    const collections = await api.collections();
    set({ collections });
    const { collection } = state;
    const filled = collections.some(({ name, documents }) => name === collection && documents > 0);
    if (filled && (await api.titles(collection)).includes(T.manual)) set({ manualIn: collection });
  } catch {
    // asking says what is wrong
  }
}

async function checkHealth(also = []) {
  const unwell = await api.unwell();
  set({ unwell, degraded: merge(unwell, also) });
}

const THEMES = ["auto", "light", "dark"];
const focusBox = () => document.getElementById("question-box")?.focus();

const act = {
  ask: (text) => ask(text),
  again: (turn) => ask(turn.question, state.turns.slice(0, state.turns.indexOf(turn))),
  stop,
  openSource,
  closeSource: () => closeSource(),
  wholeSource: () => set({ panel: { ...state.panel, whole: true } }),
  edit: (text) => set({ draft: { text } }),
  choose(collection) {
    const url = new URL(location.href);
    if (collection === "default") url.searchParams.delete("collection");
    else url.searchParams.set("collection", collection);
    history.replaceState(null, "", url);
    set({ collection });
    refresh();
  },
  refresh,
  useKey(key, turn) {
    api.setKey(key);
    refresh();
    act.again(turn);
  },
  theme() {
    const theme = THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length];
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("grounded.theme", theme);
    } catch {
      // for this visit only
    }
    set({ theme });
  },
  help: (help) => set({ help }),
  skip(event) {
    event.preventDefault();
    focusBox();
  },
};

// ---- keys, address, size

const isWriting = (node) => node?.closest?.("input, textarea, select, [contenteditable]") != null;

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
  if (root.querySelector("dialog[open]")) return; // it closes itself
  if (event.key === "Escape") {
    if (state.panel !== null) closeSource();
    else if (state.running !== null) stop();
    else return;
    event.preventDefault();
  } else if (!isWriting(event.target) && (event.key === "/" || event.key === "?")) {
    event.preventDefault();
    if (event.key === "?") set({ help: true });
    else if (!(state.panel !== null && state.narrow)) focusBox();
  }
});
addEventListener("popstate", followUrl);
narrow.addEventListener("change", () => set({ narrow: narrow.matches }));

draw();
refresh();
checkHealth();
followUrl();
if (matchMedia("(hover: hover)").matches && state.panel === null) focusBox();
