// The work of the IndexedDB room on whole arrays of records and inside transactions, in JavaScript because it is a third of
// the size there. One file, because a test server of the tools stalls on many at once.

// ---------------------------------------------------------------------------------------------------- overlay

// The work on whole arrays of records, in one call over the border each. Records stay the objects they are.

/** All records: a later block over an earlier one, a delta over blocks; a delta that is a bare key hides its record. */
export function overlay(blocks, deltas, keyName) {
  const records = new Map();
  for (const block of blocks) {
    // A record without a key is damaged: it is handed on under a key of its own, for the caller to judge.
    for (const record of block) records.set(record?.[keyName] ?? {}, record);
  }
  for (const delta of deltas) {
    if (isMarker(delta)) records.delete(delta);
    else records.set(delta[keyName] ?? {}, delta);
  }
  return Array.from(records.values());
}

/** Whether each key is greater than the one before: then no record of theirs overrides another. An object is no key, and may not
 *  even be comparable. */
const ascends = (keys) =>
  keys.every((key, at) => {
    const before = keys[at - 1];
    if (key === undefined || typeof key === "object") return false;
    return at === 0 || (typeof before === typeof key && before < key);
  });

const isMarker = (delta) => typeof delta !== "object" || delta === null;

/** Adds the keys of `records` to `ids`; how many were in it before. */
export function note(ids, records, keyName) {
  const before = ids.size;
  for (const record of records) ids.add(record[keyName]);
  return records.length - (ids.size - before);
}

/** Those of the delta keys `[store, id]` whose record is among `records`. */
export function covered(keys, records, keyName) {
  if (keys.length === 0) return [];
  const ids = new Set();
  for (const record of records) ids.add(record[keyName]);
  return keys.filter((key) => ids.has(key[1]));
}

/** The key of the first record that cannot be stored, as text; "" when all can. */
export function unstorable(records, keyName) {
  for (const record of records) {
    const id = record?.[keyName];
    if (typeof id !== "string" && typeof id !== "number") return `without ${keyName}`;
    try {
      structuredClone(record);
    } catch {
      return String(id);
    }
  }
  return "";
}

// ------------------------------------------------------------------------------------------------------ queue

// The order of the batches when they cannot all be issued at once. Owns tickets and turns; knows nothing of what is
// written.

/** The batches that have not ended, in the order of their calls. */
export class Queue {
  #open = new Set();
  #waiting = 0;

  enter() {
    const ticket = { waits: false };
    ticket.ended = new Promise((end) => (ticket.end = end));
    this.#open.add(ticket);
    return ticket;
  }

  /** Whether a batch is waiting, or is being written out of the fast lane: then later batches wait too. */
  get isJammed() {
    return this.#waiting > 0;
  }

  /** Settles when all earlier batches have ended. Repeated batches must not overtake each other. */
  turn(ticket) {
    if (!ticket.waits) this.#waiting++;
    ticket.waits = true;
    const open = [...this.#open];
    return Promise.all(open.slice(0, open.indexOf(ticket)).map((earlier) => earlier.ended));
  }

  leave(ticket) {
    this.#open.delete(ticket);
    if (ticket.waits) this.#waiting--;
    ticket.end();
  }
}

// ------------------------------------------------------------------------------------------------------- link

/* global requestIdleCallback */

// What rexie keeps to itself: its IDBDatabase and its IDBTransactions. Without them nobody can say why a
// transaction was aborted (quota or not), ask for strict durability, or hear that a connection was closed.
//
// rexie opens by calling `indexedDB.open` at once, so `open` is shadowed for the length of that one synchronous call
// and put back before anything else can run. The shadow of `transaction` sits on our own connection alone.

/** The object stores; what lies in them is told below. */
const STORES = ["blocks", "deltas", "meta", "quarantine"];

/** Those of the first version. */
const FIRST_STORES = 3;

/** One connection. `fate`: 0 in use, 1 closed by the browser, 2 a newer version is coming, 3 being deleted.
 *  `openError`, `refusal`: the name of the error of a failed open, or of the last transaction that could not be begun.
 *  `end` is opened when the database is upgraded or deleted by somebody else. */
export class Link {
  fate = 0;
  openError = "";
  refusal = "";
  begun = undefined;
  #strict;
  #end;
  #restore = () => {};

