/** Parts of the view: icons and buttons, the answer's text with its marks, the answer as text for elsewhere. */

import { MARK, TAGS, annotate, blocks, readMark, settle } from "./markdown.js";
import { T } from "./texts.js";
import { Component, h, html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

const PATHS = {
  supported: "M3.5 8.5l3 3 6-7",
  partial: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  unsupported: "M4 4l8 8M12 4l-8 8",
  contradicted: "M3 6h10M3 10h10M10 3l-4 10",
  uncited: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  unchecked: "M5.2 5.6a2.8 2.8 0 1 1 3.7 2.7c-.6.2-.9.6-.9 1.3v.3M8 13v.1",
  send: "M8 13V3.5M4 7.2l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  keys: "M2 4.5h12v7H2zM4.5 7h.01M7 7h.01M9.5 7h.01M12 7h.01M5 9.5h6",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  again: "M12.5 5.5A5 5 0 1 0 13 8.5M12.8 2.5v3h-3",
  edit: "M3 13l.6-2.8 7-7 2.2 2.2-7 7z",
  page: "M4 2h5.5L12 4.5V14H4zM6 7h4M6 9.5h4",
};
const SOLID = new Set(["partial", "stop"]);

export function Icon({ name }) {
  const first = PATHS[name].split("z")[0];
  return html`<svg class="icon icon-${name}" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
    ${SOLID.has(name) && html`<path class="fill" d=${`${first}z`} />`}
  </svg>`;
}

/** `code` in interface texts. */
export const rich = (text) => text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));

export function CopyButton({ label, text, icon = "copy" }) {
  const [said, say] = useState(null);
  useEffect(() => {
    if (said === null) return undefined;
    const timer = setTimeout(() => say(null), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => say((await toClipboard(typeof text === "function" ? text() : text)) ? T.copied : T.copyFailed);
  return html`<button type="button" class="quiet" onClick=${copy}>
    <${Icon} name=${said === T.copied ? "supported" : icon} /><span aria-live="polite">${said ?? label}</span>
  </button>`;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = document.createElement("textarea"); // a page that is not served over TLS has no clipboard API
    box.value = text;
    box.className = "visually-hidden";
    document.body.append(box);
    box.select();
    const copied = document.execCommand("copy");
    box.remove();
    return copied;
  }
}

/** A link to a source: here it opens the panel, in a new tab the page of that source. */
export function SourceLink({ id, act, turnKey, children, class: name }) {
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button > 0) return;
    event.preventDefault();
    act.openSource(id, { turnKey });
  };
  return html`<a class=${name} href=${`/sources/${encodeURIComponent(id)}`} data-chip=${`${turnKey}//${id}`} onClick=${open}>${children}</a>`;
}

export const headingOf = (source) => (source.heading_path ?? []).join(" › ");

/** The sources that a sentence cites, each once, in order. */
const citedBy = (claim, sources) => {
  const ids = [...new Set(claim.citations.map((citation) => citation.source))];
  return ids.map((id) => ({ ...sources.find((s) => s.id === id), page: claim.citations.find((c) => c.source === id).page }));
};

function withSources(answer, link) {
  const points = Array.from(answer.text);
  const cited = [];
  let out = "";
  let last = 0;
  for (const claim of answer.claims) {
    const sources = citedBy(claim, answer.sources);
    const end = Math.min(claim.end, points.length);
    out += points.slice(last, end).join("");
    last = Math.max(last, end);
    for (const source of sources) {
      out += ` ${link(source)}`;
      if (!cited.some((other) => other.id === source.id)) cited.push(answer.sources.find((s) => s.id === source.id));
    }
  }
  out += points.slice(last).join("");
  return { out, cited: cited.sort((a, b) => a.n - b.n) };
}

const urlOf = (source) => new URL(`/sources/${encodeURIComponent(source.id)}`, location.origin).href;
const lineOf = (source) => [source.filename || T.untitled, headingOf(source), source.page ? T.page(source.page) : ""].filter(Boolean).join(", ");

export function asPlainWithSources(answer) {
  const { out, cited } = withSources(answer, (source) => `[${source.n}]`);
  return cited.length === 0 ? out : `${out}\n\n${T.copySourcesTitle}\n${cited.map((s) => `[${s.n}] ${lineOf(s)}`).join("\n")}\n`;
}

export function asMarkdown(answer) {
  const { out, cited } = withSources(answer, (source) => `[[${source.n}]](${urlOf(source)})`);
  return cited.length === 0 ? out : `${out}\n\n${cited.map((s) => `${s.n}. [${lineOf(s)}](${urlOf(s)})`).join("\n")}\n`;
}

// ---- the answer's text: Markdown blocks, sentences with their state, chips behind them

function Badge({ status, silent }) {
  return html`<span class="badge badge-${status}" title=${T.statusMeaning[status]}>
    <${Icon} name=${status} /><span class=${silent ? "visually-hidden" : ""}>${silent ? `(${T.status[status]})` : T.status[status]}</span>
  </span>`;
}

const assertsNothing = (claim) => claim.status === "unchecked" && claim.check_required === false;
const statusOf = (claim) => (claim.status in T.status ? claim.status : "unchecked");

