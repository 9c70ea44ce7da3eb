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
// An error thrown in the handler of a request aborts its transaction.

/* global IDBKeyRange */

import { covered, note, overlay, total, unstorable } from "./overlay.js";

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
  /** The keys found in or written to blocks, and how many records in blocks were replaced by a later block. */
  ids = new Set();
  overwritten = 0;
  /** The keys found in or written to deltas. */
  changed = new Set();
  folding = false;

  constructor(store, keyName) {
    this.store = store;
    this.keyName = keyName;
  }

  get range() {
    // All keys of a store: arrays sort after strings and numbers.
    return IDBKeyRange.bound([this.store], [this.store, []]);
  }

  get isWornOut() {
    const limit = Math.max(this.ids.size / 4, FOLD_FLOOR);
    return !this.folding && (this.changed.size > limit || this.overwritten > limit);
  }

  /** Reads all that lies there; `then(blocks, keys, deltas)` runs inside the transaction. */
  read(transaction, then) {
    const blocks = transaction.objectStore("blocks");
    const values = blocks.getAll(this.range);
    const keys = blocks.getAllKeys(this.range);
    // Requests of one transaction end in the order in which they were made.
    const deltas = transaction.objectStore("deltas").getAll(this.range);
    deltas.onsuccess = () => then(values.result, keys.result, deltas.result);
  }

  /** Writes records as blocks from this number on. */
  cut(transaction, first, write, records) {
    const blocks = transaction.objectStore("blocks");
    for (let nth = 0; nth * BLOCK < records.length; nth++)
      blocks.put(records.slice(nth * BLOCK, (nth + 1) * BLOCK), [this.store, first + nth, write]);
  }
}

const blocksOf = (records) => Math.ceil(records.length / BLOCK);

/** The number after the highest one of another write than this. */
const nextNumber = (keys, write) =>
  keys.reduce((next, [, number, of]) => (of === write ? next : Math.max(next, number + 1)), 0);

/** Makes the jobs of one database. */
export class Shelves {
  #shelves = new Map();

  #of(store, keyName) {
    if (!this.#shelves.has(store)) this.#shelves.set(store, new Shelf(store, keyName));
    return this.#shelves.get(store);
  }

  load(store, keyName) {
    return new Load(this.#of(store, keyName));
  }

  write() {
    return new Write((store, keyName) => this.#of(store, keyName));
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
  #shelf;
  #records;

  constructor(shelf) {
    this.#shelf = shelf;
  }

  issue(transaction) {
    const shelf = this.#shelf;
    shelf.read(transaction, (blocks, keys, deltas) => {
      shelf.ids = new Set();
      shelf.changed = new Set();
      this.#records = overlay(blocks, deltas, shelf.keyName, shelf.ids, shelf.changed);
      shelf.next = nextNumber(keys);
      shelf.overwritten = total(blocks) - shelf.ids.size;
    });
  }

  finish() {
    return this.#records;
  }
}

/** One batch. It is written whole, or not at all. */
class Write {
  writes = true;
  blocks = false;
  #of;
  #parts = [];

  constructor(of) {
    this.#of = of;
  }

  /** What to write to and erase from one store. */
  add(store, keyName, puts, erased) {
    const bulk = puts.length >= BULK;
    this.blocks ||= bulk;
    if (puts.length + erased.length > 0)
      this.#parts.push({ shelf: this.#of(store, keyName), puts, erased, bulk, next: 0 });
  }

  get isEmpty() {
    return this.#parts.length === 0;
  }

  issue(transaction) {
    const deltas = transaction.objectStore("deltas");
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

  #cut(transaction, part) {
    const { shelf, puts } = part;
    const [blocks, deltas] = [transaction.objectStore("blocks"), transaction.objectStore("deltas")];
    const [first, write, count] = [shelf.next, Math.random(), blocksOf(puts)];
    shelf.cut(transaction, first, write, puts);
    part.next = shelf.next += count;
    shelf.overwritten += note(shelf.ids, puts, shelf.keyName);
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

  finish() {
    // A number that had to be raised inside the transaction raises the guess for the next batch.
    for (const { shelf, next } of this.#parts) shelf.next = Math.max(shelf.next, next);
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
  #shelf;
  #records;
  #first;

  constructor(shelf) {
    this.#shelf = shelf;
  }

  issue(transaction) {
    const shelf = this.#shelf;
    shelf.read(transaction, (blocks, keys, deltas) => {
      const records = overlay(blocks, deltas, shelf.keyName, new Set(), new Set());
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
      shelf.ids.clear();
      note(shelf.ids, this.#records, shelf.keyName);
      shelf.next = Math.max(shelf.next, this.#first + blocksOf(this.#records));
    }
    shelf.changed.clear();
    shelf.overwritten = 0;
  }
}
