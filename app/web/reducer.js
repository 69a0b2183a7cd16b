/**
 * The answer as it stands, a pure fold of the native events. `local.*` actions are what only the page can know: that the
 * reader stopped it, that the connection broke, that the request was refused before a stream began.
 *
 * phase: asking (nothing heard yet) -> open (events come) -> ended
 * ending: done | stopped | lost | refused, null until then
 */

import { count, slice } from "./codepoints.js";

export const NEW = Object.freeze({
  phase: "asking",
  ending: null,
  start: null,
  stage: null,
  stageDetail: null,
  sources: [],
  text: "",
  claims: [], // ascending by start
  notes: [], // {at, reason}: where words were withdrawn, in code points of `text`
  error: null,
  done: null,
});

/** The events of the native wire; anything else is from a newer service and passed over. */
const HANDLERS = {
  start: (state, event) => ({ ...state, start: event }),
  status: (state, event) => ({ ...state, stage: event.stage, stageDetail: event.detail ?? null }),
  sources: (state, event) => ({ ...state, sources: event.sources ?? [] }),
  delta: (state, event) => ({ ...state, text: state.text + (event.text ?? "") }),
  claim: addClaim,
  retract,
  error: (state, event) => ({ ...state, error: event.error ?? {} }),
  done: (state, event) => ({ ...state, phase: "ended", ending: "done", stage: null, done: event }),
};

const LOCAL = {
  "local.stopped": (state) => ({ ...state, phase: "ended", ending: "stopped", stage: null }),
  "local.lost": (state) => ({ ...state, phase: "ended", ending: "lost", stage: null }),
  "local.refused": (state, event) => ({
    ...state, phase: "ended", ending: "refused", stage: null, error: event.error ?? {},
  }),
};

export function reduce(state, event) {
  if (state.phase === "ended") return state;
  if (Object.hasOwn(LOCAL, event.type)) return LOCAL[event.type](state, event);
  if (!Object.hasOwn(HANDLERS, event.type)) return state;
  const next = HANDLERS[event.type](state, event);
  return next.phase === "asking" ? { ...next, phase: "open" } : next;
}

/** A data line of the stream as an event, or null where it is none of ours. */
export function fromWire({ data }) {
  try {
    const event = JSON.parse(data);
    return typeof event === "object" && event !== null && Object.hasOwn(HANDLERS, event.type) ? event : null;
  } catch {
    return null;
  }
}

export const fold = (events) => events.reduce(reduce, NEW);

function addClaim(state, event) {
  const known = new Set(state.sources.map((source) => source.id));
  const { type: _, ...claim } = event;
  claim.citations = (event.citations ?? []).filter((citation) => known.has(citation.source));
  if (event.contradicted) claim.status = "contradicted"; // here it is a state of its own
  const claims = state.claims.filter((other) => other.index !== claim.index);
  claims.push(claim);
  claims.sort((a, b) => a.start - b.start || a.index - b.index);
  return { ...state, claims };
}

function retract(state, event) {
  const { start, end, reason } = event;
  const replacement = event.replacement ?? "";
  const head = slice(state.text, 0, start);
  const gone = slice(state.text, start, end);
  if (head === null || gone === null) return state; // not offsets of this text: nothing is guessed
  const text = head + replacement + state.text.slice(head.length + gone.length);
  const shift = count(replacement) - (end - start);
  const claims = [];
  for (const claim of reason === "restart" ? [] : state.claims) {
    if (claim.end <= start) claims.push(claim);
    else if (claim.start >= end) claims.push({ ...claim, start: claim.start + shift, end: claim.end + shift });
  }
  const notes = [];
  for (const note of reason === "restart" ? [] : state.notes) {
    if (note.at < start) notes.push(note);
    else if (note.at > end) notes.push({ ...note, at: note.at + shift });
  }
  notes.push({ at: start, reason });
  notes.sort((a, b) => a.at - b.at);
  return { ...state, text, claims, notes };
}

/** What the end of an answer says in one line, as numbers: sentences, of those supported, sources cited. */
export function tally(answer) {
  const byStatus = {};
  const cited = new Set();
  let sentences = 0;
  for (const claim of answer.claims) {
    for (const citation of claim.citations) cited.add(citation.source);
    sentences += 1;
    if (claim.status === "unchecked" && claim.check_required === false) continue; // asserts nothing
    byStatus[claim.status] = (byStatus[claim.status] ?? 0) + 1;
  }
  return { sentences, supported: byStatus.supported ?? 0, sources: cited.size, byStatus };
}
