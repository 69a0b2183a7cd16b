/** Why an answer got its passages: every candidate of its search, as a table that is fetched when it is asked for. */

import * as api from "./api.js";
import { CopyButton, Icon, SourceLink, headingOf } from "./parts.js";
import { T } from "./texts.js";
import { html, useState } from "./vendor/htm-preact-standalone.module.js";

const ARMS = ["dense", "bm25", "named_dense", "named_bm25", "fused", "rerank", "cross"];

const share = (place) => (typeof place.share === "number" ? ` (${place.share.toFixed(3).replace(/^0/, "")})` : "");

function Row({ one, arms, act, turnKey }) {
  const source = one.source;
  const name = source && [source.filename || T.untitled, headingOf(source), source.page ? T.page(source.page) : ""].filter(Boolean).join(" · ");
  return html`<tr>
    <td class="align-right">${one.rank}</td>
    <td dir="auto">${source ? html`<${SourceLink} id=${one.id} act=${act} turnKey=${turnKey}>${name}<//>` : T.whyGone}</td>
    ${arms.map((arm) => html`<td class="align-right">${one.arms[arm] ? `${one.arms[arm].rank}${share(one.arms[arm])}` : ""}</td>`)}
    <td class="align-right">${one.score.toFixed(4)}</td>
    <td>${T.whyOutcomes[one.outcome] ?? one.outcome}</td>
  </tr>`;
}

function Candidates({ found, act, turnKey }) {
  const arms = ARMS.filter((arm) => found.candidates.some((one) => one.arms[arm]));
  return html`<div class="table-scroll" tabindex="0" role="group" aria-label=${T.why}><table>
    <thead><tr>
      <th scope="col" class="align-right">#</th><th scope="col">${T.whyPassage}</th>
      ${arms.map((arm) => html`<th scope="col" class="align-right">${T.whyArms[arm] ?? arm}</th>`)}
      <th scope="col" class="align-right">${T.whyScore}</th><th scope="col">${T.whyOutcome}</th>
    </tr></thead>
    <tbody>${found.candidates.map((one) => html`<${Row} one=${one} arms=${arms} act=${act} turnKey=${turnKey} />`)}</tbody>
  </table></div>`;
}

export function Why({ id, act, turnKey }) {
  const [found, tell] = useState(null);
  const [failed, fail] = useState(null);
  const look = async () => {
    try {
      tell(await api.explanation(id));
      fail(null);
    } catch (error) {
      fail(error.envelope?.message ?? T.unreachable.message);
    }
  };
  if (found) {
    return html`<div class="why"><${Candidates} found=${found} act=${act} turnKey=${turnKey} />
      <${CopyButton} label=${T.whyCopy} text=${() => JSON.stringify(found, null, 2)} /></div>`;
  }
  return html`<p class="why"><button type="button" class="quiet" onClick=${look}><${Icon} name="page" />${T.why}</button>
    ${failed && html`<span aria-live="polite">${failed}</span>`}</p>`;
}
