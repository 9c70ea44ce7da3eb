/**
 * The rows of one example, kept in a JSON file so that they outlive a restart, together with the answers that were
 * given under idempotency keys: an edit that comes a second time, because its answer was lost, has no second effect.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const MAX_REMEMBERED_ANSWERS = 1_000;

/** Where an example keeps its rows unless it is told otherwise. */
export const dataFile = (name) => fileURLToPath(new URL(`../../data/example-${name}.json`, import.meta.url));

export class Collection {
  #file;
  #state;

  constructor(file, rows) {
    this.#file = file;
    this.#state = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { lastId: 0, rows: [], answers: [] };
    if (this.#state.lastId === 0) for (const row of rows) this.add(row);
  }

  list() {
    return this.#state.rows;
  }

  get(id) {
    return this.#state.rows.find((row) => row.id === id);
  }

  /** Makes a change once: under a key that was seen before it gives the answer of the first time. */
  once(key, change) {
    const known = key && this.#state.answers.find((answer) => answer.key === key);
    if (known) return { answer: known.answer, replayed: true };
    const answer = change();
    if (key) this.#state.answers.push({ key, answer });
    this.#state.answers.splice(0, this.#state.answers.length - MAX_REMEMBERED_ANSWERS);
    this.#save();
    return { answer, replayed: false };
  }

  add(values) {
    this.#state.lastId += 1;
    const row = { ...values, id: String(this.#state.lastId) };
    this.#state.rows.push(row);
    return row;
  }

  replace(id, values) {
    return this.#put(id, { ...values, id });
  }

  merge(id, values) {
    return this.#put(id, { ...this.get(id), ...values, id });
  }

  remove(id) {
    this.#state.rows = this.#state.rows.filter((row) => row.id !== id);
  }

  #put(id, row) {
    this.#state.rows = this.#state.rows.map((old) => (old.id === id ? row : old));
    return row;
  }

  /** Written beside the file and renamed over it: a crash leaves the old file or the new one, never half of one. */
  #save() {
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#state, null, 2), { flush: true });
    renameSync(`${this.#file}.new`, this.#file);
  }
}
