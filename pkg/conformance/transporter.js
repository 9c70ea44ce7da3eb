// The cases for a transporter.

import { Key, NumberKey } from "../index.js";
import { demand, demandList, demandSame, differences, isRow, show } from "./failing.js";
import { CONCURRENT, DIFFICULT_KEYS, DIFFICULT_VALUES, KEEP_VALUES, plainValues } from "./values.js";
import {
  Subject,
  casesOf,
  demandMethods,
  isNotFound,
  made,
  propertiesFor,
  request,
  through,
  until,
  uuid,
} from "./subject.js";

class TransporterSubject extends Subject {
  #keys = 0;

  get key() {
    return this.options.key ?? "id";
  }

  values(n) {
    return (this.options.values ?? plainValues)(n);
  }

  /** A key that is in no row yet. */
  ownKey() {
    const n = ++this.#keys;
    return this.options.numericKeys ? 900_000 + n : `own-${n}-${uuid().slice(0, 8)}`;
  }

  queueItem(action, payload, id, idempotencyKey = uuid()) {
    const item = { action, payload, __id: String(++this.#keys), _id: uuid(), id, idempotencyKey };
    return { ...item, store: "conformance" };
  }

  async push(given) {
    const { end } = this;
    const item = await through(end, "addItemToQueue", { queueItem: given, queue: [] }, "queueItem");
    const make = (req) => end._send(req);
    const answer = await request(end, item.action, () => end._prepareSend(item), make, item);
    demand(
      answer.data === undefined || answer.data === null || isRow(answer.data),
      "`_send` gives nothing, the row, or an envelope with `data`, `version` or `res`",
      () => show(answer.data),
      "return the row that the endpoint now holds; at least its key after a create",
    );
    return answer;
  }

  /** Creates the n-th row; its key. */
  async create(n, values = this.values(n), ownKey = this.options.keys === "client" ? this.ownKey() : undefined) {
    const payload = ownKey === undefined ? { ...values } : { ...values, [this.key]: ownKey };
    const item = this.queueItem("create", payload, ownKey);
    return this.keyOf(await this.succeed("a create", () => this.push(item)), ownKey);
  }

  keyOf({ data, location }, ownKey) {
    const told = data?.[this.key] ?? decoded(location) ?? ownKey;
    demand(
      (typeof told === "string" && told !== "") || Number.isFinite(told),
      `the answer to a create says the new row's key as \`${this.key}\``,
      () => show(data),
      `resolve \`_send\` with the created row, or at least with \`{ ${this.key} }\``,
    );
    demand(
      ownKey === undefined || String(told) === String(ownKey),
      `a create that brought the key ${show(ownKey)} keeps it`,
      () => `the key ${show(told)}`,
      'take the key of the payload, or leave `keys` at "server" if the endpoint makes them',
    );
    return told;
  }

  update(key, values) {
    return this.push(this.queueItem("update", this.#updatePayload(key, values), key));
  }

  /** The whole row, or what of it was edited. */
  #updatePayload(key, values) {
    const patches = (this.end.update ?? this.end.constructor?.update) === "PATCH";
    return patches ? { ...values } : { ...values, [this.key]: key };
  }

  delete(key) {
    return this.push(this.queueItem("delete", undefined, key));
  }

  /** All rows by their keys as text, as the engine would collect them: page after page, cursor after cursor. */
  async rows() {
    const found = await this.succeed("a fetch", () => this.#fetchAll());
    await this.#compareWithEndpoint(found);
    return found;
  }

  async #fetchAll() {
    const rows = new Map();
    const isSaid = (token) => token !== undefined && token !== null;
    let reading = {};
    for (;;) {
      const { data, deleted, next, cursor } = await this.#fetch(reading);
      this.#take(rows, { data, deleted });
      const goesOn = isSaid(next) ? { page: next } : { cursor };
      const isOver = !isSaid(next) && (!isSaid(cursor) || data.length === 0);
      if (isOver || show(goesOn) === show(reading)) return rows;
      reading = goesOn;
    }
  }

  #fetch(reading) {
    const { end } = this;
    const make = (req) => end._fetch(req, reading);
    return request(end, "fetch", () => end._prepareFetch?.(), make);
  }

  #take(rows, { data, deleted = [] }) {
    const remedy = "resolve `_fetch` with an array of rows, or with `{ data: [row, …], … }`";
    demand(Array.isArray(data), "`_fetch` gives an array of rows", () => show(data), remedy);
    const seen = new Set();
    for (const row of data) {
      const key = isRow(row) ? row[this.key] : undefined;
      demand(
        (typeof key === "string" && key !== "") || Number.isFinite(key),
        `every fetched row is an object with a key in \`${this.key}\``,
        () => show(row),
        "give the key a name with the suite's option `key`, or have the endpoint send it",
      );
      demand(!seen.has(String(key)), "every row is fetched once", `the key ${show(key)} came twice`, "leave out one");
      seen.add(String(key));
      rows.set(String(key), row);
    }
    for (const key of deleted) rows.delete(String(key));
  }

  /** What is behind the endpoint, if `make` told how to look there. */
  async #compareWithEndpoint(found) {
    if (typeof this.made?.rows !== "function") return;
    const there = await this.made.rows();
    demandList(
      Array.from(there, (row) => String(row[this.key])),
      found.keys(),
      "`_fetch` gives the rows that are at the endpoint",
      "let `_fetch` ask the endpoint every time, and `_send` resolve when the endpoint has taken the edit",
    );
  }

