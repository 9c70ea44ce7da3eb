// The wire of the HTTP room, in JavaScript because it is a third of the size there: reading options, building addresses, one
// exchange with its timeout and its capped body. One file, because a test server of the tools stalls on many at once.

// ----------------------------------------------------------------------------------------------------- header

// What may stand in a header: validated, because a browser throws at the rest.

/** Whether this is a token (RFC 9110, section 5.6.2), as header names and methods must be. */
export const isToken = (name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name);

/** Whether this can be a header's value (RFC 9110, section 5.5): visible Latin-1, spaces and tabs within. */
export const isValue = (value) => /^(?![\t ])[\t -~\xa0-\xff]*(?<![\t ])$/.test(value);

// -------------------------------------------------------------------------------------------------------- url

// Addresses: how a base, a path and an id become one. Owns joining, percent-encoding and templates; resolving against the
// page is the browser's `URL`.

/** Percent-encodes everything but the unreserved characters of RFC 3986, section 2.3. */
export const percentEncode = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** `base/path` with exactly one slash in between and none at the end. */
export const join = (base, path) => `${base.replace(/\/+$/, "")}/${path.replace(/^\/+|\/+$/g, "")}`;

/** Fills `:basePath` and `:id` into a template, in one pass, so that a `:id` inside the base path stays what it is. */
export const fill = (template, basePath, id) =>
  template.replace(/:(\w+)/g, (all, name) => (name === "basePath" ? basePath : name === "id" ? id : all));

/** Whether the template has the placeholder `:id`. */
export const hasId = (template) => /:id(?!\w)/.test(template);

/** Whether an id can be put into a path. `.` and `..` mean another resource even when percent-encoded (RFC 3986, section
 *  5.2.4), and the empty id means the collection. */
export const isSafeId = (id) => !["", ".", ".."].includes(id);

// ---------------------------------------------------------------------------------------------------- options

// The options of an `HttpTransporter`: read once, checked once. Owns what is allowed, and the sentence for what is not,
// which is thrown as {code, message}. What the options do is in `exchange.js`.

/** Half a minute: longer than any API takes, shorter than people wait. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** The most that `setTimeout` can count; beyond it fires at once. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/** The names of the actions in the option `methods`, in the order of the engine's numbers. */
const ACTIONS = ["create", "update", "delete", "fetch", "fetchOne"];

const refuse = (option, what) => {
  throw { code: "E_OPTIONS", message: `the option \`${option}\` ${what}` };
};

/** The options, checked: `{origin, path, basePath, headers, credentials, patches, idempotencyKey, timeout, rows, deleted,
 *  conditional, since, pages, live, routes}`. */
