/**
 * Offsets on the wire count Unicode code points; JavaScript strings count UTF-16 units. This is the one place that
 * turns one into the other, with the meaning of `Array.from(text)` and without building that array.
 */

const isPair = (text, i) => {
  const high = text.charCodeAt(i);
  if (high < 0xd800 || high > 0xdbff) return false;
  const low = text.charCodeAt(i + 1);
  return low >= 0xdc00 && low <= 0xdfff;
};

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
export function count(text) {
  let points = 0;
  for (let unit = 0; unit < text.length; unit += isPair(text, unit) ? 2 : 1) points += 1;
  return points;
}

/** `text[start:end]` in code points, or null where the text is too short for it. */
export function slice(text, start, end) {
  if (!(start >= 0 && end >= start)) return null;
  const [from, to] = toUnits(text, [start, end]);
  return from < 0 || to < 0 ? null : text.slice(from, to);
}
