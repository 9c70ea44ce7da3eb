// From a definition as people write it to the plain description that the engine checks. No rule lives here.

import { SchemaHandle } from "./wasm/concordia.js";
import { ConcordiaError } from "./error.js";
import { calling, demandReady } from "./page.js";

/** A string key. */
export class Key {}
/** A numeric key. */
export class NumberKey {}

export const customTypes = Object.freeze({ Key, NumberKey });

const KINDS = new Map([
  [String, "string"],
  [Number, "number"],
  [Boolean, "boolean"],
  [Date, "date"],
  [Object, "object"],
  [Array, "array"],
  [Key, "key"],
  [NumberKey, "numberKey"],
]);

const isObject = (value) => typeof value === "object" && value !== null;

function describe(name, definition) {
  if (!isObject(definition)) return { name, kind: KINDS.get(definition) ?? "unknown" };
  const nested = isObject(definition.properties);
  const described = {
    name,
    kind: KINDS.get(definition.type) ?? (nested && definition.type === undefined ? "object" : "unknown"),
    primary: definition.primary === true,
    refers: definition.ref !== undefined,
    required: definition.required === true,
  };
  if (definition.key !== undefined) described.key = String(definition.key);
  if (definition._key !== undefined) described.storageKey = String(definition._key);
  if (definition.default !== undefined) described.default = definition.default;
  if (nested) described.properties = describeAll(definition.properties);
  if (definition.items !== undefined) described.items = describe("items", definition.items);
  return described;
}

const describeAll = (properties) => Object.entries(properties).map(([name, property]) => describe(name, property));

/** What later versions bring; until then it is refused rather than ignored. */
const LATER = ["version", "migrations", "validate"];

export class Schema {
  #handle;
  #properties;

  constructor(definition) {
    demandReady();
    if (!isObject(definition))
      throw new ConcordiaError("E_SCHEMA", "a schema is an object: `new Schema({properties: {name: String}})`");
    const full = isObject(definition.properties) && !KINDS.has(definition.properties.type);
    const later = full
      ? LATER.find((option) => definition[option] !== undefined && definition[option] !== 1)
      : undefined;
    if (later) throw new ConcordiaError("E_SCHEMA", `\`${later}\` is not part of this version yet; leave it out`);
    this.#properties = describeAll(full ? definition.properties : definition);
    this.#handle = calling(() => new SchemaHandle(this.#properties));
  }

  /** The checked schema and what it names; for the package's own use. */
  static read(schema) {
    const [primary, key, storageKey, ...names] = schema.#handle.names;
    const byName = new Map(schema.#properties.map((property) => [property.name, property]));
    return { handle: schema.#handle, primary, key, storageKey, fields: names.map((name) => byName.get(name)) };
  }
}
