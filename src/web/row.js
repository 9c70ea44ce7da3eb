// What the shell does with the values of items, in JavaScript, because that is where values live: one call for a whole
// answer or a whole load, never one for each value. Decides nothing about order, retry, merge or state: the engine names
// the fields, this file moves them.
//
// A row is an array: client storage's key, the server's key, what is to be said to the server (in stored copies only), the
// names of the columns, then the fields in the schema's order. An array is read by place, which engines make as fast as
// a plain object's property for any number of schemas; a property whose name is data is read five times slower
// (measured: 1e6 reads 2.3 ms plain, 3.1 ms by place, 12 ms by name). A row says itself what its columns are, so that a
// copy of it can be stored as it is and be read under another schema. Objects are made of it for what goes out
// to others: requests, and the records of client storages written in JavaScript. A field set comes as four words of 32
// bits. A refusal is thrown as {code, message}.

const MAX_DEPTH = 64;

const refuse = (code, message) => {
  throw { code, message };
};

/** names: the fields in their order; kinds: for each its {kind, required, default, items, properties}; `migrations[2]` brings what
 *  was stored under version 1 to version 2. */
export function makeShape(names, kinds, key, storageKey, numeric, version, migrations) {
  const placesOf = (list) => new Map(list.map((name, place) => [name, place]));
  for (const definition of kinds) nameReferences(definition);
  demandNames(kinds, [key, storageKey, "_sync", VERSION]);
  const referring = names.map((_, place) => place).filter((place) => kinds[place].refersWithin);
  const columns = columnsOf(names, kinds, referring);
  // The version stands behind the columns: rows that are stored together share the list, so it costs a row nothing.
  const stamp = version === 1 ? columns : [...columns, version];
  const ours = referring.length === 0 ? stamp : names;
  const blank = [undefined, undefined, undefined, ours, ...names.map(() => undefined)];
  const places = placesOf(names);
  const columnPlaces = columns === names ? places : placesOf(columns);
  const words = [0, 0, 0, 0];
  return {
    names,
    kinds,
    places,
    columns,
    columnPlaces,
    stamp,
    ours,
    version,
    migrations,
    referring,
    key,
    storageKey,
    numeric,
    blank,
    words,
    givenKey: undefined,
  };
}

const STORAGE_KEY = 0;
const REMOTE_KEY = 1;
const SYNC = 2;
const COLUMNS = 3;
/** The place of the first field. */
const FIRST = 4;

/** A copy of one array, so that all rows are of one kind to the JavaScript engine. */
const blankRow = (shape) => shape.blank.slice();

export const emptyRow = (shape) => hold(blankRow(shape));

/** The rows that the engine holds, by the numbers under which it knows them, and the numbers that are free again. */
const held = [];
const free = [];

function hold(row) {
  const number = free.length > 0 ? free.pop() : held.length;
  held[number] = row;
  return number;
}

/** Many rows under numbers that follow each other; the first of these. */
function holdAll(rows) {
  const first = held.length;
  for (const row of rows) held.push(row);
  return first;
}

export function release(number) {
  held[number] = undefined;
  free.push(number);
}

export const rowAt = (number) => held[number];

/** Calls `made(store, item, row)`. */
export const tellMade = (made, store, item, number) => made(store, item, held[number]);

/** Calls `changed(store, added, rows, updated, removed)`, in which lists that are empty are left out. The lists that come in
 *  lie in the module's memory, which may move. */
export function tellChanged(changed, store, added, numbers, updated, removed) {
  const rows = Array.from(numbers, rowAt);
  const some = (list) => (list.length > 0 ? list.slice() : undefined);
  changed(store, some(added), rows, some(updated), some(removed));
}

const isPlain = (value) => {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
};

/** Own data, whatever the name: `__proto__` is a name like any other. */
const put = (object, name, value) => {
  if (name === "__proto__")
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  else object[name] = value;
};

const UNKEEPABLE = ["function", "symbol", "bigint"];

const refuseDepth = (path) =>
  refuse(
    "E_NOT_CLONEABLE",
    `"${path}" refers to itself or is nested deeper than ${MAX_DEPTH} levels; give it plain data`,
  );

/** A copy that shares nothing with the app's value, and can be stored and sent. */
function copy(value, path, depth) {
  if (depth > MAX_DEPTH) refuseDepth(path);
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return value;
    case "number":
      if (!Number.isFinite(value))
        refuse("E_TYPE", `"${path}" is ${value}, which JSON cannot carry; use a finite number or null`);
      return value;
    case "object":
      break;
    default:
      refuse(
        "E_NOT_CLONEABLE",
        `"${path}" holds a ${typeof value}, which cannot be stored or sent; give it plain data`,
      );
  }
  if (value === null) return null;
  if (Array.isArray(value)) return Array.from(value, (entry, at) => copy(entry, `${path}[${at}]`, depth + 1));
  if (value instanceof Date) return checkDate(value, path);
  if (!isPlain(value))
    refuse("E_NOT_CLONEABLE", `"${path}" holds a ${value.constructor?.name ?? "special object"}; give it plain data`);
  const plain = {};
  for (const name of Object.keys(value)) put(plain, name, copy(value[name], `${path}.${name}`, depth + 1));
  return plain;
}

