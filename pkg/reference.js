// References to items: rows keep keys, page script sees the items themselves.

/** By the number of a store: {find(reference), keys(value)}. */
const stores = new Map();
const numbers = new WeakMap();

/** Registers a store, so that items can be referred to. */
export function enrol(store, number, face) {
  numbers.set(store, number);
  stores.set(number, face);
}

/** The number of a store; nothing for what is none, or not open yet. */
export const numberOf = (store) => numbers.get(store);

/** `[server's key, client storage's key]` of an item of that store; nothing for anything else. */
export const keysOf = (number, value) => stores.get(number)?.keys(value);

/** Values hold no functions, so this is nothing else. */
export const isReference = (value) => typeof value?.definition?.refers === "function";

/** The item that a reference means; null for none. */
export function itemOf(reference) {
  const store = stores.get(reference.definition.refers());
  // A store that was closed and opened again has other items.
  if (reference.item === undefined || reference.item.removed || reference.store !== store) {
    reference.item = store?.find(reference);
    reference.store = store;
  }
  return reference.item ?? null;
}

function keyOf(reference) {
  const keys = keysOf(reference.definition.refers(), itemOf(reference));
  return keys?.[0] ?? reference.remote;
}

/** A copy of a value that shares nothing with it but references. */
export function copyOf(value) {
  if (typeof value !== "object" || value === null || isReference(value)) return value;
  if (value instanceof Date) return new Date(value);
  if (Array.isArray(value)) return value.map(copyOf);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, copyOf(inner)]));
}

function put(object, [head, ...path], value) {
  if (path.length === 0) object[head] = value;
  else put((object[head] = { ...object[head] }), path, value);
}

/** Puts a copy of a property's value into an object as the server names it, with keys in place of items. */
export function tell(object, definition, value) {
  const told = keysIn(definition, value);
  if (told !== undefined)
    put(object, definition.stored === undefined ? [definition.name] : definition.sent.split("."), told);
}

function keysIn(definition, value) {
  if (isReference(value)) return keyOf(value);
  if (!definition.refersWithin || typeof value !== "object" || value === null) return copyOf(value);
  if (Array.isArray(value))
    return value.map((entry) => keysIn(definition.items, entry)).filter((key) => key !== undefined);
  const object = {};
  for (const property of definition.properties) tell(object, property, value[property.name]);
  return object;
}
