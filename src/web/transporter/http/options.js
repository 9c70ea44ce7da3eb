// The options of an `HttpTransporter`: read once, checked once. Owns what is allowed, and the sentence for what is not,
// which is thrown as {code, message}. What the options do is in `exchange.js`.

import { isToken, isValue } from "./header.js";
import { fill, hasId, join } from "./url.js";

/** Half a minute: longer than any API takes, shorter than people wait. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** The most that `setTimeout` can count; beyond it fires at once. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/** Options of the public types that this version does not have yet. */
const LATER = ["since", "pages", "live", "offlineChecker"];

/** The names of the actions in the option `methods`, in the order of the engine's numbers. */
const ACTIONS = ["create", "update", "delete", "fetch", "fetchOne"];

const refuse = (option, what) => {
  throw { code: "E_OPTIONS", message: `the option \`${option}\` ${what}` };
};

/** The options, checked: `{origin, path, basePath, headers, credentials, patches, idempotencyKey, timeout, rows, routes}`. */
export function readOptions(given) {
  if (typeof given !== "object" || given === null)
    refuse("HttpTransporter", 'needs an object of options, for instance {path: "people"}');
  for (const name of LATER)
    if (given[name] !== undefined) refuse(name, "is not available in this version yet; leave it out");
  typed(given, "conditional", "boolean");
  const path = typed(given, "path", "string") ?? "";
  if (/^\/*$|[?#]/.test(path))
    refuse("path", 'must be the path of the collection, for instance "people", without a query');
  const base = resolve(typed(given, "baseUrl", "string") ?? "", path);
  const update = oneOf(given, "update", ["PUT", "PATCH"]);
  const options = {
    origin: base.origin,
    path,
    basePath: base.href.replace(/\/+$/, ""),
    headers: headers(given),
    credentials: oneOf(given, "credentials", ["same-origin", "include", "omit"]),
    patches: update === "PATCH",
    idempotencyKey: idempotencyKey(given, base.origin),
    timeout: timeout(given),
    rows: typed(given, "rows", "function"),
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
function resolve(baseUrl, path) {
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

function headers(options) {
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