function Chip({ source, claim, act, turnKey, open }) {
  const name = T.chip(source.n, source.filename || T.untitled, source.page);
  return html`<button type="button" class="chip" data-chip=${`${turnKey}/${claim?.index ?? ""}/${source.id}`} data-c=${claim?.index}
    aria-label=${name} title=${name} aria-expanded=${open ? "true" : "false"}
    onClick=${() => act.openSource(source.id, { turnKey, claimIndex: claim.index })}>${source.n}</button>`;
}

function marksOf(claim, ctx) {
  const cited = citedBy(claim, ctx.sources);
  if (assertsNothing(claim) && cited.length === 0) return null;
  const status = statusOf(claim);
  return html`<span class="marks" data-c=${claim.index}>
    <${Badge} status=${status} silent=${status === "supported"} />
    ${cited.map((source) => html`<${Chip} source=${source} claim=${claim} act=${ctx.act} turnKey=${ctx.turnKey}
      open=${ctx.active?.claimIndex === claim.index && ctx.active.id === source.id} />`)}
  </span>`;
}

const noteOf = (note) => html`<span class="withdrawn" dir="auto">${T.withdrawnNote(note.reason)}</span>`;

/** Sanitised DOM to the view's nodes: known tags and texts only, sentences wrapped, their marks behind them. */
function convert(parent, ctx) {
  const out = [];
  for (const node of parent.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      if (parent.nodeType !== Node.DOCUMENT_FRAGMENT_NODE || node.data.trim() !== "") pushText(out, node.data, ctx);
    } else if (node.nodeType === Node.ELEMENT_NODE) {
      const tag = node.localName;
      if (tag === "pre") {
        const outer = ctx.late;
        ctx.late = []; // chips do not stand inside a code block
        out.push(html`<pre tabindex="0">${convert(node, ctx)}</pre>`, ...ctx.late);
        ctx.late = outer;
      } else if (tag === "table") {
        out.push(html`<div class="table-scroll" tabindex="0" role="group"><table>${convert(node, ctx)}</table></div>`);
      } else if (tag === "a") {
        const id = decodeURIComponent(/^#source=(.+)$/.exec(node.getAttribute("href") ?? "")?.[1] ?? "");
        const known = ctx.sources.some((source) => source.id === id);
        const children = convert(node, ctx);
        out.push(known ? html`<${SourceLink} id=${id} act=${ctx.act} turnKey=${ctx.turnKey}>${children}<//>` : children);
      } else if (TAGS.includes(tag)) {
        const props = {};
        const start = Number(node.getAttribute("start"));
        if (tag === "ol" && Number.isInteger(start) && node.hasAttribute("start")) props.start = start;
        const align = node.getAttribute("align");
        if (align === "right" || align === "center") props.class = `align-${align}`;
        out.push(h(tag, props, convert(node, ctx)));
      } else {
        out.push(...convert(node, ctx));
      }
    }
  }
  return out;
}

function pushText(out, text, ctx) {
  for (const piece of text.split(MARK)) {
    if (piece === "") continue;
    const mark = readMark(piece);
    if (mark === null) {
      const claim = ctx.open === null ? null : ctx.claims[ctx.open];
      if (!claim || assertsNothing(claim) || piece.trim() === "") out.push(piece);
      else out.push(html`<span class="claim claim-${statusOf(claim)}" data-c=${claim.index}>${piece}</span>`);
    } else if (mark.kind === "begin") {
      ctx.open = mark.index;
    } else if (mark.kind === "end") {
      ctx.open = null;
      if (ctx.claims[mark.index]) (ctx.late ?? out).push(marksOf(ctx.claims[mark.index], ctx));
    } else if (ctx.notes[mark.index]) {
      (ctx.late ?? out).push(noteOf(ctx.notes[mark.index]));
    }
  }
}

/** One top-level block; rendered again only when its own HTML or its own sentences changed. */
class Block extends Component {
  shouldComponentUpdate(next) {
    return next.html !== this.props.html || next.sign !== this.props.sign;
  }

  render({ block, open, ctx }) {
    return convert(block.fragment(), { ...ctx, open, late: null });
  }
}

export function AnswerText({ turn, act, active }) {
  const { answer } = turn;
  const running = answer.phase !== "ended";
  const { text, closing } = running ? settle(answer.text) : { text: answer.text, closing: "" };
  const marked = annotate(text, answer.claims, answer.notes) + closing;
  const ctx = { ...answer, turnKey: turn.key, act, active };
  let open = null;
  return blocks(marked, answer.sources, location.origin).map((block) => {
    const before = open;
    const seen = before === null ? [] : [before];
    for (const char of block.html.match(new RegExp(MARK, "gu")) ?? []) {
      const mark = readMark(char);
      if (mark.kind === "begin") seen.push((open = mark.index));
      if (mark.kind === "end") open = null;
    }
    const sign = seen
      .map((i) => [i, answer.claims[i]?.status, answer.claims[i]?.citations.map((c) => c.source), active?.claimIndex === answer.claims[i]?.index && active.id])
      .join();
    return html`<${Block} html=${block.html} sign=${`${before}|${sign}`} block=${block} open=${before} ctx=${ctx} />`;
  });
}