function checkDate(value, path) {
  const time = value.getTime();
  if (Number.isNaN(time)) refuse("E_TYPE", `"${path}" is an invalid Date; set a valid one or null`);
  return new Date(time);
}

/** Whether a value from elsewhere is nested no deeper than what `copy` takes: what is, overflows the stack of whoever walks it. */
const isShallow = (value, depth = 0) =>
  depth <= MAX_DEPTH &&
  (typeof value !== "object" || value === null || Object.values(value).every((inner) => isShallow(inner, depth + 1)));

/** What is kept of a value of which the schema says nothing more. */
function untyped(value, path, foreign) {
  if (!foreign) return copy(value, path, 0);
  return isShallow(value) ? value : refuseDepth(path);
}

const article = (kind) => (kind === "array" || kind === "object" ? `an ${kind}` : `a ${kind}`);

const describe = (value) =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "an array"
      : value instanceof Date
        ? "a Date"
        : article(typeof value);

const wrong = (definition, value, path) =>
  refuse(
    "E_TYPE",
    `"${path}" must be ${article(definition.kind)}, not ${describe(value)}; convert it first, or set null`,
  );

/** The value as its property keeps it. `foreign`: parsed JSON, which nobody else holds and in which dates are text. */
function check(definition, value, path, foreign) {
  if (value === null || value === undefined) return value;
  if (UNKEEPABLE.includes(typeof value)) copy(value, path, 0);
  switch (definition.kind) {
    case "string":
    case "boolean":
      return typeof value === definition.kind ? value : wrong(definition, value, path);
    case "number":
      if (typeof value !== "number") wrong(definition, value, path);
      return copy(value, path, 0);
    case "key":
    case "numberKey":
      if (definition.refers) return checkReference(definition, value, path, foreign);
      return typeof value === "string" || typeof value === "number"
        ? copy(value, path, 0)
        : wrong(definition, value, path);
    case "date":
      if (value instanceof Date) return checkDate(value, path);
      return foreign && (typeof value === "string" || typeof value === "number")
        ? checkDate(new Date(value), path)
        : wrong(definition, value, path);
    case "array":
      return Array.isArray(value) ? checkArray(definition, value, path, foreign) : wrong(definition, value, path);
    default:
      return isPlain(value) ? checkObject(definition, value, path, foreign) : wrong(definition, value, path);
  }
}

/** Whether a value of parsed JSON is already what its property keeps: then nothing is made anew, and no path is spelled. */
function fits(definition, value) {
  if (value === null) return true;
  switch (definition.kind) {
    case "string":
    case "boolean":
      return typeof value === definition.kind;
    // JSON can write numbers that JavaScript takes for infinite.
    case "number":
      return Number.isFinite(value);
    case "array": {
      const { items } = definition;
      if (!Array.isArray(value)) return false;
      if (!items) return isShallow(value);
      for (const entry of value) if (!fits(items, entry)) return false;
      return true;
    }
    case "object": {
      if (typeof value !== "object" || Array.isArray(value) || definition.refersWithin) return false;
      const { properties } = definition;
      if (!properties?.length) return isShallow(value);
      // Found by its name once for all rows: a definition is asked for each value of an answer.
      definition.byName ??= new Map(properties.map((property) => [property.name, property]));
      for (const name in value) {
        const property = definition.byName.get(name);
        if (property === undefined || !fits(property, value[name])) return false;
      }
      return true;
    }
    default:
      return false;
  }
}

function checkArray(definition, value, path, foreign) {
  if (!definition.items) return untyped(value, path, foreign);
  const list = [];
  for (let at = 0; at < value.length; at++) list.push(check(definition.items, value[at], path, foreign));
  return list;
}

function checkObject(definition, value, path, foreign) {
  if (!definition.properties?.length) return untyped(value, path, foreign);
  const plain = {};
  for (const property of definition.properties) {
    const inner = foreign ? given(property, value) : valueAt(value, property.name, false);
    if (inner !== undefined) plain[property.name] = check(property, inner, `${path}.${property.name}`, foreign);
  }
  return plain;
}

// ---------------------------------------------------------------- references

/** A reference to an item, by the keys that are known of it. Never changed, because rows share it; but for `item` and `store`,
 *  where the page keeps what it has found. */
class Reference {
  item = undefined;
  store = undefined;
  constructor(definition, remote, stored) {
    this.definition = definition;
    this.remote = remote;
    this.stored = stored;
  }
}

/** Notes in a definition and what is in it what is to be known of references: `refersWithin`; `sent`: the name on the
 *  server's side; for what refers itself, or is a list of what does, `stored`: the name in client storage. */
