/** What may come from outside: texts and names that mean something to somebody, and JSON as a server may write it. */
import fc from "fast-check";

/** Texts that mean something in an address, a path, JavaScript or Unicode. */
const NASTY = [
  "",
  ".",
  "..",
  "...",
  "%2e",
  "%2E%2e",
  "%",
  "%zz",
  "%00",
  "a/b",
  "../../x",
  "a\\b",
  "?a=b",
  "#a",
  ";v=1",
  "a:b@c",
  "//elsewhere.example",
  "http://elsewhere.example/",
  "javascript:alert(1)",
  ":id",
  ":basePath",
  "$&",
  "$1",
  " ",
  "\t",
  "a\r\nSet-Cookie: b",
  "\0",
  "a\0b",
  "\ud800",
  "a\udc00b",
  "\udbff\ud800",
  "\ufeff",
  "\ufffd",
  "\u202e",
  "é",
  "e\u0301",
  "😀",
  "1",
  "1.0",
  "-0",
  "1e3",
  "NaN",
  "n1",
  "s1",
];

/** Names that JavaScript gives a meaning. */
export const MAGIC = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "toJSON",
  "then",
  "length",
  "0",
  "",
];

/** Text of 16-bit units, which need not be Unicode. */
const units = fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)), maxLength: 12 });

export const text = fc.oneof(
  fc.constantFrom(...NASTY, ...MAGIC),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 12 }),
  units,
);

/** Whether a text is Unicode. */
export const isUnicode = (one) => !/\p{Surrogate}/u.test(one);

// -------------------------------------------------------------------------------------------------------------- JSON

/** Numbers as JSON may write them. */
const NUMBERS = [
  ...["0", "-0", "1", "-1", "7", "1.5", "1e3", "1E+2", "1e308", "-1e308", "1e999", "-1e999", "5e-324", "1e-999"],
  ...["9007199254740991", "9007199254740993", "-9007199254740993", "123456789012345678901234567890", "0.1"],
];

/** So many brackets, one in the other. */
const nested = (depth, [open, close]) => open.repeat(depth) + close.repeat(depth);

const deep = fc
  .tuple(
    fc.oneof({ weight: 4, arbitrary: fc.nat(80) }, { weight: 1, arbitrary: fc.constantFrom(1_000, 20_000) }),
    fc.constantFrom(["[", "]"], ['{"a":[', "]}"]),
  )
  .map(([depth, pair]) => nested(depth, pair) || "[]");

const scalar = fc.oneof(
  fc.constantFrom("null", "true", "false", ...NUMBERS),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  text.map((one) => JSON.stringify(one)),
  fc.date({ noInvalidDate: true }).map((date) => JSON.stringify(date)),
);

/** `{"name": value, …}`; a name may come twice. */
export const objectText = (entries) =>
  `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;

/** The text of any JSON value. */
export const { value: jsonText } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 20, arbitrary: scalar },
    { weight: 8, arbitrary: tie("array") },
    { weight: 8, arbitrary: tie("object") },
    { weight: 1, arbitrary: deep },
  ),
  array: fc.array(tie("value"), { maxLength: 4 }).map((list) => `[${list.join(",")}]`),
  object: fc.array(fc.tuple(fc.oneof(fc.constantFrom(...MAGIC), text), tie("value")), { maxLength: 4 }).map(objectText),
}));

export const scalarText = scalar;

// ------------------------------------------------------------------------------------------------------------ prototypes

const PROTOTYPES = [Object, Array, Function, String, Number, Boolean, Date, Map, Promise].map((one) => one.prototype);

const snapshot = () => PROTOTYPES.map((one) => [Object.getPrototypeOf(one), Object.getOwnPropertyDescriptors(one)]);

const before = snapshot();

/** Throws if something on a prototype has changed. */
export function demandCleanPrototypes() {
  const now = snapshot();
  before.forEach(([parent, properties], nth) => {
    const names = Reflect.ownKeys(properties);
    const found = Reflect.ownKeys(now[nth][1]);
    const isSame =
      now[nth][0] === parent &&
      found.length === names.length &&
      names.every((name) => Object.hasOwn(now[nth][1], name) && now[nth][1][name].value === properties[name].value);
    if (!isSame)
      throw new Error(`a prototype has changed: ${found.filter((name) => !names.includes(name)).map(String)}`);
  });
}

/** Throws if an object within a value has a prototype that is not JavaScript's own for it. */
export function demandPlain(value) {
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== "object" || one === null || one instanceof Date) continue;
    const expected = Array.isArray(one) ? Array.prototype : Object.prototype;
    if (Object.getPrototypeOf(one) !== expected) throw new Error("an object has a foreign prototype");
    left.push(...Object.values(one));
  }
}
