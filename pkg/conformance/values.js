// What the cases write: keys and values that are lost by those who nearly keep everything, and the limits of the suite.

export const CALL_LIMIT_MS = 5000;
export const LOOK_AGAIN_MS = 10;
export const MANY = 1000;
export const CONCURRENT = 20;

/** Where a key goes into an address or a file's name, one of these is what breaks it. */
export const DIFFICULT_KEYS = [
  "a b/ü?#%",
  "100%25",
  "../x",
  "a+b&c=d",
  "日本語 🏳️‍🌈",
  "quote\"'`",
  "UPPER",
  "upper",
  "semi;colon:",
];

/** What JSON can carry, and what is lost by those who nearly can. */
export const DIFFICULT_VALUES = {
  unicode: "naïve 日本語 🏳️‍🌈 \u2028 \" \\ <b>&amp;</b> ' \t\r\n",
  empty: "",
  long: "x".repeat(10_000),
  likeADate: "2020-01-02T03:04:05.678Z",
  likeANumber: "007",
  nothing: null,
  yes: true,
  no: false,
  zero: 0,
  big: Number.MAX_SAFE_INTEGER,
  huge: 1e300,
  small: -1.5e-7,
  list: [1, "2", null, [true, []], { a: {} }],
  emptyList: [],
  nested: { street: "Ä 1", deep: { deeper: [{ deepest: null }] }, "a.b": 1, constructor: "data", length: 0 },
  emptyObject: {},
};

export const plainValues = (n) => ({ title: `Row ${n}`, amount: n * 10, done: n % 2 === 0, note: "" });

/** What to do when a value comes back changed. */
export const KEEP_VALUES = "store and send values as they are, for instance as JSON; change none on the way";
