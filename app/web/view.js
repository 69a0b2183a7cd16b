/** The page as a function of the state. Everything that happens goes through `act`, the one object of actions. */

import { AnswerText, CopyButton, Icon, SourceLink, asMarkdown, asPlainWithSources, headingOf, rich } from "./parts.js";
import { tally } from "./reducer.js";
import { SourcePanel } from "./source.js";
import { T } from "./texts.js";
import { Component, html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";

function Progress({ turn }) {
  const { phase, stage, stageDetail } = turn.answer;
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.floor((performance.now() - turn.askedAt) / 1000);
  const words = phase === "asking" || !stage ? T.asking : (T.stages[stage] ?? stage);
  return html`<p class="progress">
    <span class="pulse" aria-hidden="true"></span>
    <span>${words}${stageDetail ? ` (${T.stageDetails[stageDetail] ?? stageDetail})` : ""}…</span>
    ${seconds >= 2 && html`<span class="seconds">${T.seconds(seconds)}</span>`}
  </p>`;
}

function SourceCard({ source, turn, act, snippet }) {
  const where = [headingOf(source), source.page ? T.page(source.page) : ""].filter(Boolean).join(" · ");
  return html`<li>
    <${SourceLink} id=${source.id} act=${act} turnKey=${turn.key} class="source-card">
      <span class="source-n" aria-hidden="true">${source.n}</span>
      <span class="source-what">
        <span class="source-name" dir="auto">${source.filename || source.title || T.untitled}</span>
        ${where && html`<span class="source-where" dir="auto">${where}</span>`}
        ${snippet && source.text && html`<span class="source-snippet" dir="auto">${Array.from(source.text.replace(/^#+ .*\n+/, "")).slice(0, 180).join("")}</span>`}
      </span>
    <//>
  </li>`;
}

function Sources({ turn, act }) {
  const { sources, claims } = turn.answer;
  const ids = new Set(claims.flatMap((claim) => claim.citations.map((citation) => citation.source)));
  const cited = sources.filter((source) => ids.has(source.id));
  const read = sources.filter((source) => !ids.has(source.id));
  if (turn.answer.done?.abstention) return null;
  const list = (some) => html`<ol class="source-list">${some.map((source) => html`<${SourceCard} key=${source.id} source=${source} turn=${turn} act=${act} />`)}</ol>`;
  return html`
    ${cited.length > 0 && html`<section class="sources"><h3>${T.sources}</h3>${list(cited)}</section>`}
    ${read.length > 0 && html`<details class="fold"><summary>${(cited.length > 0 ? T.sourcesRead : T.sourcesOnlyRead)(read.length)}</summary>${list(read)}</details>`}
  `;
}

function Tally({ answer }) {
  const { byStatus } = tally(answer);
  const states = Object.keys(T.status).filter((status) => byStatus[status]);
  const { status: whole, dropped } = answer.done?.verification ?? {};
  if (states.length === 0) return null;
  return html`<ul class="tally" aria-label=${T.tallyName}>
    ${T.checked[whole] && html`<li>${T.checked[whole]}</li>`}
    ${states.map((status) => html`<li class="tally-${status}" title=${T.statusMeaning[status]}>
      <${Icon} name=${status} /><span class="claim-${status}">${T.tally(byStatus[status], status)}</span>
    </li>`)}
    ${dropped > 0 && html`<li>${T.dropped(dropped)}</li>`}
  </ul>`;
}

function Abstained({ turn, act }) {
  const { reason, message, nearest = [] } = turn.answer.done.abstention;
  return html`<div class="abstained">
    ${!turn.answer.text && html`<p dir="auto">${message}</p>`}
    <p class="muted">${T.abstainHint[reason]}</p>
    ${reason === "collection_empty" && html`<${Command} text=${T.ingestCommand(turn.collection)} />`}
    ${nearest.length > 0 && html`<h3 class="small">${T.nearest}</h3>
      <ol class="source-list">${nearest.map((source) => html`<${SourceCard} key=${source.id} source=${source} turn=${turn} act=${act} snippet />`)}</ol>`}
  </div>`;
}

function ErrorBox({ error, act, turn }) {
  const key = useRef(null);
  const save = (event) => {
    event.preventDefault();
    act.useKey(key.current.value.trim(), turn);
  };
  return html`<div class="error">
    <h3>${T.errorTitle}</h3>
    <p>${error.message ?? T.unreadable("?").message}</p>
    ${error.next_step && html`<p><strong>${T.nextStep}: </strong>${rich(error.next_step)}</p>`}
    ${error.retry_after && html`<p>${T.retryAfter(error.retry_after)}</p>`}
    ${error.status === 401 && html`<form class="key" onSubmit=${save}>
      <label>${T.keyLabel}<input ref=${key} type="password" autocomplete="off" spellcheck=${false} required /></label>
      <button type="submit">${T.keySave}</button>
      <p class="muted">${T.keyHint}</p>
    </form>`}
    <p class="error-foot">
      ${error.code && html`<span>${T.code}: <code>${error.code}</code></span>`}
      ${error.request_id && html`<span>${T.requestId}: <code>${error.request_id}</code></span>
        <${CopyButton} label=${T.copyId} text=${error.request_id} />`}
    </p>
  </div>`;
}

/** The table and its words are loaded when they are asked for. */
function Why({ id, ...rest }) {
  const [seen, see] = useState({});
  const look = async () => see(await (await import("./why.js")).explained(id));
  if (seen.found) return html`<${seen.Candidates} found=${seen.found} ...${rest} />`;
  return html`<p class="why"><button type="button" class="quiet" onClick=${look}><${Icon} name="page" />${T.why}</button>
    ${seen.failed && html`<span aria-live="polite">${seen.failed}</span>`}</p>`;
}

/** What stands under the text: how it ended, where that needs a word. */
function Ending({ turn, act }) {
  const { answer } = turn;
  const { done, error, ending } = answer;
  const note = (text) => html`<p class="note">${text}</p>`;
  return html`
    ${done?.abstention && html`<${Abstained} turn=${turn} act=${act} />`}
    ${done?.finish_reason === "length" && note(T.lengthNote)}
    ${done?.finish_reason === "cancelled" && note(T.cancelledNote)}
    ${done?.filter && note(`${done.finish_reason !== "filtered" ? T.filteredSome : done.filter.stage === "input" ? T.filteredInput : T.filteredOutput}${
      done.filter.categories?.length ? ` (${done.filter.categories.join(", ")})` : ""}.`)}
    ${ending === "stopped" && note(answer.text ? T.stoppedNote : T.stoppedEmpty)}
    ${ending === "lost" && !error && html`<div class="error"><h3>${T.lostTitle}</h3><p>${T.lostNote}</p></div>`}
    ${error && html`<${ErrorBox} error=${error} act=${act} turn=${turn} />`}
  `;
}

const inSeconds = (ms) => (typeof ms === "number" ? (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`) : null);
const inDollars = (usd) => (typeof usd !== "number" ? null : usd === 0 ? T.noCost : `$${usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2)}`);

function Details({ done, turn, act }) {
  const timings = done.timings_ms ?? {};
  const rows = [
    [T.detailModel, done.model],
    [T.detailTier, done.tier],
    [T.detailFirst, inSeconds(timings.ttft)],
    [T.detailTotal, inSeconds(timings.total)],
    [T.detailCost, inDollars(done.cost_usd)],
    [T.detailTokens, done.usage?.total_tokens ? `${done.usage.input_tokens} / ${done.usage.output_tokens}` : null],
    [T.detailCache, T.cacheWord[done.cache] ?? done.cache],
    [T.detailAnswer, done.answer_id],
  ].filter(([, value]) => value);
  const line = [inSeconds(timings.total), inDollars(done.cost_usd), done.model].filter(Boolean).join(" · ");
  return html`<details class="fold cost">
    <summary>${T.details}${line && html`<span class="cost-line"> · ${line}</span>`}</summary>
    <dl>${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${done.answer_id && html`<${Why} id=${done.answer_id} act=${act} turnKey=${turn.key} />`}
  </details>`;
}

function Actions({ turn, act, busy }) {
  const { answer } = turn;
  return html`<div class="actions">
    ${answer.text && html`
      <${CopyButton} label=${T.copy} text=${answer.text} />
      ${answer.claims.length > 0 && html`
        <${CopyButton} label=${T.copySources} text=${() => asPlainWithSources(answer)} />
        <${CopyButton} label=${T.copyMarkdown} text=${() => asMarkdown(answer)} />`}`}
    <button type="button" class="quiet" disabled=${busy} onClick=${() => act.again(turn)}><${Icon} name="again" />${T.askAgain}</button>
    <button type="button" class="quiet" onClick=${() => act.edit(turn.question)}><${Icon} name="edit" />${T.edit}</button>
  </div>`;
}

class Turn extends Component {
  shouldComponentUpdate(next) {
    return next.turn !== this.props.turn || next.active !== this.props.active || next.busy !== this.props.busy;
  }

  render({ turn, act, active, busy }) {
    const { answer } = turn;
    const running = answer.phase !== "ended";
    return html`<li class="turn" id=${`turn-${turn.key}`}>
      <article aria-labelledby=${`question-${turn.key}`} aria-busy=${running ? "true" : "false"}
        onMouseOver=${relate} onMouseOut=${unrelate} onFocusIn=${relate} onFocusOut=${unrelate}>
        <h2 class="question" id=${`question-${turn.key}`} dir="auto">${turn.question}</h2>
        <div class=${`answer${running && answer.text ? " growing" : ""}`} dir="auto"><${AnswerText} turn=${turn} act=${act} active=${active} /></div>
        ${running && html`<${Progress} turn=${turn} />`}
        ${!running && html`
          <${Ending} turn=${turn} act=${act} />
          <${Tally} answer=${answer} />
          <${Sources} turn=${turn} act=${act} />
          <${Actions} turn=${turn} act=${act} busy=${busy} />
          ${answer.done && html`<${Details} done=${answer.done} turn=${turn} act=${act} />`}`}
      </article>
    </li>`;
  }
}

/** A sentence and its chips show that they belong together, whichever of them is under the pointer or has the focus. */
function relate(event) {
  const claim = event.target.closest?.("[data-c]")?.dataset.c;
  for (const node of event.currentTarget.querySelectorAll("[data-c]")) node.toggleAttribute("data-hot", node.dataset.c === claim);
}

function unrelate(event) {
  for (const node of event.currentTarget.querySelectorAll("[data-hot]")) node.removeAttribute("data-hot");
}

export function Command({ text }) {
  return html`<div class="command"><code>${text}</code><${CopyButton} label=${T.copy} text=${text} /></div>`;
}

function Welcome({ state, act }) {
  const known = state.collections;
  const mine = known?.find((collection) => collection.name === state.collection);
  const empty = known !== null && !(mine?.documents > 0);
  return html`<div class="welcome">
    <p class="tagline">${T.tagline}</p>
    <p class="intro">${T.intro}</p>
    ${empty
      ? html`<div class="no-documents">
          <h2>${T.noDocumentsTitle}</h2>
          <p>${T.noDocuments(state.collection)}</p>
          <${Command} text=${T.ingestCommand(state.collection)} />
          <button type="button" class="quiet" onClick=${act.refresh}><${Icon} name="again" />${T.recheck}</button>
        </div>`
      : state.manualIn === state.collection && html`<h2 class="examples-title">${T.examplesTitle}</h2>
        <ul class="examples">${T.examples.map((text) => html`<li><button type="button" onClick=${() => act.ask(text)}>${text}</button></li>`)}</ul>`}
  </div>`;
}

function Banner({ names }) {
  if (names.length === 0) return null;
  const fixes = [...new Set(names.map((name) => T.degradedFix[name]).filter(Boolean)), T.doctor];
  return html`<div class="banner" role="note">
    <strong>${T.degradedTitle(names)}</strong> ${fixes.map((fix) => html`<span>${rich(fix)} </span>`)}
  </div>`;
}

function Composer({ state, act, running, inert }) {
  const box = useRef(null);
  const fit = () => {
    box.current.style.height = "auto";
    box.current.style.height = `${Math.min(box.current.scrollHeight, 220)}px`;
  };
  useLayoutEffect(() => {
    if (state.draft === null) return;
    box.current.value = state.draft.text;
    fit();
    if (state.draft.text !== "") box.current.focus();
  }, [state.draft]);
  const send = () => act.ask(box.current.value);
  const onKeyDown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!running) send();
  };
  const onSubmit = (event) => {
    event.preventDefault();
    if (!running) send();
  };
  const names = (state.collections ?? []).map((collection) => collection.name);
  const options = names.includes(state.collection) ? (state.collections ?? []) : [{ name: state.collection, documents: null }, ...(state.collections ?? [])];
  return html`<form class="composer" role="search" aria-label=${T.box} inert=${inert} onSubmit=${onSubmit}>
    <div class="composer-box">
      <textarea id="question-box" ref=${box} rows="1" dir="auto" aria-label=${T.box} placeholder=${T.boxHint} enterkeyhint="send"
        autocomplete="off" onInput=${fit} onKeyDown=${onKeyDown}></textarea>
      <div class="composer-row">
        <label class="collection"><span class="visually-hidden">${T.collection}</span>
          <select value=${state.collection} onChange=${(event) => act.choose(event.target.value)}>
            ${options.map((c) => html`<option key=${c.name} value=${c.name} selected=${c.name === state.collection}>${T.collectionOption(c.name, c.documents ?? null)}</option>`)}
          </select>
        </label>
        <span class="hint" aria-hidden="true">${T.boxKeys}</span>
        ${running
          ? html`<button key="stop" type="button" class="primary stop" onClick=${act.stop}><${Icon} name="stop" />${T.stop}</button>`
          : html`<button key="send" type="submit" class="primary"><${Icon} name="send" />${T.ask}</button>`}
      </div>
    </div>
  </form>`;
}

function Help({ open, act }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  return html`<dialog ref=${dialog} class="help" aria-label=${T.keys} onClose=${() => act.help(false)}>
    ${open && html`
      <h2>${T.keysTitle}</h2>
      <dl class="keys">${T.keyList.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <h2>${T.marksTitle}</h2>
      <dl class="legend">${Object.keys(T.status).map((status) => html`<div>
        <dt><${Icon} name=${status} /><span class="claim claim-${status}">${T.status[status]}</span></dt><dd>${T.statusMeaning[status]}</dd>
      </div>`)}</dl>
      <button type="button" class="primary" onClick=${() => act.help(false)}>${T.close}</button>`}
  </dialog>`;
}

export function App({ state, act }) {
  const { panel, turns, running } = state;
  const sheet = panel !== null && state.narrow; // then the panel is a dialog over the rest
  return html`
    <div class=${`shell${panel ? " with-panel" : ""}${turns.length === 0 ? " is-empty" : ""}`}>
      <a class="skip" href="#question-box" onClick=${act.skip}>${T.skip}</a>
      <header inert=${sheet}>
        <h1><img src="/web/icon.svg" width="24" height="24" alt="" />${T.name}</h1>
        <div class="tools">
          <button type="button" class="tool" title=${T.keys} aria-label=${T.keys} onClick=${() => act.help(true)}><${Icon} name="keys" /></button>
          <button type="button" class="tool" title=${T.theme[state.theme]} aria-label=${T.theme[state.theme]} onClick=${act.theme}><${Icon} name="partial" /></button>
        </div>
      </header>
      <main inert=${sheet}>
        <${Banner} names=${state.degraded} />
        ${turns.length === 0 && html`<${Welcome} state=${state} act=${act} />`}
        <ol class="turns" aria-label=${T.conversation} hidden=${turns.length === 0}>
          ${turns.map((turn) => html`<${Turn} key=${turn.key} turn=${turn} act=${act} busy=${running !== null} active=${panel?.turnKey === turn.key ? panel : null} />`)}
        </ol>
      </main>
      <${Composer} state=${state} act=${act} running=${running !== null} inert=${sheet} />
      <p class="visually-hidden" role="status">${state.live}</p>
    </div>
    ${panel && html`<${SourcePanel} panel=${panel} sheet=${sheet} act=${act} />`}
    <${Help} open=${state.help} act=${act} />
  `;
}