function nameReferences(definition) {
  const inside = [...(definition.properties ?? []), ...(definition.items ? [definition.items] : [])];
  for (const one of inside) nameReferences(one);
  const reference = definition.kind === "array" ? definition.items : definition;
  definition.refersWithin = Boolean(definition.refers) || inside.some((one) => one.refersWithin);
  definition.sent = (reference?.refers && reference.key) || definition.name;
  definition.stored = reference?.refers ? (reference.storageKey ?? `_${definition.sent}`) : undefined;
}

/** What is sent or stored under one name would be lost. */
function demandNames(definitions, seen = []) {
  for (const { name, sent, stored, properties, items } of definitions) {
    for (const one of stored === undefined ? [name] : [sent, stored]) {
      if (seen.includes(one))
        refuse("E_SCHEMA", `"${one}" is the name of two things, \`key\` and \`_key\` included; name them differently`);
      seen.push(one);
    }
    for (const inner of [properties, items?.properties]) if (inner) demandNames(inner);
  }
}

/** The columns of stored rows: what refers to an item has one for client storage's keys, and behind the others one for the server's. */
function columnsOf(names, kinds, referring) {
  if (referring.length === 0) return names;
  const direct = kinds.filter((definition) => definition.stored !== undefined);
  return [...kinds.map((definition) => definition.stored ?? definition.name), ...direct.map(({ sent }) => sent)];
}

/** What an object has of its own under a name. */
const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

/** The same, or, for `path`, what is at the end of one. */
function valueAt(object, name, path) {
  const value = object[name];
  if (value !== undefined && Object.hasOwn(object, name)) return value;
  const dot = path ? name.indexOf(".") : -1;
  if (dot < 0) return undefined;
  const inner = valueAt(object, name.slice(0, dot), false);
  return isPlain(inner) ? valueAt(inner, name.slice(dot + 1), true) : undefined;
}

/** What a server's object has for a property: the keys of references may lie deeper. */
const given = (definition, object) => valueAt(object, definition.sent, definition.stored !== undefined);

/** Puts what is sent of a property where `given` finds it. What is on the way may be the row's own value, so it is copied. */
function give(definition, object, value, name = definition.sent) {
  const dot = definition.stored === undefined ? -1 : name.indexOf(".");
  if (dot < 0) return put(object, name, value);
  const inner = valueAt(object, name.slice(0, dot), false);
  const copied = isPlain(inner) ? { ...inner } : {};
  give(definition, copied, value, name.slice(dot + 1));
  return put(object, name.slice(0, dot), copied);
}

function checkReference(definition, value, path, foreign) {
  if (value instanceof Reference) return value;
  const keys = foreign ? keyText(value) !== "" && [value] : definition.keysOf(value);
  if (!keys)
    refuse(
      "E_TYPE",
      `"${path}" must be an item of the store that it refers to, and not removed, not ${describe(value)}; give it one, or null`,
    );
  return new Reference(definition, ...keys);
}

const isKey = (one, other) => one !== undefined && other !== undefined && String(one) === String(other);

/** The server's keys say whether both mean the same item, or, where one of them is not known, those of client storage. */
const sameItem = (one, other) =>
  one instanceof Reference &&
  other instanceof Reference &&
  (one.remote === undefined || other.remote === undefined
    ? isKey(one.stored, other.stored)
    : isKey(one.remote, other.remote));

/** A value with keys in place of references. `side`: "sent" as the server has it, without what has no key yet; "remote" and
 *  "stored" one for each reference. */
function keysIn(definition, value, side) {
  if (value instanceof Reference) return value[side === "stored" ? "stored" : "remote"];
  if (!definition.refersWithin || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const keys = value.map((entry) => keysIn(definition.items, entry, side));
    return side === "sent" ? keys.filter((key) => key !== undefined) : keys;
  }
  const object = {};
  for (const property of definition.properties) {
    const inner = value[property.name];
    if (side === "sent") {
      const keys = keysIn(property, inner, side);
      if (keys !== undefined) give(property, object, keys);
    } else {
      object[property.stored ?? property.name] = keysIn(property, inner, "stored");
      if (property.stored !== undefined) object[property.sent] = keysIn(property, inner, "remote");
    }
  }
  return object;
}

/** What `keysIn` made two of, in one again. */
function referencesIn(definition, stored, remote) {
  if (definition.refers) {
    const known = (key) => (keyText(key) === "" ? undefined : key);
    if (known(stored) === undefined && known(remote) === undefined) return stored === null ? null : undefined;
    return new Reference(definition, known(remote), known(stored));
  }
  if (!definition.refersWithin || typeof stored !== "object" || stored === null) return stored;
  if (Array.isArray(stored))
    return stored.map((entry, at) =>
      referencesIn(definition.items, entry, remote === undefined ? undefined : remote?.[at]),
    );
  const object = {};
  for (const property of definition.properties) {
    const inner = referencesIn(property, own(stored, property.stored ?? property.name), own(stored, property.sent));
    if (inner !== undefined) object[property.name] = inner;
  }
  return object;
}

