/** Small parts that every other part of the view is made of. */

import { T } from "./texts.js";
import { html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

const PATHS = {
  supported: "M3.5 8.5l3 3 6-7",
  partial: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  unsupported: "M4 4l8 8M12 4l-8 8",
  uncited: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  unchecked: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1v.4M8 12v.2",
  send: "M8 13V3.5M4 7.2l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  keys: "M2 4.5h12v7H2zM4.5 7h.01M7 7h.01M9.5 7h.01M12 7h.01M5 9.5h6",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  again: "M12.5 5.5A5 5 0 1 0 13 8.5M12.8 2.5v3h-3",
  edit: "M3 13l.6-2.8 7-7 2.2 2.2-7 7z",
  close: "M4 4l8 8M12 4l-8 8",
  page: "M4 2h5.5L12 4.5V14H4zM6 7h4M6 9.5h4",
};
const SOLID = new Set(["partial", "stop", "theme"]);

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
    const focused = document.activeElement;
    box.select();
    const copied = document.execCommand("copy");
    box.remove();
    focused?.focus?.();
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
