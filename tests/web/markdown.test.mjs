import assert from "node:assert/strict";
import { test } from "node:test";

import { annotate, blocks, readMark, settle, sourceOfLink, stripMarks } from "../../app/web/markdown.js";
import { place } from "../../app/web/codepoints.js";

const ORIGIN = "http://localhost:8080";
const html = (text, sources = []) => blocks(text, sources, ORIGIN).map((block) => block.html).join("");
const claimOf = (text, sentence, index = 0) => {
  const start = Array.from(text.slice(0, text.indexOf(sentence))).length;
  return { index, start, end: start + Array.from(sentence).length };
};
/** The rendered HTML with sentences shown as ‹…›. */
const shown = (text, ...sentences) =>
  html(annotate(text, sentences.map((s, i) => claimOf(text, s, i)), []))
    .replace(/[\u{f0000}-\u{10ffff}]/gu, (c) => (readMark(c).kind === "begin" ? "‹" : "›"))
    .replaceAll("\n", "");

test("marks leave Markdown as it was", () => {
  assert.equal(shown("A. **Bold b.** C.", "A.", "**Bold b.**", "C."), "<p>‹A.› <strong>‹Bold b.›</strong> ‹C.›</p>");
  assert.equal(shown("See _it._ Yes.", "See _it._", "Yes."), "<p>‹See <em>it.›</em> ‹Yes.›</p>");
  assert.equal(shown("- One.\n- Two.", "- One.", "Two."), "<ul><li>‹One.›</li><li>‹Two.›</li></ul>");
  assert.equal(shown("1. One.\n2. Two.", "1. One.\n2. Two."), "<ol><li>‹One.</li><li>Two.›</li></ol>");
  assert.equal(shown("# Head\n\nText.", "# Head", "Text."), "<h3>‹Head›</h3><p>‹Text.›</p>");
  assert.equal(shown("> Said.", "> Said."), "<blockquote><p>‹Said.›</p></blockquote>");
  assert.equal(shown("Run:\n```sh\nls -l\n```", "Run:", "```sh\nls -l\n```"), '<p>‹Run:›</p><pre><code class="language-sh">‹ls -l›</code></pre>');
  assert.match(shown("| a | b |\n|---|---|\n| c | d |", "| a | b |\n|---|---|\n| c | d |"), /<th>‹a<\/th>.*<td>d›<\/td>/);
  assert.equal(shown("Use `x`.", "Use `x`."), "<p>‹Use <code>x</code>.›</p>");
});

test("headings leave out no level, whatever the model begins with", () => {
  const levels = html("### A\n\n##### B\n\n## C\n\n### D\n\n# E").match(/<h\d/g).join();
  assert.equal(levels, "<h3,<h4,<h3,<h4,<h3");
});

test("marks count code points", () => {
  assert.equal(shown("\ud83d\ude00 A. B\u0301.", "B\u0301."), "<p>\ud83d\ude00 A. ‹B\u0301.›</p>");
});

test("a model cannot forge a mark", () => {
  const text = `A${String.fromCodePoint(0xf0000)}b\ue000c. D.`;
  assert.equal(shown(text, "D."), "<p>A\ufffdb\ufffdc. ‹D.›</p>");
  assert.equal(stripMarks("\u{100001}x\ue001"), "x");
});

test("offsets outside the text give no mark", () => {
  assert.equal(annotate("ab", [{ start: 0, end: 9 }, { start: 2, end: 1 }], []), "ab");
});

test("raw HTML is text", () => {
  assert.equal(html("<b>x</b>"), "<p>&lt;b&gt;x&lt;/b&gt;</p>\n");
  assert.doesNotMatch(html("<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<!-- x --><style>*{}</style>"), /<(?!\/?p>)/);
});

const SOURCES = [{ id: "s-1", url: "https://docs.example/sources/s-1#page=2" }];

