import * as session from "./session.js";

const PATIENCE = 70_000; // milliseconds; longer than the service's own deadline, whatever it is set to

/**
 * What came of a call that did not work: the service's problem (RFC 9457), or no answer at all (`no_answer`).
 * `retryAfter` is in seconds, `body` all that the service said.
 */
export class Problem extends Error {
  constructor(code, { status = 0, retryAfter = null, body = {} } = {}) {
    super(body.title ?? code);
    Object.assign(this, { code, status, retryAfter, body });
  }

  get errors() {
    return this.body.errors ?? [];
  }
}

/**
 * Calls the service: `{status, headers, body}`, or a Problem is thrown. When `signal` says that the page which asked is
 * gone, the promise stays open for ever, so that nothing after it runs.
 */
export async function call(method, path, { body, query = {}, headers = {}, signal } = {}) {
  const token = session.token();
  const answer = await answered(`${path}${search(query)}`, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      "Accept-Language": "id",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])]),
  });
  if (signal?.aborted) return new Promise(() => {});
  if (answer?.status === 401 && token === session.token()) {
    session.signOut();
    window.dispatchEvent(new Event("session-over"));
  }
  if (!answer?.ok) throw problem(answer);
  return answer;
}

/** Every item of a list that has pages. */
export async function all(path, query, signal) {
  const items = [];
  for (let page = 1, pages = 1; page <= pages; page++) {
    const { body } = await call("GET", path, { query: { ...query, size: 100, page }, signal });
    items.push(...body.items);
    pages = body.pages;
  }
  return items;
}

/** Null when no whole answer came: no connection, a cut, or our patience at an end. */
async function answered(path, options) {
  try {
    const response = await fetch(`${await session.api()}${path}`, options);
    const text = await response.text();
    return { ok: response.ok, status: response.status, headers: response.headers, body: parsed(text) };
  } catch {
    return null;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function problem(answer) {
  if (!answer) return new Problem("no_answer");
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  const body = answer.body ?? {};
  return new Problem(body.code ?? "unknown", { status: answer.status, retryAfter, body });
}

function search(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
