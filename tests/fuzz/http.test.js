/**
 * What goes over HTTP: addresses made of ids, and what an answer says in its headers and in the body of a refusal. The transporter by
 * itself, over a server in the place of `fetch`.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import init, {
  ConcordiaError,
  HttpTransporter,
  Schema,
  Store,
  Transporter,
  TransporterError,
} from "../../pkg/index.js";
import { demandCleanPrototypes, isUnicode, jsonText, text } from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { answering } from "./support/server.js";

const HOUR_MS = 3_600_000;

before(() => init());

let server, answer;

before(() => {
  server = answering(() => answer);
});
after(() => server.restore());

const codeOf = (act) => {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ConcordiaError, error);
    return error.code;
  }
  return undefined;
};

// ------------------------------------------------------------------------------------------------------------ addresses

const path = fc
  .array(fc.constantFrom("api", "v1", "people", "a b", "é", ":id", "%2F", "x:y@z", "$&"), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => parts.join("/"));
const base = fc.constantFrom(
  "http://api.example",
  "https://api.example:8443/",
  "http://api.example/a/:basePath/b",
  "http://[::1]:7/x//",
);
const id = fc.oneof(text, fc.double().map(String), fc.bigInt().map(String), fc.webUrl(), fc.uuid());

const segments = (address) => new URL(address).pathname.split("/");

test("the address of an item is the collection's and one segment more, which decodes to the id", async (t) => {
  await holds(t, 2_500, base, path, id, (baseUrl, collection, key) => {
    const http = new HttpTransporter({ baseUrl, path: collection });
    const all = http._prepareFetch().url;
    const requests = ["update", "delete"].map((action) => () => http._prepareSend({ action, id: key, payload: {} }));
    for (const prepare of [...requests, () => http._prepareFetchOne(key)]) {
      if (["", ".", ".."].includes(key) || !isUnicode(key)) {
        assert.equal(codeOf(prepare), "E_UNSAFE_ID");
        continue;
      }
      const { url } = prepare();
      const [made, whole] = [new URL(url), new URL(all)];
      assert.equal(made.href, url, "a browser sends it as it is");
      assert.equal(made.origin, whole.origin);
      assert.equal(made.username + made.password + made.search + made.hash, "");
      assert.deepEqual(segments(url).slice(0, -1), segments(all));
      assert.equal(decodeURIComponent(segments(url).at(-1)), key);
    }
    assert.equal(http._prepareSend({ action: "create", payload: {} }).url, all);
  });
});

test("a template of the app's own holds the id as one part, and leads nowhere else", async (t) => {
  const templates = [
    ":basePath/:id",
    ":basePath/by/:id/now",
    ":basePath?one=:id",
    ":basePath;id=:id",
    ":basePath/:id:id",
  ];
  await holds(t, 1_500, fc.constantFrom(...templates), base, id, (pathTemplate, baseUrl, key) => {
    const methods = { update: { method: "put", pathTemplate } };
    const http = new HttpTransporter({ baseUrl, path: "people", methods });
    const prepare = () => http._prepareSend({ action: "update", id: key, payload: {} });
    if (["", ".", ".."].includes(key) || !isUnicode(key)) return assert.equal(codeOf(prepare), "E_UNSAFE_ID");
    const [{ url }, all] = [prepare(), http._prepareFetch().url];
    assert.equal(new URL(url).href, url);
    assert.ok(url.startsWith(all), url);
    const [ahead, behind] = pathTemplate.replace(":basePath", "").replace(":id:id", ":id").split(":id");
    const part = url.slice(all.length + ahead.length, url.length - behind.length);
    return assert.equal(decodeURIComponent(part), pathTemplate.endsWith(":id:id") ? key + key : key);
  });
});

test("an address that middleware changes is sent to the collection's server or not at all", async (t) => {
  answer = { text: "{}" };
  const http = new HttpTransporter({ baseUrl: "http://api.example", path: "people" });
  const address = fc.oneof(
    text,
    fc.webUrl(),
    text.map((end) => `http://api.example${end}`),
    text.map((end) => `http://api.example/${end}`),
  );
  await holds(t, 1_000, address, async (url) => {
    const earlier = server.log.length;
    const sent = await http._fetchOne({ method: "GET", url, headers: {} }).catch((error) => error);
    for (const [, reached] of server.log.slice(earlier)) assert.equal(new URL(reached).origin, "http://api.example");
    if (server.log.length === earlier) assert.ok(sent instanceof TransporterError && sent.kind === "rejected", sent);
  });
});

// ------------------------------------------------------------------------------------------------------------- waiting

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The three forms of RFC 9110, section 5.6.7. */
const FORMS = [
  ({ day, date, month, year, time }) => `${DAYS[day]}, ${date.padStart(2, "0")} ${month} ${year} ${time} GMT`,
  ({ day, date, month, year, time }) =>
    `${LONG_DAYS[day]}, ${date.padStart(2, "0")}-${month}-${year.slice(2)} ${time} GMT`,
  ({ day, date, month, year, time }) => `${DAYS[day]} ${month} ${date.padStart(2)} ${time} ${year}`,
];

