/** The answer's text: Markdown blocks, sentences with their state, citation chips behind them. */

import { citedBy } from "./copying.js";
import { MARK, TAGS, annotate, blocks, readMark, settle } from "./markdown.js";
import { Icon, SourceLink } from "./parts.js";
import { T } from "./texts.js";
import { Component, h, html } from "./vendor/htm-preact-standalone.module.js";

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