  constructor(strict, end) {
    this.#strict = strict;
    this.#end = end;
    try {
      const factory = globalThis.indexedDB;
      const own = Object.getOwnPropertyDescriptor(factory, "open");
      const open = factory.open;
      const shadow = (...args) => this.#watch(open.apply(factory, args));
      Object.defineProperty(factory, "open", { configurable: true, writable: true, value: shadow });
      this.#restore = () => (own ? Object.defineProperty(factory, "open", own) : delete factory.open);
    } catch {
      // No IndexedDB, or one that cannot be shadowed and so not used.
    }
  }

  /** Ends the shadow; to be called in the same turn as the constructor. */
  release() {
    this.#restore();
    this.#restore = () => {};
  }

  #watch(request) {
    request.addEventListener("upgradeneeded", (event) => this.#upgrade(event, request));
    request.addEventListener("error", () => (this.openError ||= request.error?.name ?? ""));
    request.addEventListener("success", () => this.#adopt(request.result));
    return request;
  }

  /** Makes the object stores that are missing. rexie does not hear of it: what it has for this is taken out of the module
   *  (`scripts/snip.js`). */
  #upgrade(event, { result: database, transaction }) {
    event.stopImmediatePropagation();
    const names = [...database.objectStoreNames];
    const isOurs =
      STORES.slice(0, FIRST_STORES).every((name) => names.includes(name)) &&
      names.every((name) => STORES.includes(name));
    if (event.oldVersion > 0 && !isOurs) {
      this.openError = "it belongs to something else";
      transaction.abort();
      return;
    }
    for (const name of STORES) if (!names.includes(name)) database.createObjectStore(name);
    // Chromium alone says it: it has thrown away a database that it could not read, and made this one instead.
    transaction.objectStore("deltas").put(newGuard(event.dataLoss === "total"), GUARD);
  }

  #adopt(database) {
    database.addEventListener("close", () => (this.fate ||= 1));
    database.addEventListener("versionchange", (event) => {
      this.fate = event.newVersion === null ? 3 : 2;
      // Whoever waits for it lets go of the connection, and rexie has yet to hear of this event.
      setTimeout(() => this.#end.open());
    });
    const begin = database.transaction;
    database.transaction = (stores, mode) => {
      this.begun = undefined;
      const options = this.#strict && mode === "readwrite" ? { durability: "strict" } : undefined;
      try {
        const transaction = begin.call(database, stores, mode, options);
        this.begun = new Ending(transaction);
        return transaction;
      } catch (error) {
        if (error.name === "InvalidStateError") this.fate ||= 1;
        else this.refusal = error.name;
        throw error;
      }
    };
  }
}

/** One transaction, and how it ends. */
export class Ending {
  #transaction;
  #reason;

  constructor(transaction) {
    this.#transaction = transaction;
    this.#reason = new Promise((settle) => {
      transaction.addEventListener("complete", () => settle(""));
      transaction.addEventListener("abort", () => settle(transaction.error?.name ?? "AbortError"));
    });
  }

  /** Issues all requests of a job; false when one was refused, and then the whole transaction is undone. */
  issue(job) {
    try {
      job.issue(this.#transaction);
      return true;
    } catch {
      // Left alone, what was issued until now would be committed.
      this.#abort();
      return false;
    }
  }

  /** "" when it was committed, else the name of the DOMException. */
  reason() {
    return this.#reason;
  }

  /** rexie drops its handlers at the first error but leaves them on the transaction, where calling them throws. */
  unhand() {
    const t = this.#transaction;
    t.onabort = t.oncomplete = t.onerror = null;
  }

  #abort() {
    try {
      this.#transaction.abort();
    } catch {
      // It has ended already.
    }
  }
}

export const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

/** Something to wait for: `passed` settles when it is opened, or when the time is over, if one is given. */
export class Gate {
  constructor(ms) {
    this.passed = new Promise((pass) => {
      const timer = ms === undefined ? undefined : setTimeout(pass, ms);
      this.open = () => {
        clearTimeout(timer);
        pass();
      };
    });
  }
}

/** Settles when the page has nothing better to do, 5 s later at the latest. */
export const idle = () =>
  new Promise((resume) =>
    typeof requestIdleCallback === "function"
      ? requestIdleCallback(resume, { timeout: 5000 })
      : setTimeout(resume, 200),
  );

// ------------------------------------------------------------------------------------------------------ shelf

