/** An answer as text for elsewhere. Offsets are code points. */

import { T } from "./texts.js";

export const headingOf = (source) => (source.heading_path ?? []).join(" › ");

/** The sources that a sentence cites, each once, in order. */
export const citedBy = (claim, sources) => {
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
