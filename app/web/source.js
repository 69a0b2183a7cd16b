/** The source beside the answer: the document's own text, the passage in it, the cited words marked. */

import { place } from "./codepoints.js";
import { T } from "./texts.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef } from "./vendor/htm-preact-standalone.module.js";
import { Icon, rich } from "./parts.js";

function when(date) {
  const parsed = new Date(date);
  return Number.isNaN(parsed.getTime()) ? null : new Intl.DateTimeFormat(T.locale, { dateStyle: "medium", timeZone: "UTC" }).format(parsed);
}

export function SourcePanel({ panel, sheet, act }) {
  const title = useRef(null);
  const { source, status } = panel;
  useEffect(() => title.current.focus({ preventScroll: true }), [panel.opened]);
  const date = source?.modified_at ? when(source.modified_at) : null;
  const facts = [source?.page ? T.page(source.page) : null, date ? T.sourceChanged(date) : null].filter(Boolean);
  return html`<section class="panel" role=${sheet ? "dialog" : "complementary"} aria-modal=${sheet ? "true" : undefined} aria-labelledby="panel-title">
    <div class="panel-head">
      <div class="panel-what">
        <h2 id="panel-title" ref=${title} tabindex="-1" dir="auto">
          ${source ? html`${source.n ? html`<span class="source-n">${source.n}</span>` : null}<span class="visually-hidden">${T.source}: </span>${source.filename || source.title || T.untitled}` : T.source}
        </h2>
        ${source?.heading_path?.length > 0 && html`<p class="heading-path" dir="auto">${source.heading_path.join(" › ")}</p>`}
        ${facts.length > 0 && html`<p class="facts">${facts.join(" · ")}</p>`}
      </div>
      <button type="button" class="tool" aria-label=${T.sourceClose} title=${T.sourceClose} onClick=${act.closeSource}><${Icon} name="unsupported" /></button>
    </div>
    ${status === "loading" && html`<p class="panel-note">${T.sourceLoading}</p>`}
    ${status === "failed" && html`<div class="panel-note"><strong>${T.sourceGone}.</strong> ${panel.error?.message}
      ${panel.error?.next_step && html`<br />${rich(panel.error.next_step)}`}</div>`}
    ${status === "ready" && html`<${DocumentText} panel=${panel} act=${act} />`}
  </section>`;
}

function DocumentText({ panel, act }) {
  const { document, source, quotes, whole } = panel;
  const view = useMemo(() => place(document, source, quotes, whole), [document, source, quotes, whole]);
  const scroller = useRef(null);
  useLayoutEffect(() => {
    const box = scroller.current;
    const target = box.querySelector("mark") ?? box.querySelector(".passage");
    if (!target || !view.placed) return;
    const at = target.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
    box.scrollTop = Math.max(0, at - box.clientHeight / 3);
  }, [view]);
  const groups = []; // the passage is one element, its marks inside it
  for (const { kind, text } of view.parts) {
    const node = kind === "mark" ? html`<mark>${text}</mark>` : text;
    if (kind === "text") groups.push(node);
    else if (Array.isArray(groups[groups.length - 1])) groups[groups.length - 1].push(node);
    else groups.push([node]);
  }
  return html`
    ${!view.placed && html`<p class="panel-note" role="note">${document === null ? T.sourceNoDocument : T.sourceMoved}</p>`}
    <div class="document" ref=${scroller} tabindex="0" role="group" aria-label=${T.sourcePassage} dir="auto" lang=${source.language}>
      ${groups.map((group) => (Array.isArray(group) ? html`<span class="passage">${group}</span>` : group))}
      ${view.cut && html`<p><button type="button" class="quiet" onClick=${act.wholeSource}><${Icon} name="page" />${T.sourceWhole}</button></p>`}
    </div>`;
}
