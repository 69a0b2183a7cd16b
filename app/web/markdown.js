/**
 * Hostile model text to harmless DOM: marked with raw HTML off, then DOMPurify with a short list of tags, as a fragment
 * that the view turns into its own nodes.
 *
 * Private-use code points mark where a sentence begins and ends; the view finds them again in the text nodes. A mark
 * that Markdown swallows costs the underline, never the text.
 */

import { toUnits } from "./codepoints.js";
import { Marked } from "./vendor/marked.esm.js";
import "./vendor/purify.min.js";

const purify = globalThis.DOMPurify;

const BEGIN = 0xf0000;
const END = 0x100000;
const NOTE = 0xe000;
const SPAN = 0xf000; // this many sentences, and as many notes in U+E000..U+F8FF
const NOTES = 0x1900;
const PRIVATE = /[\ue000-\uf8ff]|[\u{f0000}-\u{10ffff}]/gu;

/** What a mark says, `{kind: "begin" | "end" | "note", index}`, or null for any other character. */
export function readMark(char) {
  const code = char.codePointAt(0);
  if (code >= END && code < END + SPAN) return { kind: "end", index: code - END };
  if (code >= BEGIN && code < BEGIN + SPAN) return { kind: "begin", index: code - BEGIN };
  if (code >= NOTE && code < NOTE + NOTES) return { kind: "note", index: code - NOTE };
  return null;
}

export const MARK = /([\ue000-\uf8ff]|[\u{f0000}-\u{10ffff}])/u;
export const stripMarks = (text) => text.replace(PRIVATE, "");

const BLOCK_START = /(?:[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])|#{1,6}(?=[ \t])|\|)[ \t]*)+(?:\[[ xX]\][ \t]+)?/y;
const DELIMITER_ROW = /[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t:|-]*)?\n/y;
const FENCE_START = /[ \t]*(?:`{3,}|~{3,})[^\n]*\n/y;
const INLINE_START = /(?:\*{1,3}|_{1,3}|~~)(?=[^\s*_~])/y;

function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}

/** A sentence's first character that Markdown shows: behind list signs, heading signs and opening emphasis. */
function beginsAt(text, start, end) {
  let at = start;
  while (at < end && /\s/.test(text[at])) at += 1;
  for (let guard = 0; guard < 8; guard += 1) {
    const lineStart = text.lastIndexOf("\n", at - 1) + 1;
    let step = 0;
    if (/^[\s>|]*$/.test(text.slice(lineStart, at))) {
      step = matchAt(FENCE_START, text, at) || matchAt(DELIMITER_ROW, text, at) || matchAt(BLOCK_START, text, at);
    }
    step ||= matchAt(INLINE_START, text, at);
    if (step === 0) break;
    at += step;
  }
  return at;
}

/** Behind its last character that Markdown shows: before closing emphasis, a closing fence or the end of a table row. */
function endsAt(text, start, end) {
  let at = end;
  for (let guard = 0; guard < 8; guard += 1) {
    const before = at;
    while (at > start && /\s/.test(text[at - 1])) at -= 1;
    const tail = /(?:\n[ \t]*(?:`{3,}|~{3,})|[*_~]+|\|)$/.exec(text.slice(Math.max(start, at - 200), at))?.[0].length ?? 0;
    if (tail > 0 && text[at - tail - 1] !== "\\") at -= tail;
    if (at === before) break;
  }
  return at;
}

/** The Markdown text with the marks of its sentences and withdrawals in it. Offsets are code points. */
export function annotate(text, claims, notes) {
  const clean = text.replace(PRIVATE, "\ufffd"); // whole code points: no offset moves in code points
  const offsets = [...new Set([...claims.flatMap((c) => [c.start, c.end]), ...notes.map((n) => n.at)])].sort((a, b) => a - b);
  const positions = toUnits(clean, offsets);
  const unit = new Map(offsets.map((offset, i) => [offset, positions[i]]));
  const marks = [];
  claims.forEach((claim, i) => {
    const from = unit.get(claim.start);
    const to = unit.get(claim.end);
    if (i >= SPAN || from < 0 || to < 0 || to <= from) return;
    const begin = beginsAt(clean, from, to);
    const end = endsAt(clean, begin, to);
    if (end <= begin) return;
    marks.push([begin, 2, String.fromCodePoint(BEGIN + i)], [end, 0, String.fromCodePoint(END + i)]);
  });
  notes.forEach((note, i) => {
    const at = unit.get(note.at);
    if (i < NOTES) marks.push([at < 0 ? clean.length : at, 1, String.fromCodePoint(NOTE + i)]);
  });
  marks.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let out = "";
  let last = 0;
  for (const [at, , mark] of marks) {
    out += clean.slice(last, at) + mark;
    last = at;
  }
  return out + clean.slice(last);
}