// What is done inside a transaction, in JavaScript, because records and requests are there: a request costs one call here,
// and ten times the code in WebAssembly. Owns how records lie in the object stores and what is remembered of each
// store. Begins, commits and repeats nothing: a job says what it needs, `issue()`s all requests in one turn, and is told by
// `finish()` once it is known how the transaction ended.
//
// `blocks`: arrays of records, key `[store, number, write]`: a higher number is newer. `write` is drawn at random for each bulk
// and each fold, so that two of them, of two tabs or of one, never write the same key: each is numbered before it is
// known what was committed in the meantime, and renumbered inside its transaction.
// `deltas`: records written one by one, or the bare key of one that was erased, key `[store, _id]`: newer than any block that is
// in the database with them.
//
// `meta`: what lies beside the records of a store. A text, key `[store, "mark"]`, written with the records that it speaks of. What
// tabs share: notes of edits that are in no record yet, rows like those of records, key `[store, "note", tab, number, place]`; and the place
// of the last note, `[store, "notes"]`, which outlives that note, so that no place is ever used again.
//
// `quarantine`: records that make no sense, `{store, key, record, why, since}`, key `[store, key as text, number at random]`. Nothing
// reads them, writes over them or takes them away.
//
// The guard, in `deltas` under a key of its own: which database this is (drawn when it is made), by what version of its schema
// each store was written last, and by which tab: `senders`, `{tab, count}` for each store. It is looked at in each transaction that writes, where
// nobody else can come in between. What a batch changes in it is put before it is known what was there, and put right if need be, so
// that the batch needs no second round. In a database that was made instead of one that the browser has thrown away it also holds the
// names of the stores that were written since.

/* global IDBKeyRange */

const GUARD = "guard";

const newGuard = (instead) => ({
  identity: [0, 0].map(() => Math.random().toString(36).slice(2)).join(""),
  versions: new Map(),
  ...(instead && { renewed: new Set() }),
});

const asCount = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : 0);

/** Who wrote the records of a store last, and how often they were written. */
function senderIn(guard, store) {
  const { tab, count } = guard?.senders?.get(store) ?? {};
  return { tab: asCount(tab), count: asCount(count) };
}

/** All that is in a guard, to be compared. */
const textOf = (guard) =>
  JSON.stringify(guard, (_, value) => (value instanceof Map || value instanceof Set ? [...value] : value));

const versionOf = (guard, store) => guard?.versions?.get(store) ?? 1;

/** Records in a block. Measured with 10 000 rows of 8 fields: from 128 on, writing and reading cost next to nothing
 *  over the bare clone; the smaller, the less is lost when a block cannot be read. */
const BLOCK = 256;

/** From how many puts of one store on a batch is written as blocks. Below, a put of its own for each record (some
 *  10 µs) costs less than the fold that overwritten blocks lead to. */
const BULK = 64;

/** The least number of deltas, or of overwritten records, that is worth a fold: below, the overlay costs less than 1 ms. */
const FOLD_FLOOR = 256;

/** What is remembered of one store. But for `next` these are estimates: they decide when to fold, nothing else. */
class Shelf {
  /** The number of the next block. Only a guess: another tab may have written in between. */
  next = 0;
  /** How many records in blocks were replaced by a later block. */
  overwritten = 0;
  #found = [];
  #ids;
  /** The keys found in or written to deltas. */
  changed = new Set();
  folding = false;
  /** The place of its last note: a guess, put right inside the transaction. */
  place = 0;
  /** Which database it was read from. */
  identity = undefined;
  /** What was last noted outside of it. */
  noted = undefined;

  constructor(store, keyName) {
    this.store = store;
    // A place in a row is read as a number several times faster than under its name.
    this.keyName = /^\d+$/.test(keyName) ? Number(keyName) : keyName;
  }

  get range() {
    // All keys of a store: arrays sort after strings and numbers.
    return IDBKeyRange.bound([this.store], [this.store, []]);
  }

  /** Tells which keys were found in blocks, each once. */
  found(keys) {
    this.#found = keys;
    this.#ids = undefined;
  }

  /** The keys found in or written to blocks. Made a set at the first bulk write: a page that only reads needs none. */
  get ids() {
    this.#ids ??= new Set(this.#found);
    this.#found = [];
    return this.#ids;
  }

