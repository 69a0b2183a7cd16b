/** Why an answer got its passages: every candidate of its search, as a table. Loaded, words and all, when it is asked for. */

import * as api from "./api.js";
import { CopyButton, SourceLink, headingOf } from "./parts.js";
import { T } from "./texts.js";
import { html } from "./vendor/htm-preact-standalone.module.js";

const W = {
  passage: "Passage",
  score: "Score",
  outcome: "Outcome",
  copy: "Copy as JSON",
  gone: "deleted, replaced or not yours to read",
  arms: {
    dense: "by meaning",
    bm25: "by words",
    named_dense: "by meaning, in the named document",
    named_bm25: "by words, in the named document",
    fused: "both",
    rerank: "read closely",
    cross: "read again",
  },
  outcomes: {
    kept: "kept",
    near_duplicate: "says the same as another",
    superseded: "another is a newer version of it",
    joined: "part of another passage",
    source_cap: "its document has enough",
    top_k: "enough were kept",
    token_budget: "too long for what is left",
    not_live: "replaced or deleted",
    not_readable: "not yours to read",
    not_read: "not among those read closely",
  },
};

const ARMS = ["dense", "bm25", "named_dense", "named_bm25", "fused", "rerank", "cross"];

const share = (place) => (typeof place.share === "number" ? ` (${place.share.toFixed(3).replace(/^0/, "")})` : "");

function Row({ one, arms, act, turnKey }) {
  const source = one.source;
  const name = source && [source.filename || T.untitled, headingOf(source), source.page ? T.page(source.page) : ""].filter(Boolean).join(" · ");
  return html`<tr>
    <td class="align-right">${one.rank}</td>
    <td dir="auto">${source ? html`<${SourceLink} id=${one.id} act=${act} turnKey=${turnKey}>${name}<//>` : W.gone}</td>
    ${arms.map((arm) => html`<td class="align-right">${one.arms[arm] ? `${one.arms[arm].rank}${share(one.arms[arm])}` : ""}</td>`)}
    <td class="align-right">${one.score.toFixed(4)}</td>
    <td>${W.outcomes[one.outcome] ?? one.outcome}</td>
  </tr>`;
}

function Table({ found, act, turnKey }) {
  const arms = ARMS.filter((arm) => found.candidates.some((one) => one.arms[arm]));
  return html`<div class="table-scroll" tabindex="0" role="group" aria-label=${T.why}><table>
    <thead><tr>
      <th scope="col" class="align-right">#</th><th scope="col">${W.passage}</th>
      ${arms.map((arm) => html`<th scope="col" class="align-right">${W.arms[arm] ?? arm}</th>`)}
      <th scope="col" class="align-right">${W.score}</th><th scope="col">${W.outcome}</th>
    </tr></thead>
    <tbody>${found.candidates.map((one) => html`<${Row} one=${one} arms=${arms} act=${act} turnKey=${turnKey} />`)}</tbody>
  </table></div>`;
}

function Candidates({ found, act, turnKey }) {
  return html`<div class="why"><${Table} found=${found} act=${act} turnKey=${turnKey} />
    <${CopyButton} label=${W.copy} text=${() => JSON.stringify(found, null, 2)} /></div>`;
}

/** What the view shows: `{found, Candidates}`, or `{failed}` with the reason. */
export const explained = (id) =>
  api.explanation(id).then(
    (found) => ({ found, Candidates }),
    (error) => ({ failed: error.envelope?.message ?? T.unreachable.message }),
  );