test("a link leads to a source of this answer or it is text", () => {
  const out = '<p><a href="#source=s-1">here</a></p>\n';
  assert.equal(html("[here](/sources/s-1)", SOURCES), out);
  assert.equal(html("[here](#source=s-1)", SOURCES), out);
  assert.equal(html("[here][1]\n\n[1]: /sources/s-1#page=2", SOURCES), out);
  assert.equal(html("[here](https://docs.example/sources/s-1#page=2)", SOURCES), out);
  for (const hostile of [
    "[x](https://evil.example/?q=1)", "[x](//evil.example)", "[x](javascript:alert(1))", "[x](&#106;avascript:alert&#40;1&#41;)",
    "[x](data:text/html,1)", "[x][1]\n\n[1]: https://evil.example 'title'", "<https://evil.example>", "https://evil.example/a",
    "www.evil.example", "a@evil.example", "![x](https://evil.example/i.png)", "![x][1]\n\n[1]: https://evil.example/i.png",
    "[x](/sources/other)", "[x](/sources/s-1/../../v1/x)", "[![x](https://evil.example/i.png)](https://evil.example)",
    "[x](/sources/%73-2)", "[^1]\n\n[^1]: https://evil.example", "[x](https://evil.example/sources/s-1)", "[x](\\\\evil.example)",
  ]) {
    assert.doesNotMatch(html(hostile, SOURCES), /<a|<img|href|src=/, hostile);
  }
  assert.equal(sourceOfLink("/sources/s%2D1", SOURCES, ORIGIN), "s-1");
  assert.equal(sourceOfLink("/sources/%", SOURCES, ORIGIN), null);
});

const STREAMED = `Intro with **bold words**, _soft_ ones, \`code\` and ~~old~~ text & more.

## A heading

- first *item*
- second [link](/sources/s-1) item
1. number

| name | value |
|------|-------|
| a    | **1** |

\`\`\`py
x = [1, 2] ** 2
\`\`\`

> quoted **strong**

Last 2 * 3 = 6, snake_case_name and a[i] stay.`;

test("no prefix of a running stream shows raw signs of a half-open construct", () => {
  const plain = (markup) => markup.replace(/<pre>[\s\S]*?<\/pre>/g, "").replace(/<[^>]*>/g, "").replace(/&#39;|&quot;|&amp;|&lt;|&gt;/g, "&");
  for (let at = 1; at <= STREAMED.length; at += 1) {
    const { text, closing } = settle(STREAMED.slice(0, at));
    assert.ok(STREAMED.startsWith(text), `a prefix at ${at}`);
    const out = plain(html(text + closing, SOURCES));
    assert.doesNotMatch(out, /\*\*|~~|`|\]\(|\|/, `at ${at}: ${JSON.stringify(STREAMED.slice(Math.max(0, at - 30), at))}`);
    assert.doesNotMatch(out.replace(/2 \*/, ""), /\*/, `at ${at}`);
    assert.doesNotMatch(html(text + closing), /<h[^3r]|<h3>(?!A)/, `no heading by accident at ${at}`);
  }
});

test("what is already shown in a running stream is not taken back", () => {
  const words = (markup) => markup.replace(/<[^>]*>/g, "").replace(/\s+/g, "");
  let longest = "";
  for (let at = 1; at <= STREAMED.length; at += 1) {
    const { text, closing } = settle(STREAMED.slice(0, at));
    const now = words(html(text + closing, SOURCES));
    assert.ok(now.length + 12 >= longest.length, `at ${at}: ${longest.slice(-40)} -> ${now.slice(-40)}`);
    if (now.length > longest.length) longest = now;
  }
});

test("a passage is placed only where the text is the same", () => {
  const doc = "\ud83d\ude00 Title\n\nFirst e\u0301. The answer is 42. Last \u05e9.\n\nEnd";
  const points = Array.from(doc);
  const at = (needle) => Array.from(doc.slice(0, doc.indexOf(needle))).length;
  const source = { start: at("First"), end: at("\n\nEnd"), text: points.slice(at("First"), at("\n\nEnd")).join("") };
  const quote = { start: at("The"), end: at("The") + 17, cited_text: "The answer is 42." };
  const view = place(doc, source, [quote]);
  assert.equal(view.placed, true);
  assert.deepEqual(view.parts.map((p) => p.kind), ["text", "passage", "mark", "passage", "text"]);
  assert.equal(view.parts[2].text, quote.cited_text);
  assert.equal(view.parts.map((p) => p.text).join(""), doc);

  for (const [text, quotes] of [[doc.replace("First", "Firsts"), [quote]], [doc, [{ ...quote, start: quote.start + 1 }]], [null, [quote]]]) {
    assert.deepEqual(place(text, source, quotes), { placed: false, parts: [{ kind: "passage", text: source.text }], cut: false });
  }
});

test("a long document is shown around its passage, whole on request", () => {
  const doc = `${"line of text\n".repeat(5000)}PASSAGE\n${"line of text\n".repeat(5000)}`;
  const start = 13 * 5000;
  const source = { start, end: start + 7, text: "PASSAGE" };
  const view = place(doc, source, []);
  assert.equal(view.cut, true);
  assert.ok(view.parts.map((p) => p.text).join("").length < 50000);
  assert.equal(place(doc, source, [], true).parts.map((p) => p.text).join(""), doc);
});
