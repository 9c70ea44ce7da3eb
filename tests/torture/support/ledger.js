/**
 * What one profile was promised, and whether it was kept. It knows what pages told before they were ended, and the server's log and
 * rows; nothing of browsers. Whatever is broken is added to `violations`, as text; `excused` counts what the browser's own wipe took.
 *
 * - `edited(edit)`, `stored(seq)`: as a page tells. `created(id, tag)`: the server has made a row.
 * - `wiped()`: the library has said that the database is gone: what was not sent is lost, and was reported.
 * - `loaded({ items, pending, when, known })`: what is there after a restart holds every edit that was stored before; `known`: what
 *   `acknowledged` was when the page began to load, as other tabs may go on. (A row whose key was never heard of comes with the list, as
 *   somebody else's, until the create that made it is repeated: beside the item, or, while its delete waits, instead of it.)
 * - `settled({ rows, log, tabs })`: at the end, with everything sent: the same of the server, and what its log shows; `tabs`:
 *   `{ items, pending }` of each tab. `differences(rows, tab)`: in what such a tab is not what the server holds, as texts.
 *
 * `new Ledger({ keys, once })`: whether the server honours idempotency keys, and whether a create cannot be doubled on it.
 */
import { FIELDS, PER_SESSION } from "./page.js";

export class Ledger {
  violations = [];
  excused = 0;
  #server;
  /** id → tag, of everything that was ever on the server. */
  #tags = new Map();
  /** tag → how often it was created there. */
  #creates = new Map();
  /** tag → its edits, in order. */
  #items = new Map();
  #edits = new Map();
  #acknowledged = 0;
  /** session → the last edit that it told. */
  #told = new Map();

  constructor(server) {
    this.#server = server;
  }

