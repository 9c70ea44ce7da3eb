// From a definition as people write it to the plain description that the engine checks. No rule lives here.

import { SchemaHandle } from "./wasm/concordia.js";
import { ConcordiaError } from "./error.js";
import { calling, demandReady } from "./page.js";
import { keysOf, numberOf } from "./reference.js";

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

/** What a `ref` leads to: the number of the store, if that is open. `owner`: the store whose schema it is, if it has one yet. */
function follow(name, ref, owner) {
  if (ref !== "self" && typeof ref !== "function" && numberOf(ref) === undefined)
    throw new ConcordiaError(
      "E_SCHEMA",
      `property "${name}" has a \`ref\` that is neither a store, nor "self", nor a function that returns a store`,
    );
  return () => {
    try {
      return numberOf(ref === "self" ? owner : typeof ref === "function" ? ref() : ref);
    } catch (error) {
      // The variable that is to hold the store has no value yet.
      if (error instanceof ReferenceError) return undefined;
      throw error;
    }
  };
}

/** As deep as a value may be. What refers to itself has no end. */
const MAX_DEPTH = 64;

/** Half a character becomes another one on its way into the engine, and `__proto__` on the way to a value is no name of data. */
const UNUSABLE = /\p{Surrogate}|(^|\.)__proto__(\.|$)/u;

function demandName(property, name) {
  if (typeof name === "string" && !UNUSABLE.test(name)) return name;
  throw new ConcordiaError("E_SCHEMA", `property "${property}" has a name, \`key\` or \`_key\` that cannot be one`);
}

function describe(name, definition, owner, depth) {
  demandName(name, name);
  if (depth > MAX_DEPTH)
    throw new ConcordiaError(
      "E_SCHEMA",
      `property "${name}" refers to itself or is nested deeper than ${MAX_DEPTH} levels`,
    );
  if (!isObject(definition)) return { name, kind: KINDS.get(definition) ?? "unknown" };
  const nested = isObject(definition.properties);
  const described = {
    name,
    kind: KINDS.get(definition.type) ?? (nested && definition.type === undefined ? "object" : "unknown"),
    primary: definition.primary === true,
    required: definition.required === true,
  };
  if (definition.ref !== undefined) {
    described.refers = follow(name, definition.ref, owner);
    described.keysOf = (value) => keysOf(described.refers(), value);
  }
  if (definition.key !== undefined) described.key = demandName(name, definition.key);
  if (definition._key !== undefined) described.storageKey = demandName(name, definition._key);
  if (definition.default !== undefined) described.default = definition.default;
  if (nested) described.properties = describeAll(definition.properties, owner, depth + 1);
  if (definition.items !== undefined) described.items = describe("items", definition.items, owner, depth + 1);
  return described;
}

const describeAll = (properties, owner, depth = 0) =>
  Object.entries(properties).map(([name, property]) => describe(name, property, owner, depth));

const MAX_VERSION = 2 ** 31 - 1;

/** The version of a definition, and the steps that lead to it. */
function readVersion({ version = 1, migrations = {} }) {
  if (!Number.isInteger(version) || version < 1 || version > MAX_VERSION)
    throw new ConcordiaError("E_SCHEMA", "`version` is a whole number from 1 on");
  if (!isObject(migrations))
    throw new ConcordiaError("E_SCHEMA", "`migrations` is an object: `{2: (row) => …}` brings version 1 to 2");
  for (let step = 2; step <= version; step++)
    if (typeof migrations[step] !== "function")
      throw new ConcordiaError(
        "E_SCHEMA",
        `version ${version} needs \`migrations[${step}]\`, a function that brings a row of version ${step - 1} to ${step}`,
      );
  return [version, migrations];
}

/** What a Standard Schema validator (https://standardschema.dev) makes of values; throws what it finds wrong. */
function readValidator(validator) {
  if (validator === undefined) return undefined;
  const standard = validator?.["~standard"];
  if (typeof standard?.validate !== "function")
    throw new ConcordiaError(
      "E_SCHEMA",
      "`validate` is a validator that follows Standard Schema, as zod's or valibot's",
    );
  return (values) => {
    const result = standard.validate(values);
    if (typeof result?.then === "function") {
      // Nobody waits for it.
      result.then(undefined, () => {});
      throw new ConcordiaError(
        "E_SCHEMA",
        "`validate` is asynchronous; an edit takes effect at once, so use one that is not",
      );
    }
    if (result.issues === undefined) return result.value;
    const said = result.issues.map(({ path = [], message }) => {
      const names = path.map((part) => String(isObject(part) ? part.key : part));
      return names.length > 0 ? `"${names.join(".")}": ${message}` : message;
    });
    throw new ConcordiaError("E_VALIDATION", said.join("; "));
  };
}

export class Schema {
  #handle;
  #definition;
  #properties;
  #version;
  #validate;

  constructor(definition) {
    demandReady();
    if (!isObject(definition))
      throw new ConcordiaError("E_SCHEMA", "a schema is an object: `new Schema({properties: {name: String}})`");
    const full = isObject(definition.properties) && !KINDS.has(definition.properties.type);
    this.#version = readVersion(full ? definition : {});
    this.#validate = readValidator(full ? definition.validate : undefined);
    this.#definition = full ? definition.properties : definition;
    this.#properties = describeAll(this.#definition);
    this.#handle = calling(() => new SchemaHandle(this.#properties, ...this.#version));
  }

  /** The checked schema of a store and what it names; for the package's own use. */
  static read(schema, owner) {
    let [handle, properties] = [schema.#handle, schema.#properties];
    const [primary, key, storageKey, ...names] = handle.names;
    const fieldsOf = (list) => names.map((name) => list.find((property) => property.name === name));
    if (fieldsOf(properties).some((field) => field.refersWithin)) {
      // Of several stores with one schema, each is "self" to its own items.
      properties = describeAll(schema.#definition, owner);
      handle = calling(() => new SchemaHandle(properties, ...schema.#version));
    }
    return { handle, primary, key, storageKey, fields: fieldsOf(properties), validate: schema.#validate };
  }
}
