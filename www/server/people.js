/**
 * The collection of people and the answers given under idempotency keys, kept together in one JSON file, so that a
 * write and the memory of it cannot be torn apart by a crash. Knows nothing of HTTP requests.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const MAX_REMEMBERED_ANSWERS = 5_000;

export class People {
  #file;
  #state;

  constructor(file) {
    this.#file = file;
    this.#state = existsSync(file) ? read(file) : seed();
    this.#save();
  }

  /** All rows, oldest first. */
  list() {
    return this.#state.rows;
  }

  get(id) {
    return this.#state.rows.find((row) => row.id === id);
  }

  /** The answer that was given under this idempotency key, if there was one. */
  answerFor(key) {
    return this.#state.answers.find((answer) => answer.key === key);
  }

  /** Runs a change of the rows and keeps its answer in the same write of the file. */
  commit(key, fingerprint, change) {
    const answer = change(this);
    if (key) {
      this.#state.answers.push({ key, fingerprint, ...answer });
      this.#state.answers.splice(0, this.#state.answers.length - MAX_REMEMBERED_ANSWERS);
    }
    this.#save();
    return answer;
  }

  add(values) {
    const row = { ...values, id: String(this.#state.nextId) };
    this.#state.nextId += 1;
    this.#state.rows.push(row);
    return row;
  }

  replace(id, values) {
    const index = this.#state.rows.findIndex((row) => row.id === id);
    this.#state.rows[index] = { ...values, id };
    return this.#state.rows[index];
  }

  remove(id) {
    this.#state.rows = this.#state.rows.filter((row) => row.id !== id);
  }

  /** Written beside the file and renamed over it: a crash leaves the old file or the new one, never half of one. */
  #save() {
    mkdirSync(dirname(this.#file), { recursive: true });
    const temporary = `${this.#file}.${process.pid}.tmp`;
    writeFileSync(temporary, `${JSON.stringify(this.#state, null, 2)}\n`, { flush: true });
    renameSync(temporary, this.#file);
  }
}

function read(file) {
  const state = JSON.parse(readFileSync(file, "utf8"));
  if (!Array.isArray(state.rows) || !Array.isArray(state.answers) || !Number.isInteger(state.nextId)) {
    throw new Error(`${file} is not a data file of this server: move it away, and a new one is made.`);
  }
  return state;
}

function seed() {
  const rows = SEED.map(([firstName, lastName, city, age, joined, vip, tags], index) => ({
    firstName,
    lastName,
    email: `${firstName}.${lastName}@example.org`.toLowerCase().replaceAll(" ", "-"),
    age,
    vip,
    joined: `${joined}T00:00:00.000Z`,
    tags,
    address: { city },
    id: String(index + 1),
  }));
  return { nextId: rows.length + 1, rows, answers: [] };
}

const SEED = [
  ["Amara", "Okafor", "Lagos", 34, "2021-03-15", true, ["field", "water"]],
  ["Jonas", "Lindqvist", "Uppsala", 51, "2019-11-02", false, ["archive"]],
  ["Mei", "Tanaka", "Kyoto", 28, "2023-06-21", false, ["design", "print"]],
  ["Rafael", "Duarte", "Porto", 45, "2018-01-30", true, ["boats"]],
  ["Salma", "Haddad", "Tunis", 39, "2020-09-09", false, ["teaching", "maths"]],
  ["Piotr", "Zieliński", "Gdynia", 62, "2015-05-04", false, ["harbour", "radio"]],
  ["Ngaire", "Walker", "Dunedin", 31, "2022-12-12", true, ["birds"]],
  ["Luca", "Ferri", "Bergamo", 26, "2024-02-01", false, []],
  ["Freya", "Nielsen", "Aarhus", 47, "2017-08-19", false, ["music", "choir"]],
  ["Tomás", "Quispe", "Cusco", 55, "2016-04-25", false, ["maps"]],
  ["Ines", "Moreau", "Lille", 33, "2021-10-07", true, ["press"]],
  ["Dev", "Raman", "Kochi", 42, "2019-07-14", false, ["field", "boats"]],
];