/** Turns a copy of a row into what is stored of it. */
function toColumns(shape, copied) {
  for (const place of shape.referring) {
    const definition = shape.kinds[place];
    const value = copied[FIRST + place];
    copied[FIRST + place] = keysIn(definition, value, "stored");
    if (definition.stored !== undefined) copied.push(keysIn(definition, value, "remote"));
  }
  copied[COLUMNS] = shape.stamp;
  return copied;
}

/** Turns what is stored into a row. */
function fromColumns(shape, row) {
  let next = FIRST + shape.names.length;
  for (const place of shape.referring) {
    const definition = shape.kinds[place];
    const remote = definition.stored === undefined ? undefined : row[next++];
    row[FIRST + place] = referencesIn(definition, row[FIRST + place], remote);
  }
  row.length = FIRST + shape.names.length;
  return row;
}

/** A value with what `visit` makes of each reference in it; of a list's, those that become null are left out. */
function visited(value, visit) {
  if (value instanceof Reference) return visit(value);
  if (Array.isArray(value))
    return value.flatMap((entry) => {
      const made = visited(entry, visit);
      return made === null && entry !== null ? [] : [made];
    });
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, visited(inner, visit)]));
}

/** A small number as one character, which is not NUL. */
const asText = (number) => String.fromCharCode(number + 1);

/** The references in the fields, NUL between: of each the place, the store ("" if it is not known yet), the server's key and
 *  client storage's. */
export function references(shape, number, a, b, c, d) {
  const texts = [];
  const row = held[number];
  each([a, b, c, d], (place) =>
    visited(row[FIRST + place], (reference) => {
      const store = reference.definition.refers();
      texts.push(
        asText(place),
        store === undefined ? "" : asText(store),
        keyText(reference.remote),
        keyText(reference.stored),
      );
      return reference;
    }),
  );
  return texts.join("\0");
}

const keyOfText = (text) => (text === "" ? undefined : text[0] === "n" ? Number(text.slice(1)) : text.slice(1));

/** Gives the references, in the order of `references`, new keys. `texts`: of each the server's and client storage's; a
 *  reference without any becomes null. */
export function bind(number, texts, a, b, c, d) {
  const keys = texts.split("\0").map(keyOfText);
  const row = held[number];
  let at = 0;
  each([a, b, c, d], (place) => {
    row[FIRST + place] = visited(row[FIRST + place], ({ definition }) => {
      const [remote, stored] = [keys[at++], keys[at++]];
      if (remote === undefined && stored === undefined) return null;
      const numeric = definition.kind === "numberKey" && remote !== undefined;
      return new Reference(definition, numeric ? Number(remote) : remote, stored);
    });
  });
}

/** Whether it can be a key. */
const isKeyText = (key) => Number.isFinite(key) || keyText(key) !== "";

/** NUL separates keys on their way into the engine, and half a pair would be another character there, the same for all of them. */
const UNUSABLE = /[\0\p{Surrogate}]/u;

/** A key as text, "" for none. */
function keyText(key) {
  if (typeof key === "number") return Number.isFinite(key) ? `n${key}` : "";
  return typeof key === "string" && key !== "" && !UNUSABLE.test(key) ? `s${key}` : "";
}

/** The number that a text is, as JavaScript writes it; NaN for any other. */
const numberIn = (text) => (String(Number(text)) === text ? Number(text) : NaN);

/** A key as it is given: where keys are numbers, text has to be one. */
const canonicalKey = (shape, key) => (shape.numeric && typeof key === "string" ? numberIn(key) : key);

/** Many keys on their way into the engine: as numbers if all of them are whole, which costs no text; else as text, NUL between. */
const manyKeys = (keys) => (keys.every(Number.isSafeInteger) ? Float64Array.from(keys) : keys.map(keyText).join("\0"));

/** The app's values as a row of their own; `words` says which were given. `whole`: for a new item, with defaults and what is
 *  required. */
export function take(shape, values, whole) {
  if (typeof values !== "object" || values === null)
    refuse("E_TYPE", `the values must be an object with the schema's properties, not ${describe(values)}`);
  const { names, kinds } = shape;
  const row = blankRow(shape);
  const words = shape.words.fill(0);
  for (let place = 0; place < names.length; place++) {
    const definition = kinds[place];
    let value = values[names[place]];
    if (value === undefined) {
      if (whole) value = definition.default;
      else if (!(names[place] in values)) continue;
    }
    if (definition.required && (value === undefined || value === null))
      refuse("E_TYPE", `"${names[place]}" is required; give it a value`);
    row[FIRST + place] = check(definition, value, names[place], false);
    words[place >> 5] |= 1 << (place & 31);
  }
  shape.givenKey = canonicalKey(shape, values[shape.key]);
  return hold(row);
}

/** The key among the values that were taken last: null for none, else as `takeKey`. */
export const givenKey = (shape) =>
  shape.givenKey === undefined || shape.givenKey === null ? null : keyText(shape.givenKey);

/** One of the four words that were set last. */
export const word = (shape, at) => shape.words[at];