export function readOptions(given) {
  if (typeof given !== "object" || given === null)
    refuse("HttpTransporter", 'needs an object of options, for instance {path: "people"}');
  const path = typed(given, "path", "string") ?? "";
  if (/^\/*$|[?#]/.test(path))
    refuse("path", 'must be the path of the collection, for instance "people", without a query');
  const base = resolveBase(typed(given, "baseUrl", "string") ?? "", path);
  const update = oneOf(given, "update", ["PUT", "PATCH"]);
  const options = {
    origin: base.origin,
    path,
    basePath: base.href.replace(/\/+$/, ""),
    headers: readHeaders(given),
    credentials: oneOf(given, "credentials", ["same-origin", "include", "omit"]),
    patches: update === "PATCH",
    idempotencyKey: idempotencyKey(given, base.origin),
    timeout: timeout(given),
    conditional: typed(given, "conditional", "boolean") ?? true,
    rows: typed(given, "rows", "function"),
    deleted: typed(given, "deleted", "function"),
    since: since(given),
    pages: pages(given),
    live: live(given, base),
    routes: routes(given, update),
  };
  // A template must not lead to another server: headers and cookies go to their own origin only.
  for (const { template } of options.routes)
    if (parse(fill(template, options.basePath, "1"))?.origin !== options.origin)
      refuse("methods", "has a pathTemplate that leads elsewhere; begin it with :basePath");
  return options;
}

const NEEDED = {
  string: "a string",
  boolean: "true or false",
  function: "a function, for instance b => b.data",
};

/** The option, if it is of that type or left out. */
function typed(options, name, type) {
  const value = options[name];
  if (value !== undefined && typeof value !== type) refuse(name, `must be ${NEEDED[type]}`);
  return value;
}

/** One of these texts; the first if it is left out. */
function oneOf(options, name, allowed) {
  const value = options[name] === undefined ? allowed[0] : options[name];
  if (!allowed.includes(value)) refuse(name, `must be one of ${allowed.map((text) => `"${text}"`).join(", ")}`);
  return value;
}

function parse(address, base) {
  try {
    return new URL(address, base);
  } catch {
    return undefined;
  }
}

/** The address of the collection. */
function resolveBase(baseUrl, path) {
  if (/[?#]/.test(baseUrl)) refuse("baseUrl", "must not have a query or a fragment");
  // The page, or the worker; nothing under Node.
  const page = globalThis.document?.baseURI ?? globalThis.location?.href;
  // On its own first: joined with a path, "https://" would make the path a host.
  const base = parse(baseUrl || "/", page);
  const url = base && parse(join(base.href, path));
  if (!url)
    refuse("baseUrl", 'must be an address, and an absolute one ("https://example.org/api") where there is no page');
  if (!/^https?:$/.test(url.protocol)) refuse("baseUrl", "must lead to an http: or https: address");
  if (url.username || url.password) refuse("baseUrl", "must not hold a user or a password; use the option `headers`");
  return url;
}

/** The names and values of an option that is an object; none if it is left out. */
function entries(options, name) {
  const value = options[name];
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null) refuse(name, "must be an object");
  return Object.entries(value);
}

function readHeaders(options) {
  const pairs = entries(options, "headers");
  for (const [name, value] of pairs) {
    if (!isToken(name)) refuse("headers", `has the name \`${name}\`, which no header can have`);
    if (typeof value !== "string" || !isValue(value))
      refuse("headers", `has for ${name} a value that is no text, or has a line break or such that no header can hold`);
  }
  return pairs;
}

/** By default only where no other server must allow the header. Node has no origin, and asks nobody. */
function idempotencyKey(options, origin) {
  const given = options.idempotencyKey;
  if (typeof given === "string" && isToken(given)) return given;
  if (given !== undefined && typeof given !== "boolean")
    refuse("idempotencyKey", "must be true, false or the name of a header");
  const here = globalThis.location?.origin;
  return (given ?? (here === undefined || here === origin)) ? "Idempotency-Key" : undefined;
}

function since({ since: given }) {
  if (given === undefined) return undefined;
  const { param, from } = given ?? {};
  if (typeof param !== "string" || param === "")
    refuse("since", "needs a `param`: the name of the query parameter that says from where on");
  if (!["Last-Modified", "ETag"].includes(from) && typeof from !== "function")
    refuse("since", 'needs a `from`: "Last-Modified", "ETag", or a function (response, body) => text');
  return { param, from };
}

function pages({ pages: given }) {
  if (given !== undefined && given !== "link" && typeof given !== "function")
    refuse("pages", 'must be "link", or a function (response, body) => address of the next page');
  return given;
}

/** Relative to the address of the collection's server. Cookies go only where the collection's go, and on demand. */
function live({ live: given, credentials }, base) {
  if (given === undefined) return undefined;
  const { url: address, parse: parser } = typeof given === "string" ? { url: given } : (given ?? {});
  const url = typeof address === "string" ? parse(address, base.href) : undefined;
  if (!url || !/^(https?|wss?):$/.test(url.protocol) || url.username || url.password)
    refuse("live", "must be an http:, https:, ws: or wss: address, without a user or a password");
  if (parser !== undefined && typeof parser !== "function")
    refuse("live", "has a `parse` that is no function of a message");
  url.hash = "";
  return { url: url.href, parse: parser, withCredentials: credentials === "include" && url.origin === base.origin };
}

function timeout(options) {
  const ms = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : options.timeout;
  if (typeof ms !== "number" || !(ms > 0 && ms <= LONGEST_TIMEOUT_MS))
    refuse("timeout", "must be a number of milliseconds, more than 0 and at most 2147483647");
  return ms;
}

function routes(options, update) {
  const one = ":basePath/:id";
  const list = [
    { method: "POST", template: ":basePath" },
    { method: update, template: one },
    { method: "DELETE", template: one },
    { method: "GET", template: ":basePath" },
    { method: "GET", template: one },
  ];
  for (const [action, given] of entries(options, "methods")) {
    const place = ACTIONS.indexOf(action);
    if (place < 0) refuse("methods", `has ${action}, which is no action of this version`);
    const template = given?.pathTemplate;
    if (typeof given?.method !== "string" || typeof template !== "string")
      refuse("methods", "must map an action to {method, pathTemplate}, both strings");
    // Without the id every item would have the same address.
    if (hasId(list[place].template) && !hasId(template))
      refuse("methods", `has for ${action} a pathTemplate without :id`);
    const method = given.method.toUpperCase();
    const carries = place < 2;
    // Those that browsers do not send, and those that cannot have a body.
    if (!isToken(method) || /^(CONNECT|TRACE|TRACK)$/.test(method) || (carries && /^(GET|HEAD)$/.test(method)))
      refuse("methods", `has for ${action} a method that it cannot be sent with`);
    list[place] = { method, template };
  }
  return list;
}

// --------------------------------------------------------------------------------------------------- exchange

// One request and its answer, as facts. Owns what a request says, the limits in time and size, and how a body is read
// and judged by its media type. It never rejects, never retries, and does not judge an answer.

/** The most bytes that are read of a body. A hundred thousand rows of eight fields are some 20 MiB of JSON; parsed they
 *  take several times as much memory, and a phone's tab is killed at a few hundred MiB. */
const CAP = 32 << 20;

/** The most bytes that are kept of the text of a refusal. */
const TEXT_CAP = 64 << 10;

// How an exchange ended, and what its body was: the numbers that `http.rs` reads.
const [UNREACHABLE, TIMED_OUT, CUT, ANSWERED] = [0, 1, 2, 3];
const [EMPTY, JSON_VALUE, MALFORMED, FOREIGN, TOO_LARGE] = [0, 1, 2, 3, 4];

/** The place of a collection's body among the facts. */
const BODY = 16;

/** What a request says, for middleware and subclasses to change: `{method, url, headers, body}`, the headers a plain object,
 *  the body what will be sent as JSON. Text instead: why it cannot be said. */
export function prepare(options, action, id, body, key, version) {
  const { method, template } = options.routes[action];
  let encoded = "";
  if (hasId(template)) {
    if (id === undefined) return "the item has no key yet";
    if (!isSafeId(id)) return "the item's key cannot be put into a path";
    encoded = percentEncode(id);
  }
  const headers = { Accept: "application/json", ...(body !== undefined && { "Content-Type": "application/json" }) };
  for (const [name, value] of options.headers) headers[name] = value;
  if (options.idempotencyKey && key !== undefined && isValue(key)) headers[options.idempotencyKey] = key;
  // RFC 9110 §13.1.1 and §13.1.4: only if the row is still in the state that is meant.
  if (options.conditional && version !== undefined && isValue(version))
    headers[version.startsWith('"') ? "If-Match" : "If-Unmodified-Since"] = version;
  return { method, url: fill(template, options.basePath, encoded), headers, body };
}

/** Which state of a row an answer shows, as a precondition can say it again: a strong entity tag (RFC 9110 §8.8.3; a weak one
 *  never matches in `If-Match`), else its date. The date can be read of any answer, but another origin may not allow the
 *  header that it would be sent with. */
function validator(headers, isForeign) {
  const [tag, date] = [headers.get("ETag"), headers.get("Last-Modified")];
  if (tag?.startsWith('"')) return tag;
  return (isForeign ? undefined : date) ?? undefined;
}

/** The same as `[address, method, names and values of headers in turn, body]`, ready to be sent, or why it cannot be. */
export function compose(options, { method, url, headers, body }) {
  if (parse(url)?.origin !== options.origin) return "its address leads to another server than `baseUrl`";
  const lines = [];
  for (const [name, given] of Object.entries(headers ?? {})) {
    const value = String(given).trim();
    if (!isToken(name)) return `no header can have the name \`${name}\``;
    // The value may be a secret, and what is said of a refusal is stored.
    if (!isValue(value)) return `the header \`${name}\` has a line break or another character that no header can hold`;
    lines.push(name, value);
  }
  return [url, method, lines, body === undefined ? undefined : JSON.stringify(body)];
}

/** The answer of a server that cannot process a request, for one that is not sent. */
export const unsendable = (reason) => [ANSWERED, 422, EMPTY, undefined, `the request was not sent: ${reason}`];

/** Sends it, at the latest until the timeout: `[ending, message]` or `[ending, status, body's kind, JSON, text,
 *  Retry-After, Location, ETag, Response]`. `all`: a fetch of the whole collection; `reading`: a fetch of any kind. */
export async function exchange([address, method, , body], headers, options, reading, all) {
  let timer;
  const controller = new AbortController();
  let request;
  try {
    request = new Request(address, {
      method,
      headers,
      body,
      credentials: options.credentials,
      redirect: "error",
      signal: controller.signal,
      // The browser's cache may keep a collection for days if the server says nothing; revalidating is right. Who revalidates by
      // himself wants to be told that nothing has changed.
      ...(reading && { cache: isConditional(headers) ? "no-store" : "no-cache" }),
    });
  } catch {
    return unsendable("the browser refused to build it");
  }
  try {
    const over = new Promise((resolve) => {
      timer = setTimeout(() => {
        resolve([TIMED_OUT]);
        controller.abort();
      }, options.timeout);
    });
    return await Promise.race([ask(request, options, all), over]);
  } catch (error) {
    return [UNREACHABLE, words(error)];
  } finally {
    clearTimeout(timer);
  }
}

const isConditional = (headers) => headers.has("If-None-Match") || headers.has("If-Modified-Since");

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
  const body = json;
  if (kind === JSON_VALUE && options.rows && all && response.ok) {
    try {
      json = options.rows(json);
    } catch {
      kind = MALFORMED;
    }
  }
  const header = (name) => headers.get(name) ?? undefined;
  const wait = inSeconds(header("Retry-After"));
  const isForeign = ![undefined, options.origin].includes(globalThis.location?.origin);
  const version = options.conditional ? validator(headers, isForeign) : undefined;
  const facts = [ANSWERED, status, kind, json, text, wait, header("Location"), version, response];
  // As it came, for those who look for the rest of the rows.
  if (all) facts[BODY] = body;
  return facts;
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

/** Reads until the end, or until there are more bytes than the cap. Decoded in one piece: by chunks the
 *  text comes out in pieces that have to be joined before they can be parsed. */
async function content(reader, cap) {
  const chunks = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!(value instanceof Uint8Array)) {
      giveUp(reader);
      throw value;
    }
    bytes += value.length;
    if (cap > 0) chunks.push(value);
    if (bytes > cap) {
      giveUp(reader);
      break;
    }
  }
  return { text: new TextDecoder().decode(joined(chunks)), bytes };
}

function joined(chunks) {
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Tells the browser to stop downloading. Nobody waits for it, and a failure changes nothing. */
const giveUp = (reader) => reader.cancel().catch(() => {});

/** At most `TEXT_CAP` bytes of the text. */
const excerpt = (text) => text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(TEXT_CAP)).read);