  /** What the server has heard of an item, as text. */
  heard(log, tag) {
    const ids = [...this.#tags].filter(([, of]) => of === tag).map(([id]) => id);
    const heard = log
      .filter(({ id, body }) => body?.tag === tag || ids.includes(id))
      .map(({ method, id = "", headers, body, applied, replayed, status }) => {
        const said = [method, id, headers["idempotency-key"], headers["if-match"], body?.seq].filter(Boolean).join(" ");
        return `${said} → ${status}${applied ? " done" : replayed ? " known" : ""}`;
      });
    return `; heard: ${heard.join("; ")}`;
  }

  get doubled() {
    return [...this.#creates.values()].filter((times) => times > 1).length;
  }

  /** Whether something must be in the database now. */
  get holds() {
    return [...this.#edits.values()].some(({ isStored }) => isStored);
  }

  get edits() {
    return this.#edits.size;
  }

  get acknowledged() {
    return this.#acknowledged;
  }

  edited({ tag, seq, action, field }) {
    const edit = { seq, action, field, isStored: false };
    if (!this.#items.has(tag)) this.#items.set(tag, { edits: [], isWiped: false });
    this.#items.get(tag).edits.push(edit);
    this.#edits.set(seq, edit);
    this.#told.set(sessionOf(seq), seq);
  }

  stored(seq) {
    Object.assign(this.#edits.get(seq), { isStored: true, place: (this.#acknowledged += 1) });
  }

  created(id, tag) {
    this.#tags.set(id, tag);
    this.#creates.set(tag, (this.#creates.get(tag) ?? 0) + 1);
  }

  wiped(rows) {
    const held = byTag(rows);
    for (const [tag, item] of this.#items) {
      if (!item.edits.some(({ isStored }) => isStored)) continue;
      const row = held.get(tag)?.[0];
      const isLost = this.#missing(item, row).length > 0;
      if (isLost) this.excused += 1;
      item.isWiped = true;
      for (const edit of item.edits) edit.isStored = false;
    }
  }

  loaded({ items, pending, when, known = Infinity }) {
    const deleted = new Set(pending.filter(({ action }) => action === "delete").map(({ tag }) => tag));
    this.#compare(byTag(items), deleted, `${when}: the page after a restart`, { known });
    for (const { tag, state, reason } of pending)
      if (state === "parked" && !reason?.code) this.broken(`${when}: ${tag} is parked without a reason`);
  }

  settled({ rows, log, tabs }) {
    const writes = log.filter(({ method }) => ["POST", "PUT", "PATCH", "DELETE"].includes(method));
    this.#keys(writes);
    this.#order(writes);
    this.#inventions(writes);
    for (const [tag, times] of this.#creates)
      if (times > 1 && this.#server.once) this.broken(`${tag} was created ${times} times${this.heard(writes, tag)}`);
    for (const { pending } of tabs) {
      const parked = parkedOf(pending);
      for (const { tag } of pending) if (!parked.has(tag)) this.broken(`${tag} still waits`);
    }
    this.#compare(byTag(rows), parkedOf(tabs[0].pending), "the server", { heard: (tag) => this.heard(writes, tag) });
    for (const tab of tabs) for (const text of this.differences(rows, tab)) this.broken(text);
  }

  differences(rows, { items, pending, name = "here" }) {
    const [there, here, parked] = [byTag(rows), byTag(items), parkedOf(pending)];
    return [...new Set([...there.keys(), ...here.keys()])]
      .filter((tag) => !parked.has(tag) && !this.#isDouble(tag) && print(there.get(tag)) !== print(here.get(tag)))
      .map((tag) => `${tag} is ${print(here.get(tag))} ${name} and ${print(there.get(tag))} on the server`);
  }

  /** Something that must not be. */
  broken(text) {
    this.violations.push(text);
  }

  /** Every stored edit is in what is held, or was followed by another that is. */
  #compare(held, except, whose, { heard = () => "", known } = {}) {
    for (const [tag, item] of this.#items) {
      if (except.has(tag) || this.#isDouble(tag)) continue;
      const missing = (held.get(tag) ?? [undefined]).map((row) => this.#missing(item, row, known));
      if (missing.some((whys) => whys.length === 0)) continue;
      for (const why of missing[0]) this.broken(`${whose} lacks ${tag}: ${why}${heard(tag)}`);
    }
  }

  /** Of what is there twice, nobody can say which one is meant. It is allowed where `once` is not promised. */
  #isDouble(tag) {
    return this.#creates.get(tag) > 1;
  }

  #missing({ edits }, row, known = Infinity) {
    const stored = edits.filter(({ isStored, place }) => isStored && place <= known);
    const deleted = edits.find(({ action }) => action === "delete");
    if (stored.includes(deleted)) return row ? [`its delete ${deleted.seq}`] : [];
    if (stored.length === 0) return [];
    if (!row) return deleted ? [] : [`all of it, from ${stored[0].seq} to ${stored.at(-1).seq}`];
    const last = (field) => stored.findLast((edit) => field === "seq" || edit.field === field)?.seq;
    return ["seq", ...FIELDS]
      .filter((field) => last(field) !== undefined && !(row[field] >= last(field)))
      .map((field) => `edit ${last(field)} of ${field}, which is ${row[field]}`);
  }

  #keys(writes) {
    const known = new Map();
    for (const { method, path, headers, body, applied } of writes) {
      const key = headers["idempotency-key"];
      const said = `${method} ${path} ${JSON.stringify(body)}`;
      if (!key) this.broken(`${said} has no key`);
      const before = known.get(key);
      if (before && before.said !== said) this.broken(`the key ${key} stood for ${before.said} and for ${said}`);
      if (before?.applied && applied && this.#server.keys) this.broken(`${said} was applied twice under one key`);
      known.set(key, { said, applied: applied || before?.applied });
    }
  }

  /** What took effect of an item was in the order of its edits, and nothing came after its end. */
  #order(writes) {
    const last = new Map();
    for (const { method, id, body, applied } of writes) {
      const tag = body?.tag ?? this.#tags.get(id);
      if (!applied || this.#items.get(tag)?.isWiped || this.#isDouble(tag)) continue;
      const before = last.get(tag);
      const now = method === "DELETE" ? Infinity : body.seq;
      if (before > now || (this.#server.keys && before === now))
        this.broken(`${tag}: ${method} ${now} took effect after ${before}`);
      last.set(tag, now);
    }
  }

  /** What arrives was made by a page: only the last words of one that was ended may have been lost. */
  #inventions(writes) {
    for (const { method, body } of writes) {
      if (method === "DELETE") continue;
      for (const name of ["seq", ...FIELDS]) {
        const seq = body[name];
        if (typeof seq !== "number" || this.#edits.has(seq) || seq > this.#told.get(sessionOf(seq))) continue;
        this.broken(`${method} of ${body.tag} has ${seq} in ${name}, which nobody wrote`);
      }
    }
  }
}

/** The items of which an edit is parked: what was edited after that waits behind it. */
export const parkedOf = (pending) => new Set(pending.filter(({ state }) => state === "parked").map(({ tag }) => tag));

const sessionOf = (seq) => Math.floor(seq / PER_SESSION);

function byTag(rows) {
  const tags = new Map();
  for (const row of rows) tags.set(row.tag, [...(tags.get(row.tag) ?? []), row]);
  return tags;
}

/** Rows with their values in one order. */
const print = (rows = []) =>
  rows
    .map((row) => ["tag", "seq", ...FIELDS].map((name) => row[name]).join(" "))
    .sort()
    .join(", ");