/** One value as a row of its own. */
export function takeOne(shape, place, value) {
  const name = shape.names[place];
  const definition = shape.kinds[place];
  if ((value === undefined || value === null) && definition.required)
    refuse("E_TYPE", `"${name}" is required; give it a value`);
  const row = blankRow(shape);
  row[FIRST + place] = check(definition, value, name, false);
  return hold(row);
}

/** A server's object as a row; undefined if it is none. Values of a wrong type are left out. */
export function takeForeign(shape, values) {
  if (!isPlain(values)) return undefined;
  const row = blankRow(shape);
  const words = shape.words.fill(0);
  for (let place = 0; place < shape.names.length; place++) {
    const name = shape.names[place];
    const value = given(shape.kinds[place], values);
    if (value === undefined) continue;
    try {
      row[FIRST + place] = check(shape.kinds[place], value, name, true);
      words[place >> 5] |= 1 << (place & 31);
    } catch (refusal) {
      if (refusal?.code === undefined) throw refusal;
    }
  }
  shape.givenKey = Object.hasOwn(values, shape.key) ? canonicalKey(shape, values[shape.key]) : undefined;
  return hold(row);
}

/** A server's array as rows. A row without a key, with a wrong type, or twice is left out and counted. */
export function takeAll(shape, list) {
  const rows = [];
  const keys = [];
  const words = new Uint32Array(list.length * 4);
  const seen = new Set();
  let problems = 0;
  let problem = "";
  // 1 and "1" are one key; of most answers all keys are of one kind.
  let kind;
  let isMixed = false;
  const leaveOut = (at, why) => {
    if (problems++ === 0) problem = `row ${at}: ${why}`;
  };
  for (let at = 0; at < list.length; at++) {
    const values = list[at];
    const key =
      isPlain(values) && Object.hasOwn(values, shape.key) ? canonicalKey(shape, values[shape.key]) : undefined;
    // Those lead elsewhere as a segment of an address.
    if (!isKeyText(key) || key === "." || key === "..") {
      leaveOut(at, `there is no key "${shape.key}"`);
      continue;
    }
    kind ??= typeof key;
    isMixed ||= typeof key !== kind;
    if (seen.has(key) || (isMixed && seen.has(typeof key === "number" ? String(key) : numberIn(key)))) {
      leaveOut(at, `the key ${key} comes twice`);
      continue;
    }
    const base = rows.length * 4;
    const row = blankRow(shape);
    row[REMOTE_KEY] = key;
    try {
      for (let place = 0; place < shape.names.length; place++) {
        const definition = shape.kinds[place];
        const value = given(definition, values);
        if (value === undefined) continue;
        row[FIRST + place] = fits(definition, value) ? value : check(definition, value, definition.name, true);
        words[base + (place >> 5)] |= 1 << (place & 31);
      }
    } catch (refusal) {
      if (refusal?.code === undefined) throw refusal;
      words.fill(0, base, base + 4);
      leaveOut(at, refusal.message);
      continue;
    }
    seen.add(key);
    rows.push(row);
    keys.push(key);
  }
  return { first: holdAll(rows), count: rows.length, keys: manyKeys(keys), words, problems, problem };
}

/** A key in the form that `Key` reads. */
export const takeKey = keyText;

export const keyValue = (shape, text, numeric) => (numeric || shape.numeric ? Number(text) : text);

export const setRemoteKey = (shape, number, text, numeric) => {
  held[number][REMOTE_KEY] = keyValue(shape, text, numeric);
};

function each(words, visit) {
  for (let at = 0; at < 4; at++)
    for (let left = words[at] >>> 0; left !== 0; left &= left - 1) visit(at * 32 + 31 - Math.clz32(left & -left));
}

const move = (row, from, words) =>
  each(words, (place) => {
    row[FIRST + place] = from[FIRST + place];
  });

export const merge = (number, from, a, b, c, d) => move(held[number], held[from], [a, b, c, d]);

export function pick(shape, number, a, b, c, d) {
  const picked = blankRow(shape);
  move(picked, held[number], [a, b, c, d]);
  return hold(picked);
}

function same(one, other) {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (one instanceof Reference || other instanceof Reference) return sameItem(one, other);
  if (one instanceof Date || other instanceof Date)
    return one instanceof Date && other instanceof Date && one.getTime() === other.getTime();
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}

/** Whether any of the fields differs; `words` says which. */
export function diff(shape, number, other, a, b, c, d) {
  const [mine, theirs] = [held[number], held[other]];
  const words = shape.words.fill(0);
  let any = false;
  each([a, b, c, d], (place) => {
    if (place < shape.names.length && !same(mine[FIRST + place], theirs[FIRST + place])) {
      words[place >> 5] |= 1 << (place & 31);
      any = true;
    }
  });
  return any;
}

/** The fields of a row by the names of their columns, as they are stored; what is undefined is left out. */
function fieldsOf(shape, row) {
  const object = {};
  const stored = shape.referring.length > 0 ? toColumns(shape, row.slice()) : row;
  shape.columns.forEach((name, place) => {
    const value = stored[FIRST + place];
    if (value !== undefined) object[name] = value;
  });
  return object;
}

