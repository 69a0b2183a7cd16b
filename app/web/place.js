/** Where a passage and its quotes stand in a document. A wrong mark is worse than none: what differs is not marked. */

import { slice, toUnits } from "./codepoints.js";

const AROUND = 20000; // characters shown on each side of the passage until the whole document is asked for

/**
 * `{placed, parts, cut}`; parts are `{kind: "text" | "passage" | "mark", text}` in order. `placed` is false where the
 * document's text is not what the answer quoted: then the passage alone is given, without a mark.
 */
export function place(documentText, source, quotes, whole = false) {
  const fallback = { placed: false, parts: [{ kind: "passage", text: source.text ?? "" }], cut: false };
  if (documentText === null) return fallback;
  const passageFits = typeof source.text === "string" && slice(documentText, source.start, source.end) === source.text;
  if (typeof source.text === "string" && !passageFits) return fallback;
  for (const quote of quotes) {
    if (slice(documentText, quote.start, quote.end) !== quote.cited_text) return fallback;
  }
  if (!passageFits && quotes.length === 0) return fallback;

  const edges = [...new Set([source.start, source.end, ...quotes.flatMap((q) => [q.start, q.end])])].sort((a, b) => a - b);
  const positions = toUnits(documentText, edges);
  const unit = new Map(edges.map((edge, i) => [edge, positions[i]]));
  const within = (from, to, edge) => unit.get(edge.start) <= from && to <= unit.get(edge.end);

  const cuts = edges.map((edge) => unit.get(edge)).filter((at) => at >= 0);
  const low = whole ? 0 : nearLine(documentText, Math.max(0, cuts[0] - AROUND), cuts[0]);
  const high = whole ? documentText.length : nearLine(documentText, cuts[cuts.length - 1] + AROUND, documentText.length);
  const bounds = [low, ...cuts, high];
  const parts = [];
  for (let i = 0; i + 1 < bounds.length; i += 1) {
    const [from, to] = [bounds[i], bounds[i + 1]];
    if (from === to) continue;
    let kind = passageFits && within(from, to, source) ? "passage" : "text";
    if (quotes.some((quote) => within(from, to, quote))) kind = "mark";
    const previous = parts[parts.length - 1];
    const text = documentText.slice(from, to);
    if (previous?.kind === kind) previous.text += text;
    else parts.push({ kind, text });
  }
  return { placed: true, parts, cut: low > 0 || high < documentText.length };
}

/** A cut at a line's start, where there is one near; never inside a surrogate pair. */
function nearLine(text, at, limit) {
  if (at <= 0) return 0;
  if (at >= text.length) return text.length;
  const line = text.indexOf("\n", at);
  return line >= 0 && line < limit ? line + 1 : limit;
}
