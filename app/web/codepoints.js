/**
 * Offsets on the wire count code points, JavaScript strings count UTF-16 units. This is the one place that turns one
 * into the other, as `Array.from(text)` would, and that places passages by them.
 */

const isPair = (text, i) => text.codePointAt(i) > 0xffff;

/** The UTF-16 position of each code-point offset; `offsets` ascending. An offset past the end becomes -1. */
export function toUnits(text, offsets) {
  const units = [];
  let unit = 0;
  let point = 0;
  for (const offset of offsets) {
    while (point < offset && unit < text.length) {
      unit += isPair(text, unit) ? 2 : 1;
      point += 1;
    }
    units.push(point === offset ? unit : -1);
  }
  return units;
}

/** How many code points `text` has. */
export const count = (text) => Array.from(text).length;

/** `text[start:end]` in code points, or null where the text is too short for it. */
export function slice(text, start, end) {
  if (!(start >= 0 && end >= start)) return null;
  const [from, to] = toUnits(text, [start, end]);
  return from < 0 || to < 0 ? null : text.slice(from, to);
}

// ---- a passage and its quotes in a document

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