/** What is sent: the fields that are set, and the key if there is one. */
export function payload(shape, number, text, numeric, a, b, c, d) {
  const body = {};
  const row = held[number];
  each([a, b, c, d], (place) => {
    if (place >= shape.names.length) return;
    const definition = shape.kinds[place];
    const value = definition.refersWithin ? keysIn(definition, row[FIRST + place], "sent") : row[FIRST + place];
    if (value !== undefined) give(definition, body, value);
  });
  if (text !== undefined) body[shape.key] = keyValue(shape, text, numeric);
  return body;
}

// ------------------------------------------------------------------- records

const fieldNames = (shape, words) => {
  const names = [];
  each(words, (place) => place < shape.names.length && names.push(shape.names[place]));
  return names;
};

export function packEdit(shape, action, first, last, key, a, b, c, d) {
  const edit = { action, first, last, key };
  // A create covers all fields, unless some wait for another item; a delete none.
  const names = fieldNames(shape, [a, b, c, d]);
  if (action === "update" || (action === "create" && names.length < shape.names.length)) edit.fields = names;
  return edit;
}

export function packAttempt(shape, edit, attempts, frozen, version, name, fault) {
  const attempt = { ...edit, attempts };
  if (frozen !== undefined) attempt.frozen = fieldsOf(shape, held[frozen]);
  if (version !== undefined) attempt.version = version;
  if (fault) attempt[name] = fault;
  return attempt;
}

/** What is to be said to the server. */
export function packSync(shape, settled, inFlight, pending, base, a, b, c, d) {
  const sync = { settled };
  if (inFlight) sync.inFlight = inFlight;
  if (pending) sync.pending = pending;
  if (base !== undefined) {
    sync.base = fieldsOf(shape, held[base]);
    sync.baseFields = fieldNames(shape, [a, b, c, d]);
  }
  return sync;
}

/** Copies of many rows, to be stored, in one crossing. `texts`: NUL between them, for each row its storage key, and for a new
 *  item the key of its create. `numbers`: for each row NUMERIC | NEW, and for a new item the places of its first and last
 *  edit. */
export function packAll(shape, rows, texts, numbers) {
  const text = texts.split("\0");
  let [at, nth] = [0, 0];
  return Array.from(rows, (number) => {
    const row = held[number];
    const kind = numbers[nth++];
    const storageKey = text[at++];
    row[STORAGE_KEY] ??= kind & NUMERIC ? Number(storageKey) : storageKey;
    const copied = row.slice();
    if (shape.referring.length > 0) toColumns(shape, copied);
    if (kind & NEW) copied[SYNC] = [numbers[nth++], numbers[nth++], text[at++]];
    return copied;
  });
}

const NUMERIC = 1;
const NEW = 2;

export const setSync = (rows, at, sync, version) => {
  rows[at][SYNC] = version === undefined ? sync : { ...sync, version };
};

/** Stored rows as records: the values by the names of their columns, the keys, and what is to be said to the server, if
 *  anything is. */
export const recordsOf = (shape, rows) =>
  rows.map((row) => {
    const record = {};
    row[COLUMNS].forEach((name, place) => {
      if (row[FIRST + place] !== undefined) record[name] = row[FIRST + place];
    });
    record[shape.storageKey] = row[STORAGE_KEY];
    if (row[REMOTE_KEY] !== undefined) record[shape.key] = row[REMOTE_KEY];
    if (row[SYNC] !== undefined) record._sync = row[SYNC];
    if (shape.version > 1) record[VERSION] = shape.version;
    return record;
  });

/** The name in a record of the version of its schema, if that is not 1. */
const VERSION = "_schemaVersion";

/** The version in a list of columns; NaN for what cannot be one, which is damaged and not newer. */
function versionIn(columns) {
  const last = columns.at(-1);
  if (typeof last !== "number") return 1;
  return last > 0 && last === Math.trunc(last) && last < 2 ** 31 ? last : NaN;
}

/** A value of a column, if it is what the schema demands. Keys of references are not judged. */
function checked(shape, place, value) {
  const definition = shape.kinds[place];
  return definition === undefined || definition.refersWithin
    ? value
    : check(definition, value, shape.columns[place], true);
}

/** A record of this version as a stored row. */
const rowOf = (shape, record) => [
  record[shape.storageKey],
  record[shape.key],
  record._sync,
  shape.stamp,
  ...shape.columns.map((name, place) => checked(shape, place, own(record, name))),
];

/** A record as a stored row; none if it makes no sense. Of another version it is taken as it is. */
function storedRow(shape, record) {
  if (!isPlain(record)) return undefined;
  const version = record[VERSION] ?? 1;
  try {
    if (version === shape.version) return rowOf(shape, record);
    const apart = [shape.storageKey, shape.key, "_sync", VERSION];
    const columns = Object.keys(record).filter((name) => !apart.includes(name));
    const values = columns.map((name) => record[name]);
    return [record[shape.storageKey], record[shape.key], record._sync, [...columns, Number(version)], ...values];
  } catch {
    return undefined;
  }
}

