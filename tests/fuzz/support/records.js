/**
 * Stored records that are damaged. What is drawn is text, so that it can be shown, made small and handed to a page.
 *
 * - `damages` draws what is to be put in the place of parts of a record: `[[place, text], …]`.
 * - `damaged(record, damages)` → the record with that. It needs nothing around it, so that its text can be given to a page.
 */
import fc from "fast-check";
import { jsonText, text } from "./foreign.js";

/** What a database can hold and JSON cannot write, by the names under which `damaged` knows it. */
const STRANGE = [
  ...["undefined", "NaN", "Infinity", "invalid date", "date", "bigint", "map", "set", "bytes", "error"],
  ...["neither text nor number", "around", "deep", "boxed", "hole"],
];

/** Numbers at the ends of what is counted. */
const NUMBERS = [0, -1, 0.5, 1e21, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53)].map(String);

const part = fc.oneof(
  fc.constantFrom(...STRANGE).map((name) => `!${name}`),
  fc.constantFrom(
    ...NUMBERS,
    '""',
    "null",
    "true",
    "[]",
    "{}",
    '"new"',
    '"existent"',
    '"create"',
    '"delete"',
    '["name"]',
  ),
  text.map((one) => JSON.stringify(one)),
  jsonText.filter((json) => json.length < 2_000),
);

export const damages = fc.array(fc.tuple(fc.nat(99), part), { maxLength: 3 });

export function damaged(record, list) {
  const strange = {
    undefined: () => undefined,
    NaN: () => NaN,
    Infinity: () => Infinity,
    "invalid date": () => new Date(NaN),
    date: () => new Date(0),
    bigint: () => 7n,
    map: () => new Map([["a", 1]]),
    set: () => new Set([1]),
    bytes: () => new Uint8Array(3),
    error: () => new Error("stored"),
    "neither text nor number": () => ({ toString: 1, valueOf: 1 }),
    around() {
      const made = {};
      made.self = made;
      return made;
    },
    deep: () => JSON.parse("[".repeat(500) + "]".repeat(500)),
    boxed: () => Object("text"),
    hole: () => new Array(3),
  };
  let whole = structuredClone(record);
  for (const [place, said] of list) {
    const paths = [[]];
    const look = (value, path) => {
      if (typeof value !== "object" || value === null || path.length > 6) return;
      for (const name of Object.keys(value)) {
        paths.push([...path, name]);
        look(value[name], [...path, name]);
      }
    };
    look(whole, []);
    const path = paths[place % paths.length];
    const value = said.startsWith("!") ? strange[said.slice(1)]() : JSON.parse(said);
    const entry = { value, enumerable: true, configurable: true, writable: true };
    const around = path.slice(0, -1).reduce((object, name) => object[name], whole);
    if (path.length === 0) whole = value;
    else Reflect.defineProperty(around, path.at(-1), entry);
  }
  return whole;
}
