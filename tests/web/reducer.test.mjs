import assert from "node:assert/strict";
import { test } from "node:test";

import { count, slice, toUnits } from "../../app/web/codepoints.js";
import { NEW, fold, fromWire, reduce, tally } from "../../app/web/reducer.js";

const source = (id, n = 1) => ({ id, n, filename: "asking.md" });
const delta = (text) => ({ type: "delta", text });
const claim = (index, start, end, more = {}) => ({
  type: "claim", index, start, end, text: "", status: "supported", score: 0.9, check_required: true, citations: [], ...more,
});
const cite = (id) => ({ source: id, start: 0, end: 1, cited_text: "x", page: null });
const done = (more = {}) => ({ type: "done", finish_reason: "stop", degraded: [], ...more });
const opened = [{ type: "start", answer_id: "ans_1" }, { type: "sources", sources: [source("a"), source("b", 2)] }];

const deepFreeze = (value) => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
};

test("a plain answer", () => {
  const state = fold([
    ...opened, { type: "status", stage: "generating", ms: 12 }, delta("One."), claim(0, 0, 4, { citations: [cite("a")] }),
    delta(" Two."), claim(1, 5, 9, { citations: [cite("b"), cite("a")] }), done({ cost_usd: 0 }),
  ]);
  assert.equal(state.phase, "ended");
  assert.equal(state.ending, "done");
  assert.equal(state.text, "One. Two.");
  assert.deepEqual(state.claims.map((c) => c.index), [0, 1]);
  assert.equal(state.done.cost_usd, 0);
  assert.deepEqual(tally(state), { sentences: 2, supported: 2, sources: 2, byStatus: { supported: 2 } });
});

test("a sentence that its source contradicts is told apart from one that it does not carry", () => {
  const state = fold([
    ...opened, delta("One. Two."), claim(0, 0, 4, { status: "unsupported", contradicted: true }),
    claim(1, 5, 9, { status: "unsupported", contradicted: false }), done(),
  ]);
  assert.deepEqual(state.claims.map((c) => c.status), ["contradicted", "unsupported"]);
  assert.deepEqual(tally(state).byStatus, { contradicted: 1, unsupported: 1 });
});

test("phases: asking until the first event, then open, with the stage of status", () => {
  assert.equal(NEW.phase, "asking");
  const state = fold([{ type: "status", stage: "queued" }]);
  assert.equal(state.phase, "open");
  assert.equal(state.stage, "queued");
  assert.equal(reduce(state, done()).stage, null);
});

test("it is pure: no event changes the state it was given", () => {
  let state = deepFreeze(structuredClone({ ...NEW }));
  const events = [
    ...opened, delta("Hello there. Bad. Good."), claim(0, 0, 12), claim(1, 13, 17), claim(2, 18, 23),
    claim(1, 13, 17, { status: "partial" }), { type: "retract", start: 13, end: 18, reason: "policy" }, done(),
  ];
  for (const event of events) state = deepFreeze(reduce(state, deepFreeze(event)));
  assert.equal(state.text, "Hello there. Good.");
});

test("a later claim with the same index replaces the earlier", () => {
  const state = fold([...opened, delta("One. Two."), claim(0, 0, 4), claim(1, 5, 9), claim(0, 0, 4, { status: "partial" })]);
  assert.deepEqual(state.claims.map((c) => [c.index, c.status]), [[0, "partial"], [1, "supported"]]);
});

test("a citation of a source that this answer does not have does not exist", () => {
  const state = fold([...opened, delta("One."), claim(0, 0, 4, { citations: [cite("a"), cite("forged")] })]);
  assert.deepEqual(state.claims[0].citations.map((c) => c.source), ["a"]);
});

test("retract: offsets are code points, what lies behind shifts, what touches is dropped", () => {
  const text = "\ud83d\ude00 A. Bad \ud83d\udc69\u200d\ud83d\udcbb one. C.";
  const points = Array.from(text);
  const start = points.indexOf("B");
  const end = points.indexOf("C");
  const state = fold([
    ...opened, delta(text), claim(0, 2, 4), claim(1, start, end - 1), claim(2, end, end + 2),
    { type: "retract", start, end, reason: "pii", replacement: "[\ud83d\udd12] " },
  ]);
  assert.equal(state.text, "\ud83d\ude00 A. [\ud83d\udd12] C.");
  assert.deepEqual(state.claims.map((c) => [c.index, slice(state.text, c.start, c.end)]), [[0, "A."], [2, "C."]]);
  assert.deepEqual(state.notes, [{ at: start, reason: "pii" }]);
});

