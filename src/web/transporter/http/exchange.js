// One request and its answer, as facts. Owns what a request says, the limits in time and size, and how a body is read
// and judged by its media type. It never rejects, never retries, and does not judge an answer.

import { isValue } from "./header.js";
import { fill, hasId, isSafeId, percentEncode } from "./url.js";

/** The most bytes that are read of a body. A hundred thousand rows of eight fields are some 20 MiB of JSON; parsed they
 *  take several times as much memory, and a phone's tab is killed at a few hundred MiB. */
const CAP = 32 << 20;

/** The most bytes that are kept of the text of a refusal. */
const TEXT_CAP = 64 << 10;

// How an exchange ended, and what its body was: the numbers that `http.rs` reads.
const [UNREACHABLE, TIMED_OUT, CUT, ANSWERED] = [0, 1, 2, 3];
const [EMPTY, JSON_VALUE, MALFORMED, FOREIGN, TOO_LARGE] = [0, 1, 2, 3, 4];

/** What a request says: `[address, method, headers, body]`, or why it cannot be written. */
export function compose(options, action, id, body, key) {
  const { method, template } = options.routes[action];
  let encoded = "";
  if (hasId(template)) {
    if (id === undefined) return "the item has no key yet";
    if (!isSafeId(id)) return "the item's key cannot be put into a path";
    encoded = percentEncode(id);
  }
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = new Headers({ Accept: "application/json" });
    if (text !== undefined) headers.set("Content-Type", "application/json");
    for (const [name, value] of options.headers) headers.set(name, value);
    if (options.idempotencyKey && key !== undefined && isValue(key)) headers.set(options.idempotencyKey, key);
    return [fill(template, options.basePath, encoded), method, headers, text];
  } catch (error) {
    return words(error);
  }
}

/** Sends it, at the latest until the timeout: `[ending, message]` or `[ending, status, body's kind, JSON, text,
 *  Retry-After, Location, ETag]`. `all`: a fetch of the whole collection; `reading`: a fetch of any kind. */
export async function exchange(built, options, reading, all) {
  let timer;
  try {
    const controller = new AbortController();
    const over = new Promise((resolve) => {
      timer = setTimeout(() => {
        resolve([TIMED_OUT]);
        controller.abort();
      }, options.timeout);
    });
    const request = new Request(built, {
      credentials: options.credentials,
      redirect: "error",
      signal: controller.signal,
      // The browser's cache may keep a collection for days if the server says nothing; revalidating is right.
      ...(reading && { cache: "no-cache" }),
    });
    return await Promise.race([ask(request, options, all), over]);
  } catch (error) {
    return [UNREACHABLE, words(error)];
  } finally {
    clearTimeout(timer);
  }
}

async function ask(request, options, all) {
  const response = await fetch(request);
  if (!(response instanceof Response)) throw response;
  const { status, headers } = response;
  if (status < 200) throw "an answer that hides its status";
  let kind, json, text;
  try {
    [kind, json, text] = await read(response, options.origin);
  } catch {
    return [CUT];
  }
  if (kind === JSON_VALUE && options.rows && all && response.ok) {
    try {
      json = options.rows(json);
    } catch {
      kind = MALFORMED;
    }
  }
  const header = (name) => headers.get(name) ?? undefined;
  const wait = inSeconds(header("Retry-After"));
  return [ANSWERED, status, kind, json, text, wait, header("Location"), header("ETag")];
}

/** A `Retry-After` (RFC 9110 §10.2.3) in whole seconds: it may be a date in one of the three forms of §5.6.7, the last of
 *  which does not say that it is in GMT. What is neither is handed on as it came. */
function inSeconds(value) {
  const [, end] = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun).* (GMT|\d{4})$/.exec(value) ?? [];
  const moment = end ? Date.parse(end === "GMT" ? value : `${value} GMT`) : NaN;
  return Number.isNaN(moment) ? value : String(Math.max(0, Math.ceil((moment - Date.now()) / 1000)));
}

/** What was thrown, in words, whatever it is. */
function words(thrown) {
  if (typeof thrown?.message === "string") return thrown.message;
  return typeof thrown === "string" ? thrown : "the request failed";
}

/** Whether the media type is JSON: `application/json` or one with the suffix `+json` (RFC 6839), whatever its parameters. */
export const isJson = (type) => /^\s*(application\/json|[^/;]*\/[^;]*\+json)\s*(;|$)/i.test(type);

/** What the body is, and its text if the status is 400 or more. Rejects when the stream breaks. */
async function read(response, origin) {
  const { status, headers, body, url } = response;
  // An answer made by a service worker may have no address; any other must be the API's own.
  const foreign = url !== "" && new URL(url).origin !== origin;
  if (body === null || [204, 205, 304].includes(status)) return [foreign ? FOREIGN : EMPTY];
  const reader = body.getReader();
  const refused = status >= 400;
  const json = isJson(headers.get("Content-Type") ?? "");
  const tooLarge = json && !refused && Number(headers.get("Content-Length")) > CAP;
  if (foreign || tooLarge) {
    giveUp(reader);
    return [foreign ? FOREIGN : TOO_LARGE];
  }
  const cap = json ? CAP : refused ? TEXT_CAP : 0;
  const { text, bytes } = await content(reader, cap);
  const shown = refused ? excerpt(text) : undefined;
  if (bytes === 0) return [EMPTY, undefined, shown];
  if (!json) return [FOREIGN, undefined, shown];
  if (bytes > cap) return [TOO_LARGE, undefined, shown];
  try {
    // Handed on as it is: copied property by property, an own `__proto__` would become a prototype.
    return [JSON_VALUE, JSON.parse(text), shown];
  } catch {
    return [MALFORMED, undefined, shown];
  }
}

/** Reads until the end, or until there are more bytes than the cap. */
async function content(reader, cap) {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { text: text + decoder.decode(), bytes };
    if (!(value instanceof Uint8Array)) {
      giveUp(reader);
      throw value;
    }
    bytes += value.length;
    if (cap > 0) text += decoder.decode(value, { stream: true });
    if (bytes > cap) {
      giveUp(reader);
      return { text, bytes };
    }
  }
}

/** Tells the browser to stop downloading. Nobody waits for it, and a failure changes nothing. */
const giveUp = (reader) => reader.cancel().catch(() => {});

/** At most `TEXT_CAP` bytes of the text. */
const excerpt = (text) => text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(TEXT_CAP)).read);