/** Records as stored rows. */
export const storedOf = (shape, records) =>
  Array.from(Array.isArray(records) ? records : [undefined], (record) => storedRow(shape, record));

/** A stored object as a row. Throws when its values are not what the schema demands. */
export function unpackRow(shape, object) {
  const row = blankRow(shape);
  shape.columns.forEach((name, place) => {
    row[FIRST + place] = checked(shape, place, own(object, name));
  });
  return hold(fromColumns(shape, row));
}

/** The same values under this shape's columns. */
function underColumns(shape, stored) {
  const row = blankRow(shape);
  for (let at = 0; at < FIRST; at++) if (at !== COLUMNS) row[at] = stored[at];
  stored[COLUMNS].forEach((name, place) => {
    const known = shape.columnPlaces.get(name);
    if (known !== undefined) row[FIRST + known] = stored[FIRST + place];
  });
  return row;
}

/** Keys for client storage are made in ascending order, so sorting by them gives the order in which items came. */
function inOrder(rows) {
  // What is no key may be something that cannot even be compared.
  const key = (row) => (typeof row?.[STORAGE_KEY] === "object" ? undefined : row?.[STORAGE_KEY]);
  for (let at = 1; at < rows.length; at++)
    if (!(key(rows[at - 1]) <= key(rows[at]))) return rows.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
  return rows;
}

/** Stored rows as rows to work with, with what is to be said of them, in one crossing. They become the items' own. What makes
 *  no sense is listed: keys, which may be undefined, and why. `migrated`: places of rows of an older version, and whether
 *  the payload of what is in flight is another one now, 1 for any field of it, 2 for an edited one. `isNewer`: some are of a newer
 *  version, and nothing else is said. `areNotes`: they stay in their order, and as they are. */
export function unpackAll(shape, stored, areNotes) {
  const rows = [];
  const syncs = [];
  const storageKeys = [];
  const remoteKeys = [];
  const [badKeys, whys, migrated] = [[], [], []];
  // Rows that were stored together share one list of columns.
  let [columns, isOurs, version] = [shape.stamp, true, shape.version];
  let isOlder = false;
  for (let row of areNotes ? stored.map((one) => (Array.isArray(one) ? one.slice() : one)) : inOrder(stored)) {
    if (!Array.isArray(row) || !Array.isArray(row[COLUMNS]) || !isKeyText(row[STORAGE_KEY])) {
      badKeys.push(row?.[STORAGE_KEY]);
      whys.push("it is no row, or has no key");
      continue;
    }
    if (row[COLUMNS] !== columns) {
      columns = row[COLUMNS];
      version = versionIn(columns);
      if (version > shape.version) return { isNewer: true };
      isOlder = !(version >= shape.version);
      isOurs = columns.length === shape.stamp.length && columns.every((name, place) => name === shape.stamp[place]);
    }
    // Of most rows none of it is true, and each look at one costs.
    const asks = isOlder || (row[SYNC] !== undefined && says(row[SYNC]));
    const key = row[STORAGE_KEY];
    let change;
    try {
      demandRemoteKey(shape, row[REMOTE_KEY]);
      if (isOlder) [row, change] = migrate(shape, row, version);
      else if (!isOurs) row = underColumns(shape, row);
      // What is sent is made of it.
      if (asks && !isOlder) demandKinds(shape, row);
      if (shape.referring.length > 0) fromColumns(shape, row);
    } catch (error) {
      badKeys.push(key);
      whys.push(String(error?.message ?? error));
      continue;
    }
    if (change !== undefined) migrated.push(rows.length, change);
    row[COLUMNS] = shape.ours;
    if (row[SYNC] !== undefined) {
      syncs.push(rows.length, row[SYNC]);
      row[SYNC] = undefined;
    }
    rows.push(row);
    storageKeys.push(row[STORAGE_KEY]);
    remoteKeys.push(row[REMOTE_KEY]);
  }
  return {
    first: holdAll(rows),
    count: rows.length,
    syncs,
    storageKeys: manyKeys(storageKeys),
    remoteKeys: manyKeys(remoteKeys),
    badKeys,
    whys,
    migrated,
    isNewer: false,
  };
}

/** A row of this server has a key of it, or none. */
function demandRemoteKey(shape, key) {
  if (key !== undefined && key !== null && !isKeyText(canonicalKey(shape, key)))
    refuse("E_TYPE", `"${shape.key}" is no key of a server`);
}

/** Whether there is anything to say to the server, and not only what it calls the state of its row. */
const says = (sync) =>
  sync !== undefined && !(isPlain(sync) && sync.settled === undefined && typeof sync.version === "string");

function demandKinds(shape, row) {
  shape.columns.forEach((_, place) => {
    row[FIRST + place] = checked(shape, place, row[FIRST + place]);
  });
  return row;
}

