/**
 * One browser profile, ended again and again in the middle of its edits, and opened again with what is left on the disk.
 *
 * `await torment({ seed, folder, plan, kind })` → what came of it. `folder`: the unpacked package. `plan`: how each session ends, of
 * `ENDINGS`. `kind`: one of `SERVERS`. The same seed draws the same faults, edits and moments; what the machine makes of them is its own affair.
 *
 * Result: `{ violations, endings, wipes: { seen, reported, made }, edits, acknowledged, excused, doubled, requests, parked, cells }`; `endings`,
 * `parked` and `cells` are maps to counts.
 */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FaultServer } from "../../accept/support/server.js";
import { launch, removeDir, tempDir, until } from "../../e2e/support/browser.js";
import { contentOf } from "../../e2e/support/packed-site.js";
import { ACTIONS, Faults, add } from "./faults.js";
import { Ledger, parkedOf } from "./ledger.js";
import { page } from "./page.js";
import { draws } from "./random.js";
import { witness } from "./witness.js";

export const SERVERS = {
  keys: { habits: { keys: true }, keys: true, once: true },
  "keys and ETags": { habits: { keys: true, etags: true }, keys: true, once: true },
  "ETags and unique names": { habits: { etags: true, unique: "tag" }, keys: false, once: true, overtakes: false },
  plain: { habits: {}, keys: false, once: false, overtakes: false },
};

/** How a session ends. `damage`: killed, and then a byte of the database's log is changed, at which Chromium throws all of it away. */
export const ENDINGS = ["kill", "damage", "crash", "close", "reload", "leave"];

/** Most of the time something is wrong with the server. */
const MOODS = ["well", "faulty", "faulty", "faulty", "away"];
/** A session ends at the latest then; or earlier, when so many edits were stored. */
const LONGEST_SESSION_MS = 1500;
const MOST_STORED = { human: 12, fast: 250 };
const TIMEOUT_MS = 1500;
const LOAD_LIMIT_MS = 60_000;
const SEND_LIMIT_MS = 120_000;
/** What is parked is tried again when all is well; what is refused even then stays parked. */
const RETRY_LIMIT_MS = 20_000;
const BLANK = `<!doctype html><html lang="en"><title>Elsewhere</title></html>`;

export async function torment(options) {
  const profile = new Profile(options);
  try {
    await profile.live();
  } catch (error) {
    profile.ledger.broken(`the profile could not go on: ${error.stack}`);
  } finally {
    await profile.end();
  }
  return profile.result();
}

class Profile {
  ledger;
  #plan;
  #draws;
  #kind;
  #folder;
  #dir;
  #server;
  #faults;
  #collection;
  #witness;
  #browser;
  #page;
  #told = {};
  #loads = 0;
  #onStored = () => {};
  #counts = { endings: new Map(), cells: new Map(), parked: new Map(), seen: 0, reported: 0, made: 0 };

  constructor({ seed, folder, plan, kind }) {
    this.#draws = draws(seed);
    this.#folder = folder;
    this.#plan = plan;
    this.#kind = SERVERS[kind];
    this.ledger = new Ledger(this.#kind);
  }

  async live() {
    await this.#prepare();
    for (const ending of this.#plan) {
      await this.#load(this.#draws.pick(MOODS));
      await this.#work();
      await this.#finish(ending);
    }
    await this.#load("well");
    await this.#settle();
  }

  async end() {
    await this.#browser?.close().catch(() => {});
    await this.#server?.stop();
    await this.#witness?.close();
    if (this.#dir) await removeDir(this.#dir);
  }

  result() {
    const { violations, edits, acknowledged, excused, doubled } = this.ledger;
    const { endings, cells, parked, seen, reported, made } = this.#counts;
    const log = this.#server?.log ?? [];
    this.#faults?.count(log, cells);
    const wipes = { seen, reported, made };
    const requests = log.length;
    return { violations, endings, wipes, edits, acknowledged, excused, doubled, requests, parked, cells };
  }

  async #prepare() {
    this.#dir = await tempDir();
    this.#witness = await witness((session, message) => this.#hear(session, message));
    const pages = { "/": page(this.#witness.url, { timeout: TIMEOUT_MS }), "/elsewhere": BLANK };
    this.#server = await new FaultServer({ site: (path) => contentOf(path, this.#folder, pages) }).start();
    this.#collection = this.#server.collection("things", this.#kind.habits);
    this.#collection.onChange = ({ action, data }) => {
      if (action === "create") this.ledger.created(data.id, data.tag);
    };
    this.#faults = new Faults(this.#server, this.#draws, this.#kind);
  }

  #hear(session, { told, ...message }) {
    if (told === "edit") {
      this.ledger.edited(message);
      if (message.action === "delete") this.#witness.session.say({ do: "go" });
    } else if (told === "stored") {
      this.ledger.stored(message.seq);
      this.#onStored();
    } else if (told === "unstored") this.ledger.broken(`edit ${message.seq} was not stored: ${message.code}`);
    else if (told === "uncaught") this.ledger.broken(`the page: ${message.message}`);
    else this.#told = { ...message, session, told };
  }

  #hears(told, session, limit) {
    const heard = () => this.#told.told === told && this.#told.session === session && this.#told;
    return until(heard, { timeoutMs: limit, what: `session ${session} tells its ${told}` });
  }