const FENCE_LINE = /^[ \t]{0,3}(`{3,}|~{3,})/;
const ONLY_SIGNS = /^[ \t>]*(?:[-+=*_~`#|: \t]+|\d{1,9}[.)]?[ \t]*)$/;
const LONGEST_HOLD = 200;

/**
 * The text so far with its last construct closed or held back, so that a half-sent one is never shown as signs.
 * Answers `{text, closing}`: a prefix of the input (offsets stay right) and what to write behind it.
 */
export function settle(text) {
  let fence = null;
  for (const line of text.split("\n")) {
    const sign = FENCE_LINE.exec(line)?.[1];
    if (!sign) continue;
    if (fence === null) fence = sign;
    else if (sign[0] === fence[0] && sign.length >= fence.length) fence = null;
  }
  if (fence !== null) {
    const cut = /\n[ \t]*(?:`+|~+)$/.exec(text);
    return { text: cut ? text.slice(0, cut.index + 1) : text, closing: "" };
  }

  let body = text;
  const lineStart = body.lastIndexOf("\n") + 1;
  if (ONLY_SIGNS.test(body.slice(lineStart)) && body.slice(lineStart).trim() !== "") body = body.slice(0, lineStart);

  const lines = body.split("\n");
  let first = lines.length;
  if (lines[first - 1] === "") first -= 1; // the open line
  const tableEnd = first;
  while (first > 0 && /^[ \t]*\|/.test(lines[first - 1])) first -= 1;
  if (first < tableEnd && !(tableEnd - first >= 2 && /^[ \t]*\|?[ \t:|-]*-[ \t:|-]*$/.test(lines[first + 1]))) {
    body = lines.slice(0, first).join("\n") + (first > 0 ? "\n" : "");
  }

  const item = body.search(/(?:^|\n)[ \t>]*(?:[-+*]|\d{1,9}[.)]|#{1,6})[ \t][^\n]*$/);
  return closeInline(body, Math.max(body.lastIndexOf("\n\n"), item, 0));
}

function closeInline(body, from) {
  const held = /(?:[*_~`!\\]+|<[a-zA-Z/!][^\s>]{0,200}|&[#a-zA-Z0-9]{0,12})$/.exec(body.slice(from));
  if (held) body = body.slice(0, from + held.index);
  const open = [];
  for (let i = from; i < body.length; i += 1) {
    const char = body[i];
    if (char === "\\") {
      i += 1;
    } else if (char === "`") {
      const run = /^`+/.exec(body.slice(i))[0];
      let close = i + run.length;
      for (;;) {
        close = body.indexOf(run, close);
        if (close < 0 || (body[close - 1] !== "`" && body[close + run.length] !== "`")) break;
        close += 1;
      }
      if (close < 0) return { text: body, closing: run + closers(open) };
      i = close + run.length - 1;
    } else if (char === "[") {
      const link = /^\[[^\]]*(?:\](?:\([^)]*)?)?$/.exec(body.slice(i, i + LONGEST_HOLD + 1));
      if (link && link[0].length < LONGEST_HOLD && !/^\[[^\]]*\]$/.test(link[0])) {
        return finish(body.slice(0, body[i - 1] === "!" ? i - 1 : i), open);
      }
    } else if (char === "*" || char === "_" || (char === "~" && body[i + 1] === "~")) {
      const run = /^(?:\*+|_+|~~)/.exec(body.slice(i))[0];
      const before = body[i - 1] ?? " ";
      const after = body[i + run.length] ?? " ";
      const top = open[open.length - 1];
      if (top === run && !/\s/.test(before)) open.pop();
      else if (top?.[0] === char && run.length > 3) open.pop();
      else if (!/\s/.test(after) && run.length <= 3 && (char !== "_" || /[\s\p{P}]/u.test(before))) open.push(run);
      i += run.length - 1;
    }
  }
  return finish(body, open);
}

const closers = (open) => open.reduceRight((out, run) => out + run, "");

function finish(body, open) {
  return open.length ? { text: body.trimEnd(), closing: closers(open) } : { text: body, closing: "" };
}

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The source id that a link of the model leads to, if it is one of `sources`; else null. */
export function sourceOfLink(href, sources, origin) {
  for (const source of sources) if (source.url && source.url === href) return source.id;
  try {
    const url = new URL(href, origin);
    if (url.origin !== origin) return null;
    const id = /^\/sources\/([^/]+)$/.exec(url.pathname)?.[1] ?? (url.pathname === "/" && /^#source=(.+)$/.exec(url.hash)?.[1]);
    if (!id) return null;
    const name = decodeURIComponent(id);
    return sources.some((source) => source.id === name) ? name : null;
  } catch {
    return null;
  }
}

const off = () => undefined;
let linkTarget = () => null; // of the answer that is being rendered; set by blocks()
let outline = []; // depths of the headings above the one being rendered; set by blocks()

const marked = new Marked({
  gfm: true,
  tokenizer: { html: off, tag: off },
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ text }) => escape(text),
    checkbox: ({ checked }) => (checked ? "\u2611 " : "\u2610 "),
    heading({ tokens, depth }) {
      while (outline.length > 0 && outline[outline.length - 1] >= depth) outline.pop();
      const level = Math.min(3 + outline.length, 6); // h1 is the page's, h2 the question's; no level is left out
      outline.push(depth);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    link({ href, tokens }) {
      const label = this.parser.parseInline(tokens);
      const id = linkTarget(stripMarks(href));
      return id === null ? label : `<a href="#source=${encodeURIComponent(id)}">${label}</a>`;
    },
  },
});

export const TAGS = [
  "p", "br", "hr", "em", "strong", "del", "code", "pre", "ul", "ol", "li", "blockquote", "a",
  "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
];
const RULES = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^#source=[\w.~%-]+$/,
  RETURN_DOM_FRAGMENT: true,
};

/**
 * The top-level blocks of marked-up text, each `{html, fragment()}`; `html` names the block, the sanitised fragment is
 * made on demand so that blocks which did not change cost no sanitising.
 */
export function blocks(text, sources, origin) {
  linkTarget = (href) => sourceOfLink(href, sources, origin);
  outline = [];
  return marked
    .lexer(text)
    .filter((token) => token.type !== "space" && token.type !== "def")
    .map((token) => {
      const html = marked.parser([token]);
      return { html, fragment: () => purify.sanitize(html, RULES) };
    });
}
