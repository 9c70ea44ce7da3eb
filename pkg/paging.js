// How the read of a collection goes on over HTTP: from page to page, and from where an earlier read ended. Owns what is sent for
// that, and what is found in an answer. What it proves, and when it is asked for, is the engine's word.

/** The parameters of one link: `; name=value` or `; name="value"` (RFC 8288, section 3). */
const PARAMETER = /[\t ]*;[\t ]*([\w!#$%&'*+.^`|~-]+)[\t ]*(?:=[\t ]*(?:"((?:[^"\\]|\\.)*)"|([^\t ",;]*)))?/y;

/** The target of the first link whose relation is `next`, and which speaks of this page (RFC 8288, sections 3.3 and 3.2). */
export function nextLink(header) {
  for (let at = header.indexOf("<"); at >= 0; at = header.indexOf("<", at)) {
    const end = header.indexOf(">", at);
    if (end < 0) return undefined;
    const target = header.slice(at + 1, end);
    const parameters = new Map();
    PARAMETER.lastIndex = at = end + 1;
    for (let found; (found = PARAMETER.exec(header)); at = PARAMETER.lastIndex) {
      const name = found[1].toLowerCase();
      // Of two the first counts.
      if (!parameters.has(name)) parameters.set(name, found[2]?.replace(/\\(.)/g, "$1") ?? found[3] ?? "");
    }
    const relations = (parameters.get("rel") ?? "").toLowerCase().split(/\s+/);
    if (relations.includes("next") && !parameters.has("anchor")) return target;
  }
  return undefined;
}

/** An address of the transporter's own server; null for any other, to which neither headers nor cookies may go. */
function ownAddress(options, address, base) {
  try {
    const url = new URL(address, base);
    url.hash = "";
    return url.origin === options.origin && url.username + url.password === "" ? url.href : null;
  } catch {
    return null;
  }
}

/** Where the next page is: undefined if this is the last, null if it cannot be asked for. */
function nextOf(options, res, body, base) {
  const { pages } = options;
  if (pages === undefined) return undefined;
  let next;
  try {
    next = pages === "link" ? nextLink(res.headers.get("Link") ?? "") : pages(res, body);
  } catch {
    return null;
  }
  if (next === undefined || next === null || next === "") return undefined;
  return typeof next === "string" ? ownAddress(options, next, base) : null;
}

/** What the next read can show to be told only that nothing has changed; null for nothing. Never for pages: whether the first has
 *  changed says nothing of the others. */
function validator({ conditional, pages, origin }, { headers }) {
  if (!conditional || pages !== undefined) return null;
  const tag = headers.get("ETag");
  if (tag) return { "If-None-Match": tag };
  const changed = headers.get("Last-Modified");
  // Of a date only what lies a second back is sure (RFC 9110, section 8.8.2.2). Another origin would have to allow the header, and
  // does not say so by giving a date, as everybody does.
  const here = globalThis.location?.origin;
  const isSure = Date.parse(headers.get("Date")) - Date.parse(changed) >= 1000;
  return changed && isSure && (here === undefined || here === origin) ? { "If-Modified-Since": changed } : null;
}

/** Where the next read goes on: undefined if nothing is said of that, null if at the beginning. */
function cursorOf(options, res, body) {
  const { since } = options;
  if (since === undefined) return validator(options, res);
  if (typeof since.from === "string") return res.headers.get(since.from) ?? undefined;
  try {
    const cursor = since.from(res, body);
    return cursor === undefined || cursor === null || cursor === "" ? undefined : String(cursor);
  } catch {
    return undefined;
  }
}

/** Whether an answer without a link to a next page means that there is none: another origin may hide the header. */
function tellsLinks(options, res) {
  if (options.pages !== "link") return true;
  if (res.type !== "cors" || res.headers.has("Link")) options.showsLinks = true;
  return options.showsLinks === true;
}

const isDelta = ({ since }, req) => since !== undefined && new URL(req.url).searchParams.has(since.param);

/** What an answer says of the rest: `{complete, deleted, next, cursor}`. */
export function onward(options, req, res, body) {
  let deleted;
  try {
    deleted = options.deleted?.(body);
  } catch {
    // What was deleted is not known, so what comes after this must not be taken for all there is.
    return { complete: false };
  }
  return {
    // 206 is a part (RFC 9110, section 15.3.7).
    complete: res.status !== 206 && tellsLinks(options, res) && !isDelta(options, req),
    ...(Array.isArray(deleted) && { deleted }),
    next: nextOf(options, res, body, res.url || req.url),
    cursor: cursorOf(options, res, body),
  };
}

/** The request for a page, or for what has changed since a cursor. */
export function goOn(options, req, { page, cursor }) {
  if (page !== undefined) return { ...req, url: page };
  if (options.since !== undefined && typeof cursor === "string") {
    const url = new URL(req.url);
    url.searchParams.set(options.since.param, cursor);
    return { ...req, url: url.href };
  }
  return options.conditional && typeof cursor === "object" ? { ...req, headers: { ...req.headers, ...cursor } } : req;
}

/** Whether a request shows what an earlier answer gave. */
export const isConditional = ({ headers }) =>
  headers?.["If-None-Match"] !== undefined || headers?.["If-Modified-Since"] !== undefined;

/** What else has to be the same for a cursor to mean the same. */
export const scopeOf = ({ basePath, since, pages }) =>
  JSON.stringify([basePath, since?.param, since && String(since.from), pages !== undefined]);
