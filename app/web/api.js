/** The service, as this page speaks to it: its own origin, one error shape, the key (if any) in a header only. */

import { T } from "./texts.js";

const KEY = "grounded.key";

export class ApiError extends Error {
  constructor(envelope) {
    super(envelope.message);
    this.envelope = envelope;
  }
}

export function setKey(key) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // a browser that stores nothing asks again after a reload
  }
  typedKey = key;
}

let typedKey = null;

function key() {
  try {
    return typedKey ?? sessionStorage.getItem(KEY);
  } catch {
    return typedKey;
  }
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  const secret = key();
  if (secret) headers.authorization = `Bearer ${secret}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ ...T.unreachable });
  }
  if (response.ok) return response;
  throw new ApiError(await envelopeOf(response));
}

async function envelopeOf(response) {
  let body = null;
  try {
    body = JSON.parse(await response.text());
  } catch {
    // not ours: a proxy's page, or nothing
  }
  const error = body?.error?.code ? { ...body.error } : T.unreadable(response.status);
  error.status = response.status;
  error.request_id ??= response.headers.get("x-request-id");
  const wait = Number(response.headers.get("retry-after"));
  if (Number.isFinite(wait) && wait > 0) error.retry_after = Math.ceil(wait);
  return error;
}

export async function ask(question, collection, history, signal) {
  return call("/ask", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify({ question, collection, history, stream: true, include: ["sources.text"] }),
    signal,
  });
}

export const collections = async () => (await (await call("/v1/collections")).json()).data ?? [];
export const titles = async (name) => (await (await call(`/v1/documents?limit=200&collection=${name}`)).json()).data.map(({ title }) => title);
export const source = async (id) => (await call(`/v1/sources/${encodeURIComponent(id)}`)).json();
export const explanation = async (id) => (await call(`/v1/answers/${encodeURIComponent(id)}/explain`)).json();
export const content = async (id) => (await call(`/v1/documents/${encodeURIComponent(id)}/content`)).text();

/** Names of parts that do not work. A service that is not ready answers 503 with the same body. */
export async function unwell() {
  try {
    const response = await fetch("/health/ready", { credentials: "omit", cache: "no-store" });
    const { checks = {} } = await response.json();
    return Object.keys(checks).filter((name) => !["ok", "loading"].includes(checks[name]));
  } catch {
    return [];
  }
}