// ---------------------------------------------------------------- migrations

/** A stored row of an older version as one of this version, and what that did to what is in flight. A migration sees
 *  whole records only: what the server holds and what was sent are made whole from the values of now. Which fields are
 *  edited is then what differs between them, and what was edited before and still has its name. */
function migrate(shape, stored, from) {
  if (Number.isNaN(from)) throw new Error("it is of no version");
  const old = {};
  stored[COLUMNS].forEach((name, place) => {
    if (typeof name === "string" && stored[FIRST + place] !== undefined) put(old, name, stored[FIRST + place]);
  });
  const keys = { [shape.storageKey]: stored[STORAGE_KEY], [shape.key]: stored[REMOTE_KEY] };
  const sync = stored[SYNC];
  const isSimple = !says(sync) || Array.isArray(sync);
  const up = (values) => {
    let record = { ...(isSimple ? values : structuredClone(values)), ...keys };
    for (let version = from + 1; version <= shape.version; version++) {
      record = shape.migrations[version](record);
      if (!isPlain(record)) throw new Error(`the migration to version ${version} gave no row`);
    }
    const row = rowOf(shape, record);
    [row[STORAGE_KEY], row[REMOTE_KEY], row[SYNC]] = [stored[STORAGE_KEY], stored[REMOTE_KEY], undefined];
    return row;
  };
  const row = up(old);
  const [next, change] = isSimple ? [sync, 0] : migrateSync(shape, sync, old, row, up);
  row[SYNC] = next;
  return [row, change];
}

function migrateSync(shape, sync, old, row, up) {
  const { inFlight, pending, base, baseFields = [] } = sync;
  const columnsOfField = (name) => {
    const definition = shape.kinds[shape.places.get(name)];
    return definition?.stored === undefined ? [name] : [definition.stored, definition.sent];
  };
  /** The values of `of`, in these fields those of `from`. */
  const under = (of, fields, from) => {
    const values = { ...of };
    for (const name of (fields ?? []).flatMap(columnsOfField)) {
      if (Object.hasOwn(from, name)) put(values, name, from[name]);
      else delete values[name];
    }
    return values;
  };
  const work = (stored) => fromColumns(shape, stored.slice());
  const now = work(row);
  const differing = (one, other) => shape.names.filter((_, place) => !same(one[FIRST + place], other[FIRST + place]));
  const fields = (named, ...others) => [
    ...new Set([...(named ?? []).filter((name) => shape.places.has(name)), ...others.flat()]),
  ];
  const next = { ...sync };
  let change = 0;
  const sent = inFlight?.frozen ?? old;
  if (inFlight !== undefined && inFlight.action !== "delete") {
    const made = work(up(sent));
    const attempt = { ...inFlight };
    if (inFlight.fields !== undefined)
      attempt.fields = fields(
        inFlight.fields,
        base === undefined ? [] : differing(made, work(up(under(sent, inFlight.fields, base)))),
      );
    if (inFlight.frozen !== undefined) attempt.frozen = fieldsOf(shape, made);
    const [before, after] = [defined(sent), fieldsOf(shape, made)];
    const some = (values, names) => under({}, names, values);
    if (!same(before, after)) change |= 1;
    if (!same(some(before, inFlight.fields), some(after, attempt.fields))) change |= 2;
    next.inFlight = attempt;
  }
  if (pending?.fields !== undefined) {
    // A note does not know what was there before: what comes of the edited fields is what is not there without them.
    const before = inFlight !== undefined ? sent : (base ?? (pending.first === 0 ? {} : undefined));
    const edited = before === undefined ? [] : differing(now, work(up(under(old, pending.fields, before))));
    next.pending = { ...pending, fields: fields(pending.fields, edited) };
    // Of an update of what the schema no longer has nothing is left to say.
    if (pending.action === "update" && next.pending.fields.length === 0) delete next.pending;
  }
  if (base !== undefined) {
    const server = work(up(under(old, baseFields, base)));
    next.baseFields = fields(
      baseFields,
      differing(now, server),
      next.inFlight?.fields ?? [],
      next.pending?.fields ?? [],
    );
    next.base = under({}, next.baseFields, fieldsOf(shape, server));
  }
  return [next.inFlight === undefined && next.pending === undefined ? undefined : next, change];
}

const defined = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

// What the page is told, as objects.

export const faultObject = (code, message, status, body) => defined({ code, message, status, body });

export const statusObject = (connection, durable, storageError, pending, parked, sender, estimate, lastError) =>
  defined({ connection, durable, storageError, pending, parked, sender, estimate, lastError });

export const pendingObject = (item, action, attempts, idempotencyKey, state, reason) =>
  defined({ item, action, attempts, idempotencyKey, state, reason });

/** The words of the named fields. */
export function fieldWords(shape, names) {
  const words = new Uint32Array(4);
  for (const name of names) {
    const place = shape.places.get(name);
    if (place !== undefined) words[place >> 5] |= 1 << (place & 31);
  }
  return words;
}