  /** Counts in what a batch has written to blocks, each record once. */
  wrote(records) {
    if (this.#ids === undefined && this.#found.length === 0)
      this.#found = records.map((record) => record[this.keyName]);
    else this.overwritten += note(this.ids, records, this.keyName);
  }

  get isWornOut() {
    const limit = Math.max((this.#ids?.size ?? this.#found.length) / 4, FOLD_FLOOR);
    return !this.folding && (this.changed.size > limit || this.overwritten > limit);
  }

  /** Reads all that lies there; `then(blocks, keys, deltas)` runs inside the transaction. */
  read(transaction, then) {
    const blocks = transaction.objectStore("blocks");
    const values = blocks.getAll(this.range);
    const keys = blocks.getAllKeys(this.range);
    // Requests of one transaction end in the order in which they were made.
    const deltas = transaction.objectStore("deltas").getAll(this.range);
    deltas.onsuccess = () => then(values.result.map(asBlock), keys.result, deltas.result);
  }

  /** Writes records as blocks from this number on. */
  cut(transaction, first, write, records) {
    const blocks = transaction.objectStore("blocks");
    for (let nth = 0; nth * BLOCK < records.length; nth++)
      blocks.put(records.slice(nth * BLOCK, (nth + 1) * BLOCK), [this.store, first + nth, write]);
  }
}

/** What is no block is damaged: handed on as a record, for the caller to judge. */
const asBlock = (value) => (Array.isArray(value) ? value : [value]);

const markOf = (store) => [store, "mark"];
const placeKeyOf = (store) => [store, "notes"];
const noteKeyOf = (store, ...of) => [store, "note", ...of];

/** Reads what lies beside the records; `then` runs inside the transaction. Notes come in the order of their places, each as
 *  `[place, tab, number, rows]`. */
function readBeside(transaction, shelf, then) {
  const meta = transaction.objectStore("meta");
  const values = meta.getAll(shelf.range);
  const keys = meta.getAllKeys(shelf.range);
  keys.onsuccess = () => {
    const beside = { mark: undefined, notes: [] };
    keys.result.forEach(([, kind, ...of], at) => {
      const value = values.result[at];
      if (kind === "mark" && typeof value === "string") beside.mark = value;
      else if (kind === "notes") shelf.place = asCount(value);
      else if (kind === "note" && asCount(of[2]) > 0)
        beside.notes.push([...[2, 0, 1].map((nth) => asCount(of[nth])), asBlock(value)]);
    });
    beside.notes.sort(([one], [other]) => one - other);
    then(beside);
  };
}

const blocksOf = (records) => Math.ceil(records.length / BLOCK);

/** The number after the highest one of another write than this. */
const nextNumber = (keys, write) =>
  keys.reduce((next, [, number, of]) => (of === write ? next : Math.max(next, number + 1)), 0);

// What was in a database is noted outside of it, so that it can be told when the database is gone: which one it was, how many
// records of a store were in it, and how many of them had something to say to the server.
//
// A note that names another database than the one that was read is a loss. That is never a false alarm: a note is written only by
// who has seen a commit in the database that it names, and before its connection is closed; a database can be deleted only
// when all its connections are, so no note of an older one comes after the first note of a newer one. A page that dies
// between a commit and its note leaves an older note of the same database, or none. The counts are what one tab knew last; no
// alarm depends on them, but that a note of nothing tells of no loss.
//
// Chromium writes localStorage down after seconds: who is killed within them has no note, or an old one. So the browser's own word that a
// database was thrown away, of which the guard knows, tells of a loss as well.

const placeOf = (database, store) => `concordia ${JSON.stringify([database, store])}`;

/** `[identity, records, unsynced]`; nothing where there is no note, or no place for one, as in a worker. */
function noteOf(place) {
  try {
    const read = JSON.parse(localStorage.getItem(place));
    return Array.isArray(read) ? read : undefined;
  } catch {
    return undefined;
  }
}

/** Makes the jobs of one database. */
export class Shelves {
  #shelves = new Map();
  /** The guard as it was seen or written last: a guess. */
  #known = { guard: undefined };
  /** The batches that are under way, by their numbers. */
  #open = new Map();
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** Notes how much of a store is there. Costs nothing while that stays the same. */
  note(store, records, unsynced) {
    const shelf = this.#shelves.get(store);
    if (shelf?.identity === undefined) return;
    const text = JSON.stringify([shelf.identity, records, unsynced]);
    if (text === shelf.noted) return;
    shelf.noted = text;
    try {
      localStorage.setItem(placeOf(this.#database, store), text);
    } catch {
      // There is no place for it.
    }
  }

  #of(store, keyName) {
    if (!this.#shelves.has(store)) this.#shelves.set(store, new Shelf(store, keyName));
    return this.#shelves.get(store);
  }

  /** `again`: it was read before by this very page, and is the same database still. */
  load(store, keyName, version, again) {
    return new Load(this.#of(store, keyName), version, placeOf(this.#database, store), again, this.#known);
  }

  /** The notes alone. */
  notes(store, keyName) {
    return new Notes(this.#of(store, keyName));
  }

  /** Keeps notes that make no sense where the records are that make none. */
  strays(store, rows, whys) {
    return new Strays(store, rows, whys);
  }

  /** Sets records apart: those with these keys, and those without a usable one. */
  quarantine(store, keyName, keys, whys) {
    return new Quarantine(this.#of(store, keyName), new Map(keys.map((key, at) => [key, whys[at]])));
  }

  write() {
    return new Write((store, keyName) => this.#of(store, keyName), this.#known, this.#open);
  }

  /** Whoever has issued the batch knows what has become of it. */
  told(number) {
    this.#open.delete(number);
  }

  /** A fold that is due; its store is not asked again until it has ended. */
  fold() {
    for (const shelf of this.#shelves.values()) {
      if (!shelf.isWornOut) continue;
      shelf.folding = true;
      return new Fold(shelf);
    }
    return undefined;
  }
}

/** All records of a store, in the order in which their keys were first written. */
class Load {
  writes = false;
  blocks = true;
  sets = false;
  meta = true;
  /** Why it aborted its transaction. */
  verdict = "";
  #shelf;
  #version;
  #place;
  #guard;
  #known;
  #records;
  #beside;
  #note;

  constructor(shelf, version, place, again, known) {
    this.#shelf = shelf;
    this.#known = known;
    this.#version = version;
    this.#place = place;
    // Until it is read, nobody knows which database it will be.
    if (!again) shelf.identity = undefined;
    shelf.noted = undefined;
  }

  issue(transaction) {
    const shelf = this.#shelf;
    readBeside(transaction, shelf, (beside) => (this.#beside = beside));
    const guard = transaction.objectStore("deltas").get(GUARD);
    guard.onsuccess = () => {
      this.#guard = this.#known.guard = guard.result;
      if (isOther(shelf, guard.result)) this.verdict = EMPTIED;
      else if (versionOf(guard.result, shelf.store) > this.#version) this.verdict = NEWER;
      if (this.verdict !== "") transaction.abort();
    };
    shelf.read(transaction, (blocks, keys, deltas) => {
      const stored = blocks.flat();
      const ids = stored.map((record) => record?.[shelf.keyName]);
      const once = ascends(ids) ? ids : [...new Set(ids)];
      this.#records = once === ids && deltas.length === 0 ? stored : overlay(blocks, deltas, shelf.keyName);
      shelf.found(once);
      shelf.overwritten = ids.length - once.length;
      shelf.changed = new Set(deltas.map((delta) => (isMarker(delta) ? delta : delta[shelf.keyName])));
      shelf.next = nextNumber(keys);
    });
    // The first use of localStorage makes the page wait; now it waits anyway.
    this.#note = noteOf(this.#place);
  }

  /** `{records, lost, mark, sender, notes}`; `lost`: the counts of what was noted last, if that names another database; zeros if nobody
   *  knows. */
  finish(isRead) {
    if (!isRead) return undefined;
    const [noted, ...counts] = this.#note ?? [];
    const { identity, renewed } = this.#guard ?? {};
    this.#shelf.identity = identity;
    // Who has written since was told of it: then the note is an old one, of a page that was killed before it could renew it.
    const wasTold = renewed?.has(this.#shelf.store);
    const isNoted = noted !== undefined && noted !== identity && counts[0] > 0 && wasTold !== true;
    const isTold = noted !== identity && wasTold === false;
    const sender = senderIn(this.#guard, this.#shelf.store);
    return { ...this.#beside, sender, records: this.#records, lost: isNoted ? counts : isTold ? [0, 0] : undefined };
  }
}

/** The notes of a store. */
class Notes {
  writes = false;
  blocks = false;
  sets = false;
  meta = true;
  #shelf;
  #beside;

  constructor(shelf) {
    this.#shelf = shelf;
  }

  issue(transaction) {
    readBeside(transaction, this.#shelf, (beside) => (this.#beside = beside));
  }

  finish() {
    return this.#beside;
  }
}

const NEWER = "newer";
const EMPTIED = "emptied";
const OUTRUN = "outrun";

/** Whether it is another database than was read. */
const isOther = (shelf, guard) => shelf.identity !== undefined && shelf.identity !== guard?.identity;

const isShared = ({ notes, forgotten }) => notes !== undefined || forgotten.length > 0;

/** One batch. It is written whole, or not at all. */
class Write {
  writes = true;
  blocks = false;
  sets = false;
  /** Why it aborted its transaction. */
  verdict = "";
  hasFailed = false;
  #of;
  #known;
  #open;
  #after;
  #parts = [];
  #identity;
  #marks = [];

  constructor(of, known, open) {
    this.#of = of;
    this.#known = known;
    this.#open = open;
  }

  /** What to write to and erase from one store; `version`: of its schema, 0 if that is not said. */
  add(store, keyName, puts, erased, version) {
    const bulk = puts.length >= BULK;
    this.blocks ||= bulk;
    this.#parts.push({ shelf: this.#of(store, keyName), puts, erased, bulk, version, next: 0, forgotten: [] });
  }

  // What tabs share of the store that was added last.

  /** Writes nothing of the batch unless this tab has written the records last, or nobody has since they were read. */
  fence(tab, seenTab, seenCount) {
    this.#parts.at(-1).fence = { tab, seen: { tab: seenTab, count: seenCount } };
  }

  /** Notes to keep behind all others. */
  keep(tab, number, rows) {
    this.#parts.at(-1).notes = { tab, number, rows };
  }

  /** Notes to erase: those of a tab up to this number. */
  forget(tab, number) {
    this.#parts.at(-1).forgotten.push({ tab, number });
  }

  // And of the whole batch.

  /** Its number; and that of the one under way without which it must not be committed, if there is such a one. */
  chain(number, after) {
    this.#open.set(number, this);
    this.#after = this.#open.get(after);
  }

  /** A text to keep for a store, or none. */
  setMark(store, mark) {
    this.#marks.push([store, mark]);
  }

  get meta() {
    return this.#marks.length > 0 || this.#parts.some(isShared);
  }

  get isEmpty() {
    return !this.meta && this.#parts.every(({ puts, erased, fence }) => puts.length + erased.length === 0 && !fence);
  }

  issue(transaction) {
    this.hasFailed = false;
    // Before anything of a later transaction happens.
    transaction.addEventListener("abort", () => (this.hasFailed = true));
    const deltas = transaction.objectStore("deltas");
    const guard = deltas.get(GUARD);
    const isFenced = this.#parts.some(({ fence }) => fence !== undefined);
    const guess = isFenced && this.#known.guard ? this.#passed(this.#known.guard) : undefined;
    if (guess) deltas.put((this.#known.guard = guess), GUARD);
    guard.onsuccess = () => this.#look(transaction, deltas, guard.result, guess);
    for (const part of this.#parts.filter(isShared)) this.#share(transaction, part);
    for (const [store, mark] of this.#marks) {
      if (mark === undefined) transaction.objectStore("meta").delete(markOf(store));
      else transaction.objectStore("meta").put(mark, markOf(store));
    }
    for (const part of this.#parts) {
      const { shelf, puts, erased, bulk } = part;
      if (bulk) this.#cut(transaction, part);
      else for (const record of puts) deltas.put(record, [shelf.store, record[shelf.keyName]]);
      // Always a marker, even if the record is in no block known here: another tab may have folded in between.
      for (const id of erased) deltas.put(id, [shelf.store, id]);
      for (const id of erased) shelf.changed.add(id);
      if (!bulk) note(shelf.changed, puts, shelf.keyName);
    }
  }

  /** Notes stand behind all others. Where that is, is guessed and put right if need be: so all is issued in one turn and usually needs
   *  no second round. */
  #share(transaction, { shelf, notes, forgotten }) {
    const { store } = shelf;
    const meta = transaction.objectStore("meta");
    for (const { tab, number } of forgotten)
      meta.delete(IDBKeyRange.bound(noteKeyOf(store, tab), noteKeyOf(store, tab, number, [])));
    if (notes === undefined) return;
    const { tab, number, rows } = notes;
    const found = meta.get(placeKeyOf(store));
    const put = (place) => {
      meta.put(rows, noteKeyOf(store, tab, number, place));
      meta.put(place, placeKeyOf(store));
    };
    const place = ++shelf.place;
    put(place);
    found.onsuccess = () => {
      const next = asCount(found.result) + 1;
      if (next === place) return;
      meta.delete(noteKeyOf(store, tab, number, place));
      shelf.place = next;
      put(next);
    };
  }

  /** Another tab may have written since: with a newer schema, or as the sender; or the database may be another one than was read; or
   *  what this batch builds on may be missing. */
  #look(transaction, deltas, found, guessed) {
    const isOutrun = ({ shelf, fence }) => {
      const last = senderIn(found, shelf.store);
      return fence && last.tab !== fence.tab && (last.tab !== fence.seen.tab || last.count !== fence.seen.count);
    };
    if (this.#parts.some(({ shelf }) => isOther(shelf, found))) this.verdict = EMPTIED;
    else if (this.#parts.some(({ shelf, version }) => version > 0 && versionOf(found, shelf.store) > version))
      this.verdict = NEWER;
    else if (this.#after?.hasFailed || this.#parts.some(isOutrun)) this.verdict = OUTRUN;
    if (this.verdict !== "") return void transaction.abort();
    const guard = this.#passed(found ?? newGuard());
    this.#identity = guard.identity;
    if (textOf(guard) !== textOf(guessed ?? found)) {
      this.#known.guard = guard;
      deltas.put(guard, GUARD);
    }
    return undefined;
  }

  /** The guard as this batch leaves it. */
  #passed(guard) {
    const [versions, senders] = [new Map(guard.versions), new Map(guard.senders)];
    for (const { shelf, version, fence } of this.#parts) {
      if (versionOf(guard, shelf.store) < version) versions.set(shelf.store, version);
      if (fence) senders.set(shelf.store, { tab: fence.tab, count: senderIn(guard, shelf.store).count + 1 });
    }
    const stores = this.#parts.map(({ shelf }) => shelf.store);
    return { ...guard, versions, senders, ...(guard.renewed && { renewed: new Set([...guard.renewed, ...stores]) }) };
  }

  #cut(transaction, part) {
    const { shelf, puts } = part;
    const [blocks, deltas] = [transaction.objectStore("blocks"), transaction.objectStore("deltas")];
    const [first, write, count] = [shelf.next, Math.random(), blocksOf(puts)];
    shelf.cut(transaction, first, write, puts);
    part.next = shelf.next += count;
    shelf.wrote(puts);
    const keys = blocks.getAllKeys(shelf.range);
    const old = deltas.getAllKeys(shelf.range);
    old.onsuccess = () => {
      // The records are newer than their deltas. The markers of this very batch are of other records.
      for (const key of covered(old.result, puts, shelf.keyName)) deltas.delete(key);
      const next = nextNumber(keys.result, write);
      if (next <= first) return;
      // Another tab, or a fold, has numbered further: the blocks move to the end.
      for (let number = first; number < first + count; number++) blocks.delete([shelf.store, number, write]);
      shelf.cut(transaction, next, write, puts);
      part.next = next + count;
    };
  }

  finish(isCommitted) {
    this.hasFailed = !isCommitted;
    // Each would keep those before it in memory, for as long as batches follow each other.
    this.#after = undefined;
    if (!isCommitted) return;
    // A number that had to be raised inside the transaction raises the guess for the next batch.
    for (const { shelf, next } of this.#parts) {
      shelf.next = Math.max(shelf.next, next);
      shelf.identity ??= this.#identity;
    }
  }

  /** Which record could not be written. */
  get culprit() {
    for (const { shelf, puts } of this.#parts) {
      const id = unstorable(puts, shelf.keyName);
      if (id !== "") return `record ${id} of ${shelf.store} cannot be cloned`;
    }
    return "a record was refused";
  }
}

/** Deltas and overwritten records into fresh blocks. Batches begun before are in it, batches begun later come on top, and a
 *  crash leaves the store as it was. */
class Fold {
  writes = true;
  blocks = true;
  sets = false;
  meta = false;
  #shelf;
  #records;
  #first;

  constructor(shelf) {
    this.#shelf = shelf;
  }

  issue(transaction) {
    const shelf = this.#shelf;
    shelf.read(transaction, (blocks, keys, deltas) => {
      const records = overlay(blocks, deltas, shelf.keyName);
      // Numbers only grow, so that a bulk numbered before this fold and written after it sees that it has to move.
      this.#first = nextNumber(keys);
      transaction.objectStore("blocks").delete(shelf.range);
      transaction.objectStore("deltas").delete(shelf.range);
      shelf.cut(transaction, this.#first, Math.random(), records);
      this.#records = records;
    });
  }

  /** After a failure nothing has changed; counting starts anew all the same, so that a fold that cannot succeed is not
   *  tried at each write. */
  finish(committed) {
    const shelf = this.#shelf;
    shelf.folding = false;
    if (committed) {
      shelf.found(this.#records.map((record) => record[shelf.keyName]));
      shelf.next = Math.max(shelf.next, this.#first + blocksOf(this.#records));
    }
    shelf.changed.clear();
    shelf.overwritten = 0;
  }
}

/** Records that make no sense, out of the way of those that do. What is there is read anew, so that what another tab has written in
 *  the meantime is judged by its key alone: it made no sense there either. */
class Quarantine {
  writes = true;
  blocks = true;
  meta = false;
  sets = true;
  #shelf;
  #whys;

  constructor(shelf, whys) {
    this.#shelf = shelf;
    this.#whys = whys;
  }

  issue(transaction) {
    const { range } = this.#shelf;
    for (const name of ["blocks", "deltas"]) {
      const place = transaction.objectStore(name);
      const values = place.getAll(range);
      const keys = place.getAllKeys(range);
      keys.onsuccess = () => keys.result.forEach((key, at) => this.#sift(transaction, place, key, values.result[at]));
    }
  }

  #sift(transaction, place, key, value) {
    const isBlock = place.name === "blocks";
    if (!isBlock && isMarker(value)) return;
    const records = isBlock ? asBlock(value) : [value];
    const bad = records.filter((record) => this.#why(record) !== undefined);
    if (bad.length === 0) return;
    const good = records.filter((record) => !bad.includes(record));
    if (good.length > 0) place.put(good, key);
    else place.delete(key);
    for (const record of bad) this.#keep(transaction.objectStore("quarantine"), record);
  }

  #why(record) {
    const id = record?.[this.#shelf.keyName];
    return typeof id === "string" || typeof id === "number" ? this.#whys.get(id) : "it has no key";
  }

  #keep(quarantine, record) {
    const { store, keyName } = this.#shelf;
    const key = record?.[keyName];
    const entry = { store, key, record, why: this.#why(record), since: Date.now() };
    quarantine.put(entry, [store, typeof key === "object" ? "" : String(key), Math.random()]);
  }

  finish() {}
}

/** Notes that make no sense. Whoever takes in those beside them erases them where they were. */
class Strays {
  writes = true;
  blocks = false;
  meta = false;
  sets = true;
  #store;
  #rows;
  #whys;

  constructor(store, rows, whys) {
    this.#store = store;
    this.#rows = rows;
    this.#whys = whys;
  }

  issue(transaction) {
    const quarantine = transaction.objectStore("quarantine");
    this.#rows.forEach((record, at) => {
      const entry = { store: this.#store, key: "note", record, why: this.#whys[at], since: Date.now() };
      quarantine.put(entry, [this.#store, "note", Math.random()]);
    });
  }

  finish() {}
}

// -------------------------------------------------------------------------------------------------- persistence

/** How often the browser is asked at most how much room there is. */
const ESTIMATE_EVERY_MS = 10_000;

let asked = false;
let room;
let estimated = -ESTIMATE_EVERY_MS;

/** Asks the browser once not to clear the site's data by itself. Nobody waits for its answer, which may be a question to the user. */
export function persist() {
  if (asked) return;
  asked = true;
  quietly(() => navigator.storage.persist().then(() => (estimated = -ESTIMATE_EVERY_MS)));
}

/** What the browser said last of the room for this site: `{usage, quota, persisted}`. */
export const estimate = () => room;

/** Asks it again, unless that was a short time ago. */
export function refreshEstimate() {
  if (performance.now() - estimated < ESTIMATE_EVERY_MS) return;
  estimated = performance.now();
  quietly(async () => {
    const { storage } = navigator;
    const [{ usage, quota }, persisted] = await Promise.all([storage.estimate(), storage.persisted?.() ?? false]);
    room = Object.freeze({ usage, quota, persisted });
  });
}

/** There may be no such thing, as in an insecure context, or it may be refused. */
async function quietly(act) {
  try {
    await act();
  } catch {
    // Then nothing is known.
  }
}