  async row(key) {
    const rows = await this.rows();
    demand(
      rows.has(String(key)),
      `the row ${show(key)} is fetched`,
      () => `rows with the keys ${show([...rows.keys()])}`,
      "resolve `_send` only when the endpoint has taken the row, and fetch all rows",
    );
    return rows.get(String(key));
  }

  fetchOne(key) {
    const { end } = this;
    const prepare = () => (end._prepareFetchOne ? end._prepareFetchOne(key) : key);
    return request(end, "fetchOne", prepare, (req) => fetchOneOf(end).call(end, req));
  }

  /** A store whose schema fits the values. */
  openStore() {
    const type = this.options.numericKeys ? NumberKey : Key;
    const key = { type, primary: true, key: this.key, _key: `_${this.key}` };
    return this.open({ ...propertiesFor(this.values(1)), [this.key]: key }, { transporter: this.end });
  }

  createIn(store, n) {
    const key = this.options.keys === "client" ? { [this.key]: this.ownKey() } : {};
    return store.create({ ...this.values(n), ...key });
  }
}

function decoded(location) {
  if (typeof location !== "string") return undefined;
  const last = location
    .replace(/[?#].*$/, "")
    .replace(/\/+$/, "")
    .split("/")
    .pop();
  try {
    return decodeURIComponent(last) || undefined;
  } catch {
    return undefined;
  }
}

const ONE_ROW = "look for the row by the key in `queueItem.id`, and touch no other";

async function fetchesNothing(subject) {
  const rows = await subject.rows();
  demand(
    rows.size === 0,
    "an endpoint without rows is fetched as an empty array",
    () => `${rows.size} rows`,
    "give an empty endpoint from `make`, and an empty array for it",
  );
}

async function createIsFetched(subject) {
  const keys = [];
  for (const n of [1, 2, 3]) keys.push(await subject.create(n));
  const rows = await subject.rows();
  demand(
    rows.size === keys.length,
    "three creates make three rows",
    () => `${rows.size} rows`,
    "make exactly one row for each create",
  );
  for (const [at, key] of keys.entries())
    demandSame(
      subject.values(at + 1),
      await subject.row(key),
      `the row ${show(key)}`,
      "a row is fetched under the key that its create answered, with the values that were sent",
      "answer a create with the key of that very row",
      true,
    );
}

async function updateChangesOne(subject) {
  const [changed, other] = [await subject.create(1), await subject.create(2)];
  await subject.succeed("an update", () => subject.update(changed, subject.values(1001)));
  const expected = "an update changes its row, and no other";
  demandSame(subject.values(1001), await subject.row(changed), "the updated row", expected, ONE_ROW, true);
  demandSame(subject.values(2), await subject.row(other), "the other row", expected, ONE_ROW, true);
  const { size } = await subject.rows();
  demand(size === 2, "an update makes no row", () => `${size} rows instead of 2`, ONE_ROW);
}

async function patchLeavesTheRest(subject) {
  const key = await subject.create(1);
  const [[name, value]] = Object.entries(subject.values(1001));
  await subject.succeed("an update of one field", () => subject.update(key, { [name]: value }));
  demandSame(
    { ...subject.values(1), [name]: value },
    await subject.row(key),
    "the row",
    'an update of a transporter with `update = "PATCH"` leaves the fields that were not sent',
    "merge the payload into the row, or leave `update` out to be given whole rows",
    true,
  );
}

async function deleteRemovesOne(subject) {
  const [removed, other] = [await subject.create(1), await subject.create(2)];
  await subject.succeed("a delete", () => subject.delete(removed));
  const rows = await subject.rows();
  const keys = () => `rows with the keys ${show([...rows.keys()])}`;
  demand(!rows.has(String(removed)), `the deleted row ${show(removed)} is gone`, keys, ONE_ROW);
  demand(rows.has(String(other)), `the row ${show(other)}, which was not deleted, is still there`, keys, ONE_ROW);
}

const SAY_NOT_FOUND = 'reject with `new TransporterError("notFound")`, or with an Error whose `status` is 404';

async function deleteTwice(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { error } = await subject.attempt("the second delete", () => subject.delete(key));
  demand(
    error === undefined || isNotFound(error),
    "the delete of a row that is gone resolves, or rejects as not found: a delete is sent again when its answer was lost",
    () => show(error),
    SAY_NOT_FOUND,
  );
}

async function updateOfNothing(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { error } = await subject.attempt("the update", () => subject.update(key, subject.values(1001)));
  demand(
    error !== undefined && isNotFound(error),
    "the update of a row that is gone rejects as not found, so that nobody's edit vanishes unseen",
    () => (error === undefined ? "it resolved" : show(error)),
    SAY_NOT_FOUND,
  );
  const { size } = await subject.rows();
  demand(size === 0, "the update of a row that is gone makes no row", () => `${size} rows`, SAY_NOT_FOUND);
}

async function fetchOneGivesTheRow(subject) {
  await subject.create(1);
  const key = await subject.create(2);
  const { data } = await subject.succeed("a fetch of one row", () => subject.fetchOne(key));
  const remedy = "give the row whose key `_prepareFetchOne` was asked for";
  demand(isRow(data), "`_fetchOne` gives the row", () => show(data), remedy);
  demandSame(subject.values(2), data, "the row", "`_fetchOne` gives the row of that key", remedy, true);
}

async function fetchOneOfNothing(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { value, error } = await subject.attempt("the fetch", () => subject.fetchOne(key));
  demand(
    error === undefined ? value.data === undefined || value.data === null : isNotFound(error),
    "`_fetchOne` of a row that is gone gives null or undefined, or rejects as not found",
    () => (error === undefined ? show(value.data) : show(error)),
    `resolve with null, or ${SAY_NOT_FOUND}`,
  );
}

async function leavesPayload(subject) {
  const remedy = "copy the payload before changing it: the same one is sent again when an answer was lost";
  const values = subject.values(1);
  const own = subject.options.keys === "client" ? { [subject.key]: subject.ownKey() } : {};
  const item = subject.queueItem("create", { ...values, ...own }, own[subject.key]);
  const key = subject.keyOf(await subject.succeed("a create", () => subject.push(item)), own[subject.key]);
  demandSame({ ...values, ...own }, item.payload, "payload", "a create leaves its payload as it was", remedy);
  const edit = subject.queueItem("update", { ...subject.values(1001), [subject.key]: key }, key);
  await subject.succeed("an update", () => subject.push(edit));
  const after = { ...subject.values(1001), [subject.key]: key };
  demandSame(after, edit.payload, "payload", "an update leaves its payload as it was", remedy);
}

async function givesCopies(subject) {
  const key = await subject.create(1);
  const row = await subject.row(key);
  for (const name of Object.keys(subject.values(1))) row[name] = "changed by whoever fetched it";
  demandSame(
    subject.values(1),
    await subject.row(key),
    "the row",
    "a fetched row can be changed without changing what is at the endpoint",
    "give copies out, for instance by `structuredClone`",
    true,
  );
}

const UPDATED = "the update of a row with a difficult key arrives at that row";

async function difficultKeys(subject) {
  for (const [n, key] of DIFFICULT_KEYS.entries()) await subject.create(n, subject.values(n), key);
  const remedy = "percent-encode a key that goes into an address, and use keys as they are everywhere else";
  for (const [n, key] of DIFFICULT_KEYS.entries()) {
    await subject.succeed(`an update of the row ${show(key)}`, () => subject.update(key, subject.values(n + 1000)));
    demandSame(subject.values(n + 1000), await subject.row(key), `the row ${show(key)}`, UPDATED, remedy, true);
  }
  for (const key of DIFFICULT_KEYS)
    await subject.succeed(`the delete of the row ${show(key)}`, () => subject.delete(key));
  const { size } = await subject.rows();
  demand(size === 0, "rows with difficult keys can be deleted", () => `${size} of them are left`, remedy);
}

async function concurrentSends(subject) {
  const numbers = Array.from({ length: CONCURRENT }, (_, n) => n);
  const keys = await Promise.all(numbers.map((n) => subject.create(n)));
  demand(
    new Set(keys.map(String)).size === CONCURRENT,
    "creates that are sent at the same time get different keys",
    () => show(keys),
    "share no state between two calls of `_send`",
  );
  await Promise.all(
    numbers.map((n) => subject.succeed("an update", () => subject.update(keys[n], subject.values(n + 1000)))),
  );
  const rows = await subject.rows();
  for (const n of numbers)
    demandSame(
      subject.values(n + 1000),
      rows.get(String(keys[n])),
      `the row ${show(keys[n])}`,
      "edits of different rows that are sent at the same time all arrive, each at its row",
      "share no state between two calls of `_send`",
      true,
    );
}

async function sameKeyTwice(subject) {
  const own = subject.options.keys === "client" ? { [subject.key]: subject.ownKey() } : {};
  const idempotencyKey = uuid();
  const send = () => {
    const item = subject.queueItem("create", { ...subject.values(1), ...own }, own[subject.key], idempotencyKey);
    return subject.succeed("a create", () => subject.push(item));
  };
  const keys = [];
  for (let sent = 0; sent < 2; sent++) keys.push(subject.keyOf(await send(), own[subject.key]));
  const remedy =
    "hand `queueItem.idempotencyKey` on, and let the endpoint answer the second request as it did the first";
  demand(String(keys[0]) === String(keys[1]), "both answers say the same key", () => show(keys), remedy);
  const { size } = await subject.rows();
  demand(
    size === 1,
    "a create that is sent twice under one idempotency key makes one row",
    () => `${size} rows`,
    remedy,
  );
}

async function keepsValues(subject) {
  const values = subject.options.difficultValues ?? (subject.options.values ? subject.values(1) : DIFFICULT_VALUES);
  const key = await subject.create(1, structuredClone(values));
  const what = "what was sent comes back as it was";
  demandSame(values, await subject.row(key), "the row", what, KEEP_VALUES, true);
}

async function rejectsWithErrors(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  // Refusals are allowed here; that they are errors is demanded in each attempt.
  await subject.attempt("the update of a row that is gone", () => subject.update(key, subject.values(2)));
  await subject.attempt("the delete of a row that is gone", () => subject.delete(key));
  if (hasFetchOne(subject.end)) await subject.attempt("the fetch of a row that is gone", () => subject.fetchOne(key));
}

async function isLive({ end }) {
  const stop = end._subscribe(() => {});
  demand(
    typeof stop === "function",
    "`_subscribe` gives the function that ends the subscription",
    () => show(stop),
    "return a function, and do nothing more after it was called",
  );
  stop();
}

async function tellsWhenAvailable(subject) {
  const what = "`onceAvailable` of an endpoint that can be reached";
  await subject.succeed(what, () => subject.end.onceAvailable());
}

async function storeWrites(subject) {
  const store = subject.openStore();
  await subject.settle("a store over an empty endpoint loads", store, store.onceLoaded());
  const [one, two] = [subject.createIn(store, 1), subject.createIn(store, 2)];
  const taken = "what a store creates is taken";
  await Promise.all([one, two].map((item) => subject.settle(taken, store, item.onceSynced())));
  const keys = [one[subject.key], two[subject.key]];
  one.update(subject.values(1001));
  two.remove();
  await Promise.all(
    [one, two].map((item) => subject.settle("what a store edits and removes is taken", store, item.onceSynced())),
  );
  const rows = await subject.rows();
  demandList([String(keys[0])], rows.keys(), "of two rows one is left, with the key", ONE_ROW);
  const edited = await subject.row(keys[0]);
  demandSame(subject.values(1001), edited, "the row", "the store's edit is at the endpoint", KEEP_VALUES, true);
}

async function storeReads(subject) {
  const keys = [await subject.create(1), await subject.create(2)];
  const store = subject.openStore();
  await subject.settle("a store over an endpoint with rows loads", store, store.onceLoaded());
  for (const [at, key] of keys.entries()) {
    const item = store.findById(key);
    const remedy = "give rows whose values have the types that the schema names; set `numericKeys` if keys are numbers";
    const said = () => `no such item (${store.status.lastError?.message ?? "without an error"})`;
    demand(item !== undefined, `a store loads the row ${show(key)}`, said, remedy);
    demandSame(subject.values(at + 1), item.toJSON(), "the item", "the item has the row's values", remedy, true);
  }
  await subject.succeed("a delete", () => subject.delete(keys[0]));
  await subject.settle("a store fetches again", store, store.fetch());
  demand(
    store.findById(keys[0]) === undefined,
    "an item whose row was deleted elsewhere is gone after a fetch",
    "it is still there",
    "give a plain array when it is the whole collection, or name deleted rows in `deleted`",
  );
}

async function storeFetchesOne(subject) {
  const store = subject.openStore();
  await subject.settle("a store over an empty endpoint loads", store, store.onceLoaded());
  const key = await subject.create(1);
  const item = store.findOneOrFetch({ [subject.key]: key });
  await until(subject.limit, () => differences(subject.values(1), item.toJSON(), "the item", true).length === 0);
  const remedy = "let `_fetchOne` give the row of the key that `_prepareFetchOne` was called with";
  demandSame(subject.values(1), item.toJSON(), "the item", "`findOneOrFetch` fills the item", remedy, true);
}

const fetchOneOf = (end) => end._sendFetchOne ?? end._fetchOne;
const hasFetchOne = (end) => typeof fetchOneOf(end) === "function" && !fetchOneOf(end).isMissing;

/** A case that says nothing about a transporter without that method. */
const ifThere = (is, act) => async (subject) => {
  if (is(subject.end)) await act(subject);
};

const OPTIONAL = ["_prepareFetch", "_prepareFetchOne", "_fetchOne", "_sendFetchOne", "_prepareInitialFetch"];
const patches = (end) => (end.update ?? end.constructor?.update) === "PATCH";

/** Cases for a transporter. */
export function transporterSuite(options) {
  const ownTextKeys = ["client", "both"].includes(options?.keys) && !options.numericKeys;
  const optional = [...OPTIONAL, "_initialFetch", "onceAvailable", "_subscribe"];
  const list = [
    ["it has the methods that a store needs", (subject) => demandMethods(subject, optional)],
    ["an empty endpoint is fetched as an empty array", fetchesNothing],
    ["a create answers with the key of its row, and the row is fetched under it", createIsFetched],
    ["an update changes its row and no other", updateChangesOne],
    ["an update, if it is a PATCH, leaves what was not sent", ifThere(patches, patchLeavesTheRest)],
    ["a delete removes its row and no other", deleteRemovesOne],
    ["a second delete resolves or rejects as not found", deleteTwice],
    ["an update of a missing row rejects as not found", updateOfNothing],
    ["fetching one row, if it can, gives that row", ifThere(hasFetchOne, fetchOneGivesTheRow)],
    [
      "fetching one missing row, if it can, gives nothing or rejects as not found",
      ifThere(hasFetchOne, fetchOneOfNothing),
    ],
    ["a payload is left as it was given", leavesPayload],
    ["a fetched row can be changed without changing the endpoint", givesCopies],
    ["keys with special characters survive", difficultKeys, ownTextKeys],
    ["sends at the same time do not disturb each other", concurrentSends],
    ["a create sent twice under one idempotency key makes one row", sameKeyTwice, options?.idempotent === true],
    ["values survive the way there and back", keepsValues],
    ["what it throws or rejects with is an Error", rejectsWithErrors],
    ["a live subscription, if there is one, can be ended", ifThere((end) => end._subscribe, isLive)],
    [
      "a reachable endpoint, if it can tell, says that it is available",
      ifThere((end) => end.onceAvailable, tellsWhenAvailable),
    ],
    ["a store creates, edits and removes through it", storeWrites],
    ["a store loads rows, and sees what was deleted elsewhere", storeReads],
    ["a store fetches one item, if that can be fetched", ifThere(hasFetchOne, storeFetchesOne)],
  ];
  return casesOf(list, options, async () => {
    const [end, handle] = await made(options, "transporter");
    return new TransporterSubject(end, handle, options);
  });
}