  async #load(mood) {
    this.#faults.set(mood);
    this.#browser ??= await launch(this.#dir);
    this.#page ??= this.#browser.page;
    // A page that was just reloaded may be the one before, and be about to go.
    const query = `?load=${(this.#loads += 1)}`;
    await this.#page.goto(`${this.#server.origin}/${query}`);
    const number = await until(() => this.#witness.session?.query === query && this.#witness.session.number);
    const { items, pending, isNew, status, failed } = await this.#hears("loaded", number, LOAD_LIMIT_MS);
    const when = `session ${number}, ${mood}${failed ? `, ${failed.code}` : ""}`;
    const { code, message } = status.storageError ?? {};
    if (code === "E_DATA_LOSS") this.#counts.reported += 1;
    // What cannot be opened now may be there the next time.
    if (isNew === undefined && !status.durable) return void add(this.#counts.cells, `not opened × ${code}`);
    if (this.ledger.holds && isNew) {
      this.#counts.seen += 1;
      if (code !== "E_DATA_LOSS")
        this.ledger.broken(`${when}: the database was wiped, and nothing tells of it: ${message}`);
      this.ledger.wiped(this.#collection.rows());
    } else if (code) this.ledger.broken(`${when}: ${message}`);
    return void this.ledger.loaded(items, pending, when);
  }

  /** Settles at the moment at which the session is to end. */
  async #work() {
    const human = this.#draws.chance(0.3);
    const most = 1 + this.#draws.below(human ? MOST_STORED.human : MOST_STORED.fast);
    let stored = 0;
    const enough = new Promise((resolve) => {
      this.#onStored = () => {
        stored += 1;
        if (stored >= most) resolve();
      };
    });
    this.#witness.session.say({ do: "work", seed: this.#draws.below(2 ** 32), human });
    // Not before the first word, so that no session is without edits; afterwards at any time.
    await Promise.race([enough, sleep(this.#draws.between(100, LONGEST_SESSION_MS))]);
    if (this.#draws.chance(0.5)) this.#faults.set(this.#draws.pick(MOODS));
  }

  async #finish(ending) {
    const { closed } = this.#witness.session;
    add(this.#counts.endings, ending);
    for (const { method, applied, answeredAt } of this.#server.log)
      if (answeredAt === undefined && method !== "OPTIONS")
        add(this.#counts.cells, `${ending} × ${applied ? "done" : "arrived"}, not answered × ${ACTIONS[method]}`);
    await this.#end[ending]();
    await closed;
    // What was left without an answer stays so, and is not counted again.
    for (const entry of this.#server.log) entry.answeredAt ??= Infinity;
  }

  #end = {
    kill: async () => {
      await this.#browser.kill();
      this.#browser = this.#page = undefined;
    },
    damage: async () => {
      await this.#end.kill();
      if (await damaged(this.#dir)) this.#counts.made += 1;
    },
    crash: async () => {
      const devtools = await this.#browser.context.newCDPSession(this.#page);
      const crashed = new Promise((resolve) => this.#page.once("crash", resolve));
      // It is never answered.
      devtools.send("Page.crash").catch(() => {});
      await crashed;
      await this.#replace();
    },
    close: () => this.#replace(),
    reload: () => this.#page.reload({ waitUntil: "commit" }),
    leave: () => this.#page.goto(`${this.#server.origin}/elsewhere`),
  };

  /** Another tab instead of this one. */
  async #replace() {
    const old = this.#page;
    this.#page = await this.#browser.context.newPage();
    await old.close();
  }

  /** Everything is sent, and then compared. */
  async #settle() {
    const { number, say } = this.#witness.session;
    const state = async () => {
      this.#told = {};
      say({ do: "tell" });
      return this.#hears("state", number, LOAD_LIMIT_MS);
    };
    const drained = async (mayBeParked, timeoutMs) => {
      let last;
      const done = async () => {
        last = await state();
        const parked = mayBeParked ? parkedOf(last.pending) : new Set();
        return last.pending.every(({ tag }) => parked.has(tag));
      };
      await until(done, { timeoutMs, what: "everything is sent or parked" }).catch(() => {});
      return last;
    };
    let last = await drained(true, SEND_LIMIT_MS);
    const parked = parkedOf(last.pending);
    for (const { tag, state: at, reason } of last.pending)
      if (!parked.has(tag) || (at === "parked" && !reason?.code)) this.#stuck(tag, last);
      else if (at === "parked") add(this.#counts.parked, `${reason.code} ${reason.status ?? ""}`.trim());
    if (last.pending.length > 0) {
      say({ do: "retry" });
      last = await drained(false, RETRY_LIMIT_MS);
      for (const { state: at, reason } of last.pending)
        if (at === "parked") add(this.#counts.parked, `for good: ${reason?.code ?? "no reason"}`);
    }
    await until(() => this.#faults.isQuiet, { what: "no request waits in the server" });
    const { items, pending } = await state();
    this.ledger.settled({ rows: this.#collection.rows(), log: this.#server.log, items, pending });
  }

  /** Tells of an edit that is neither sent nor parked, with all that the server has heard of its item. */
  #stuck(tag, { pending, items, status }) {
    const item = items.find((one) => one.tag === tag);
    const edits = JSON.stringify(pending.filter((one) => one.tag === tag));
    this.ledger.broken(
      `${tag} is neither sent nor parked: ${edits}, ${JSON.stringify({ item, status })}${this.ledger.heard(this.#server.log, tag)}`,
    );
  }
}

/** Changes a byte in the middle of the log of the site's database; whether there was one. */
async function damaged(profile) {
  const root = join(profile, "Default", "IndexedDB");
  const names = await readdir(root, { recursive: true }).catch(() => []);
  for (const name of names.filter((one) => one.endsWith(".log"))) {
    const { size } = await stat(join(root, name));
    if (size < 1000) continue;
    const file = await open(join(root, name), "r+");
    const place = Math.floor(size / 2);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, place);
    byte[0] ^= 0xff;
    await file.write(byte, 0, 1, place);
    await file.close();
    return true;
  }
  return false;
}