/** A moment in whole seconds, in one of the forms. */
function written(ms, form) {
  const moment = new Date(ms);
  const time = moment.toISOString().slice(11, 19);
  const parts = [moment.getUTCDate(), moment.getUTCFullYear()].map(String);
  return form({ day: moment.getUTCDay(), date: parts[0], month: MONTHS[moment.getUTCMonth()], year: parts[1], time });
}

/** What a refused read says of how long to wait. */
async function waitAfter(header) {
  answer = { status: 503, headers: { "Retry-After": header } };
  const http = new HttpTransporter({ baseUrl: "http://api.example", path: "people" });
  const error = await http._fetch(http._prepareFetch()).catch((thrown) => thrown);
  assert.ok(error instanceof TransporterError && error.status === 503, error);
  return error.retryAfterMs;
}

test("a date in each of its three forms is so far away as it says, and what is past is no wait", async (t) => {
  const seconds = fc.oneof(
    fc.integer({ min: -7_200, max: 7_200 }),
    fc.integer({ min: -20 * 31_536_000, max: 20 * 31_536_000 }),
  );
  await holds(t, 1_000, seconds, fc.constantFrom(...FORMS), async (distance, form) => {
    const moment = Math.floor(Date.now() / 1000 + distance) * 1000;
    const began = Date.now();
    const wait = await waitAfter(written(moment, form));
    const bounds = [Date.now(), began].map((now) => Math.max(0, Math.ceil((moment - now) / 1000)) * 1000);
    assert.ok(wait >= bounds[0] && wait <= bounds[1], `${wait} is not within ${bounds}`);
  });
});

test("seconds are seconds, and what is neither seconds nor a date is no wait that anybody is told", async (t) => {
  const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 }).map((list) => list.join(""));
  const units = fc.string({
    unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });
  const almost = fc
    .tuple(fc.integer({ min: 0, max: 4e12 }), fc.constantFrom(...FORMS), fc.nat(40), units)
    .map(([ms, form, at, more]) => {
      const date = written(ms, form);
      return date.slice(0, at) + more.slice(0, 3) + date.slice(at + 1);
    });
  const given = fc.oneof(
    digits,
    units,
    almost,
    fc.constantFrom("-1", "+1", "1.5", "1e3", "0x10", "Infinity", "5, 10", "1 s"),
  );
  await holds(t, 1_500, given, async (header) => {
    let wait;
    try {
      wait = await waitAfter(header);
    } catch (error) {
      // What cannot be a header's value.
      if (error instanceof TypeError) return;
      throw error;
    }
    if (/^\d+$/.test(header.trim())) assert.equal(wait, Number(header) * 1000);
    else
      assert.ok(
        wait === undefined || (wait >= 0 && /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(header)),
        `${header}: ${wait}`,
      );
  });
});