test("retract: a second one counts in the text as it stands, and notes move along", () => {
  const state = fold([
    ...opened, delta("aa bb cc dd"), claim(0, 9, 11),
    { type: "retract", start: 6, end: 9, reason: "policy", replacement: "" },
    { type: "retract", start: 0, end: 3, reason: "unsafe_link", replacement: "x" },
  ]);
  assert.equal(state.text, "xbb dd");
  assert.deepEqual(state.claims.map((c) => slice(state.text, c.start, c.end)), ["dd"]);
  assert.deepEqual(state.notes, [{ at: 0, reason: "unsafe_link" }, { at: 4, reason: "policy" }]);
});

test("retract: an insertion drops only the claim it falls into", () => {
  const state = fold([
    ...opened, delta("ab cd"), claim(0, 0, 2), claim(1, 3, 5), { type: "retract", start: 3, end: 3, reason: "policy", replacement: "!" },
  ]);
  assert.deepEqual(state.claims.map((c) => [c.index, c.start]), [[0, 0], [1, 4]]);
  const inside = reduce(state, { type: "retract", start: 1, end: 1, reason: "policy", replacement: "-" });
  assert.deepEqual(inside.claims.map((c) => c.index), [1]);
});

test("retract beyond the text changes nothing", () => {
  const state = fold([...opened, delta("ab")]);
  assert.equal(reduce(state, { type: "retract", start: 1, end: 9, reason: "policy" }), state);
  assert.equal(reduce(state, { type: "retract", start: 2, end: 1, reason: "policy" }), state);
});

test("restart: all is withdrawn and indexes begin at 0 again", () => {
  const state = fold([
    ...opened, delta("Old words."), claim(0, 0, 10), { type: "retract", start: 0, end: 10, reason: "restart", replacement: "" },
    delta("New."), claim(0, 0, 4, { status: "partial" }), done(),
  ]);
  assert.equal(state.text, "New.");
  assert.deepEqual(state.claims.map((c) => [c.index, c.status]), [[0, "partial"]]);
  assert.deepEqual(state.notes, [{ at: 0, reason: "restart" }]);
});

test("error, then done: both are kept, what arrived stays", () => {
  const state = fold([...opened, delta("Half"), { type: "error", error: { code: "upstream_truncated" } }, done({ finish_reason: "error" })]);
  assert.equal(state.text, "Half");
  assert.equal(state.error.code, "upstream_truncated");
  assert.equal(state.done.finish_reason, "error");
});

test("nothing changes after the end, whoever ended it", () => {
  const ended = fold([...opened, delta("a"), done()]);
  assert.equal(reduce(ended, delta("b")), ended);
  assert.equal(reduce(ended, { type: "local.lost" }), ended);
  const stopped = reduce(fold([...opened, delta("a")]), { type: "local.stopped" });
  assert.equal(stopped.ending, "stopped");
  assert.equal(stopped.text, "a");
  assert.equal(reduce(stopped, done()), stopped);
  assert.equal(reduce(NEW, { type: "local.refused", error: { code: "rate_limited" } }).error.code, "rate_limited");
});

test("unknown events and foreign names are passed over", () => {
  const state = fold(opened);
  assert.equal(reduce(state, { type: "tomorrow" }), state);
  assert.equal(reduce(state, { type: "constructor" }), state);
  assert.equal(fromWire({ data: '{"type":"tomorrow"}' }), null);
  assert.equal(fromWire({ data: '{"type":"local.stopped"}' }), null, "the wire cannot speak for the page");
  assert.equal(fromWire({ data: "null" }), null);
  assert.equal(fromWire({ data: "{" }), null);
  assert.deepEqual(fromWire({ data: '{"type":"delta","text":"x"}' }), delta("x"));
});

test("a sentence that asserts nothing is counted as a sentence only", () => {
  const state = fold([
    ...opened, delta("Hi. One. Two."), claim(0, 0, 3, { status: "unchecked", check_required: false }),
    claim(1, 4, 8, { status: "unchecked" }), claim(2, 9, 13, { status: "uncited" }),
  ]);
  assert.deepEqual(tally(state), { sentences: 3, supported: 0, sources: 0, byStatus: { unchecked: 1, uncited: 1 } });
});

test("code points mean what Array.from means, lone surrogates included", () => {
  for (const text of ["", "abc", "\ud83d\ude00a\ud83d", "\udc00\ud83d\ude00", "e\u0301\u05e9\ud83d\udc69\u200d\ud83d\udcbbz"]) {
    const points = Array.from(text);
    assert.equal(count(text), points.length);
    for (let start = 0; start <= points.length + 1; start += 1) {
      for (let end = start; end <= points.length + 1; end += 1) {
        const wanted = end <= points.length ? points.slice(start, end).join("") : null;
        assert.equal(slice(text, start, end), wanted);
      }
    }
  }
  assert.deepEqual(toUnits("\ud83d\ude00b", [0, 1, 2, 3]), [0, 2, 3, -1]);
  assert.equal(slice("ab", -1, 1), null);
});