test("a store waits no longer than an hour, whatever a server asks for", { timeout: 60_000 }, async (t) => {
  const headers = ["9".repeat(30), "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "x", "Sunday, 06-Nov-94 08:49:37 GMT", "1e9"];
  const timers = [];
  const real = globalThis.setTimeout;
  globalThis.setTimeout = (act, ms, ...rest) => {
    timers.push(ms);
    return real(act, ms, ...rest);
  };
  t.after(() => (globalThis.setTimeout = real));
  for (const [nth, header] of headers.entries()) {
    answer = { status: 503, headers: { "Retry-After": header } };
    const transporter = new HttpTransporter({ baseUrl: `http://wait-${nth}.example`, path: "people" });
    const store = new Store({ schema: new Schema({ name: String }), transporter });
    timers.length = 0;
    store.create({ name: "a" });
    await assert.rejects(store.fetch());
    await new Promise((resume) => real(resume, 5));
    assert.ok(timers.length > 0 && timers.every((ms) => ms >= 0 && ms <= HOUR_MS + 1_000), `${header}: ${timers}`);
    await store.close();
  }
});

// ------------------------------------------------------------------------------------------------------------- refusals

test("a refusal with any body is told with its status, and the body as it came", async (t) => {
  const status = fc.oneof(
    fc.constantFrom(400, 401, 403, 404, 409, 412, 422, 429, 500, 503),
    fc.integer({ min: 400, max: 599 }),
  );
  const type = fc.constantFrom(
    "application/problem+json",
    "application/json; charset=utf-8",
    "text/html",
    "",
    "+json",
    "a/b+json;q",
  );
  const member = fc.constantFrom("type", "code", "error", "title", "detail", "status", "__proto__", "toString");
  const problem = fc
    .array(fc.tuple(member, jsonText), { maxLength: 5 })
    .map((entries) => `{${entries.map(([name, value]) => `"${name}":${value}`).join(",")}}`);
  const http = new HttpTransporter({ baseUrl: "http://api.example", path: "people" });
  await holds(t, 1_000, status, type, fc.oneof(problem, jsonText, text), async (code, media, body) => {
    answer = { status: code, type: media, text: body };
    const error = await http._send(http._prepareSend({ action: "create", payload: {} })).catch((thrown) => thrown);
    assert.ok(error instanceof TransporterError && error.status === code, error);
    const bytes = Buffer.from(body);
    // What is nested deeper than this cannot be compared.
    if (bytes.length <= 4_000) assert.deepStrictEqual(error.body, parsed(new TextDecoder().decode(bytes)));
    demandCleanPrototypes();
  });
});

const parsed = (body) => {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
};

test("a parked edit shows the refusal that parked it, and a problem that names the key is waited for", async (t) => {
  const type = fc.option(fc.oneof(text, fc.constant("https://example.org/Idempotency-Key-in-use")), { nil: undefined });
  let nth = 0;
  await holds(t, 150, fc.constantFrom(400, 403, 409, 422), type, jsonText, async (status, named, errors) => {
    const body = `{${named === undefined ? "" : `"type":${JSON.stringify(named)},`}"errors":${errors}}`;
    answer = { status, type: "application/problem+json", text: body };
    const transporter = new HttpTransporter({ baseUrl: `http://parked-${++nth}.example`, path: "people" });
    const store = new Store({ schema: new Schema({ name: String }), transporter });
    const item = store.create({ name: "a" });
    const parked = item.onceSynced().catch((error) => error);
    if (status === 409 && /idempotency/i.test(named ?? "")) {
      while (["queued", "sending"].includes(store.pending()[0].state))
        await new Promise((resume) => setTimeout(resume, 1));
      assert.equal(store.pending()[0].state, "waiting");
    } else if (status !== 409) {
      const error = await parked;
      assert.ok(error instanceof ConcordiaError && error.status === status, error);
      assert.equal(store.pending()[0].state, "parked");
      if (body.length <= 4_000) assert.deepStrictEqual(item.error.body, JSON.parse(body));
    }
    await store.close();
  });
});

// ------------------------------------------------------------------------------------------------------------- Location

test("the key of a new item is the last segment of its Location, if it can be one", async (t) => {
  const known = id.filter((key) => isUnicode(key));
  const encode = (key) => encodeURIComponent(key).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  const form = fc.constantFrom(
    (key) => `/people/${key}`,
    (key) => `http://api.example/people/${key}`,
    (key) => `https://inner.example:8080/v2/people/${key}/`,
    (key) => `//api.example/${key}?version=1/2`,
    (key) => `people/${key}#/x`,
    (key) => `/people//${key}`,
  );
  class Locating extends Transporter {
    _prepareSend(item) {
      return item;
    }
    async _send() {
      return { data: undefined, location: this.says };
    }
    async _fetch() {
      return [];
    }
  }
  const transporter = new Locating();
  const store = new Store({ schema: new Schema({ name: String }), transporter, name: "located" });
  await store.onceLoaded();
  await holds(t, 1_500, form, known, async (write, key) => {
    transporter.says = write(encode(key));
    const item = store.create({ name: "a" });
    const synced = await item.onceSynced().then(
      () => true,
      (error) => error.code,
    );
    const isUsable = !["", ".", ".."].includes(key) && !key.includes("\0");
    if (isUsable) assert.deepEqual([synced, item.id, store.findById(key)], [true, key, item]);
    // Without one the segment before it may be taken for the key; never what leads elsewhere.
    else if (synced === true) assert.ok(key === "" && item.id === "people", `${transporter.says}: ${item.id}`);
    else assert.equal(synced, "E_UNCERTAIN");
    if (synced === true) item.remove("transporter");
    else for (const edit of store.pending()) edit.discard();
    transporter.says = undefined;
  });
  await store.close();
});
