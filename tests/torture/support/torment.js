/**
 * One browser profile, ended again and again in the middle of its edits, and opened again with what is left on the disk.
 *
 * `await torment({ seed, folder, plan, kind, tabs })` → what came of it. `folder`: the unpacked package. `plan`: how each session ends, of
 * `ENDINGS`. `kind`: one of `SERVERS`. `tabs`: how many have the store open at once, at most; all edit, each its own items. Some endings end
 * the whole browser; any other ends one tab, at times the one that sends, while the others go on. The same seed draws the same faults, edits and
 * moments; what the machine makes of them is its own affair.
 *
 * Result: `{ violations, endings, wipes: { seen, reported, made }, several: { opened, left, senders }, edits, acknowledged, excused, doubled, requests,
 * parked, cells }`; `several`: pages that were opened when, or while, another was, that were ended while others went on, and that were the sender then;
 * `endings`, `parked` and `cells` are maps to counts.
 */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FaultServer } from "../../accept/support/server.js";
import { launch, removeDir, tempDir, until } from "../../e2e/support/browser.js";
import { contentOf } from "../../e2e/support/packed-site.js";
import { ACTIONS, Faults, add } from "./faults.js";
import { Ledger, parkedOf } from "./ledger.js";
import { page as pageOf } from "./page.js";
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
const OF_THE_BROWSER = ["kill", "damage"];

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
/** What one tab has sent is soon seen in the others. */
const SEEN_LIMIT_MS = 20_000;
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
  /** `{ place, page, query, session }` of each; without a session while the store is not open in it. */
  #tabs;
  #loads = 0;
  #onStored = () => {};
  #counts = { endings: new Map(), cells: new Map(), parked: new Map(), seen: 0, reported: 0, made: 0 };
  #several = { opened: 0, left: 0, senders: 0 };

  constructor({ seed, folder, plan, kind, tabs = 1 }) {
    this.#draws = draws(seed);
    this.#folder = folder;
    this.#plan = plan;
    this.#kind = SERVERS[kind];
    this.#tabs = Array.from({ length: tabs }, (_, place) => ({ place }));
    this.ledger = new Ledger(this.#kind);
  }

  async live() {
    await this.#prepare();
    for (const ending of this.#plan) {
      const opened = await this.#load(this.#draws.pick(MOODS));
      await this.#work(opened);
      await this.#finish(ending);
    }
    await this.#load("well", 1);
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
    const several = this.#several;
    const log = this.#server?.log ?? [];
    this.#faults?.count(log, cells);
    const wipes = { seen, reported, made };
    const requests = log.length;
    return { violations, endings, wipes, several, edits, acknowledged, excused, doubled, requests, parked, cells };
  }

  async #prepare() {
    this.#dir = await tempDir();
    this.#witness = await witness((session, message) => this.#hear(session, message));
    const pages = { "/": pageOf(this.#witness.url, { timeout: TIMEOUT_MS }), "/elsewhere": BLANK };
    this.#server = await new FaultServer({ site: (path) => contentOf(path, this.#folder, pages) }).start();
    this.#collection = this.#server.collection("things", this.#kind.habits);
    this.#collection.onChange = ({ action, data }) => {
      if (action === "create") this.ledger.created(data.id, data.tag);
    };
    // Of its own, since how many requests there are is the machine's affair.
    this.#faults = new Faults(this.#server, draws(this.#draws.below(2 ** 32)), this.#kind);
  }

  #hear(session, { told, ...message }) {
    if (told === "edit") {
      this.ledger.edited(message);
      if (message.action === "delete") session.say({ do: "go" });
    } else if (told === "stored") {
      this.ledger.stored(message.seq);
      this.#onStored();
    } else if (told === "unstored") this.ledger.broken(`edit ${message.seq} was not stored: ${message.code}`);
    else if (told === "uncaught") this.ledger.broken(`the page: ${message.message}`);
    else if (told === "sender") session.isSender = message.isSender;
    else session.told = { ...message, told };
  }

  /** The next `told` of a session. */
  #hears(told, session, limit) {
    const heard = () => session.told?.told === told && session.told;
    return until(heard, { timeoutMs: limit, what: `session ${session.number} tells its ${told}` });
  }

  async #asks(session, what, told) {
    session.told = undefined;
    session.say({ do: what });
    return this.#hears(told, session, LOAD_LIMIT_MS);
  }

  get #open() {
    return this.#tabs.filter(({ session }) => session);
  }

  /** Opens the store in tabs in which it is not, at the same time, while it may be open in others; `share`: in how many of them. */
  async #load(mood, share = 0.7) {
    this.#faults.set(mood);
    if (!this.#browser) {
      this.#browser = await launch(this.#dir);
      for (const tab of this.#tabs)
        tab.page = tab.place === 0 ? this.#browser.page : await this.#browser.context.newPage();
    }
    const drawn = this.#tabs.map(() => this.#draws.chance(share));
    const some = this.#open.length > 0 || drawn.some(Boolean);
    const opening = this.#tabs.filter(({ session, place }) => !session && (some ? drawn[place] : place === 0));
    const known = this.ledger.acknowledged;
    const found = await Promise.all(opening.map((tab) => this.#visit(tab)));
    if (this.#open.length > 1) this.#several.opened += opening.length;
    this.#compare(found, mood, known);
    return opening;
  }

  /** What is found in a page that is loaded. */
  async #visit(tab) {
    // A page that was just reloaded may be the one before, and be about to go.
    tab.query = `?load=${(this.#loads += 1)}`;
    await tab.page.goto(`${this.#server.origin}/${tab.query}`);
    tab.session = await until(() => this.#witness.sessions.get(tab.query), { what: "a page connects to the witness" });
    return { number: tab.session.number, ...(await this.#hears("loaded", tab.session, LOAD_LIMIT_MS)) };
  }

  #compare(found, mood, known) {
    for (const page of found) {
      const { code, message } = page.status.storageError ?? {};
      page.when = `session ${page.number}, ${mood}${page.failed ? `, ${page.failed.code}` : ""}`;
      Object.assign(page, { code, message, known });
    }
    // What cannot be opened now may be there the next time.
    const isClosed = ({ isNew, status }) => isNew === undefined && !status.durable;
    for (const { code } of found.filter(isClosed)) add(this.#counts.cells, `not opened × ${code}`);
    const opened = found.filter((page) => !isClosed(page));
    const tells = opened.some(({ code }) => code === "E_DATA_LOSS");
    if (tells) this.#counts.reported += 1;
    // Of several that are opened at once any may be the first to meet the mark, or what is gone.
    const first = this.ledger.holds && opened.find(({ isNew }) => isNew);
    if (first) {
      this.#counts.seen += 1;
      if (!tells)
        this.ledger.broken(`${first.when}: the database was wiped, and nothing tells of it: ${first.message}`);
      this.ledger.wiped(this.#collection.rows());
    }
    for (const { code, message, when } of opened)
      if (code && !(first && code === "E_DATA_LOSS")) this.ledger.broken(`${when}: ${message}`);
    for (const page of opened) this.ledger.loaded(page);
  }

  /** Settles at the moment at which a session is to end. */
  async #work(opened) {
    const works = this.#tabs.map(() => ({ human: this.#draws.chance(0.3), seed: this.#draws.below(2 ** 32) }));
    const most = 1 + this.#draws.below(works.every(({ human }) => human) ? MOST_STORED.human : MOST_STORED.fast);
    let stored = 0;
    const enough = new Promise((resolve) => {
      this.#onStored = () => {
        stored += 1;
        if (stored >= most) resolve();
      };
    });
    const tabs = this.#tabs.length;
    for (const { place, session } of opened) session.say({ do: "work", ...works[place], place, tabs });
    // Not before the first word, so that no session is without edits; afterwards at any time.
    await Promise.race([enough, sleep(this.#draws.between(100, LONGEST_SESSION_MS))]);
    const changes = this.#draws.chance(0.5);
    const mood = this.#draws.pick(MOODS);
    if (changes) this.#faults.set(mood);
  }

  async #finish(ending) {
    const [which, ofSender] = [this.#draws.between(0, 1), this.#draws.chance(0.5)];
    add(this.#counts.endings, ending);
    const openTabs = this.#open;
    const sender = openTabs.find(({ session }) => session.isSender);
    const victim = (ofSender && sender) || openTabs[Math.floor(which * openTabs.length)];
    const gone = OF_THE_BROWSER.includes(ending) ? openTabs : [victim];
    if (gone.length < openTabs.length) {
      this.#several.left += 1;
      if (victim === sender) this.#several.senders += 1;
    }
    const queries = gone.map(({ query }) => query);
    const unanswered = this.#server.log.filter(
      ({ headers, answeredAt }) =>
        answeredAt === undefined && queries.some((query) => headers.referer?.endsWith(query)),
    );
    for (const { method, applied } of unanswered)
      if (method !== "OPTIONS")
        add(this.#counts.cells, `${ending} × ${applied ? "done" : "arrived"}, not answered × ${ACTIONS[method]}`);
    await this.#end[ending](victim);
    await Promise.all(gone.map(({ session }) => session.closed));
    for (const tab of gone) tab.session = undefined;
    // What was left without an answer stays so, and is not counted again.
    for (const entry of unanswered) entry.answeredAt ??= Infinity;
  }

  #end = {
    kill: async () => {
      await this.#browser.kill();
      this.#browser = undefined;
    },
    damage: async () => {
      await this.#end.kill();
      if (await damaged(this.#dir)) this.#counts.made += 1;
    },
    crash: async (tab) => {
      const devtools = await this.#browser.context.newCDPSession(tab.page);
      const crashed = new Promise((resolve) => tab.page.once("crash", resolve));
      // It is never answered.
      devtools.send("Page.crash").catch(() => {});
      await crashed;
      await this.#replace(tab);
    },
    close: (tab) => this.#replace(tab),
    reload: ({ page: old }) => old.reload({ waitUntil: "commit" }),
    leave: ({ page: old }) => old.goto(`${this.#server.origin}/elsewhere`),
  };

  /** Another tab instead of this one. */
  async #replace(tab) {
    const old = tab.page;
    tab.page = await this.#browser.context.newPage();
    await old.close();
  }

  /** Everything is sent, and then compared. */
  async #settle() {
    const sessions = this.#tabs.map(({ session }) => session);
    await Promise.all(sessions.map((session) => this.#asks(session, "rest", "rested")));
    const states = () =>
      Promise.all(
        sessions.map(async (session) => {
          return { ...(await this.#asks(session, "tell", "state")), name: `in session ${session.number}` };
        }),
      );
    const reached = async (isReached, timeoutMs) => {
      let last;
      const done = async () => (last = await states()).every(isReached);
      await until(done, { timeoutMs, what: "all tabs are so far" }).catch(() => {});
      return last;
    };
    let tabs = await reached(({ pending }) => pending.every(({ tag }) => parkedOf(pending).has(tag)), SEND_LIMIT_MS);
    for (const tab of tabs) this.#stuck(tab);
    this.#parked(tabs[0]);
    if (tabs.some(({ pending }) => pending.length > 0)) {
      // Whichever tab is asked, the one that sends does it.
      this.#draws.pick(sessions).say({ do: "retry" });
      tabs = await reached(({ pending }) => pending.length === 0, RETRY_LIMIT_MS);
      this.#parked(tabs[0], "for good: ");
    }
    await until(() => this.#faults.isQuiet, { what: "no request waits in the server" });
    const rows = () => this.#collection.rows();
    tabs = await reached((tab) => this.ledger.differences(rows(), tab).length === 0, SEEN_LIMIT_MS);
    this.ledger.settled({ rows: rows(), log: this.#server.log, tabs });
  }

  #parked({ pending }, how = "") {
    for (const { state, reason } of pending)
      if (state === "parked")
        add(this.#counts.parked, `${how}${reason?.code ?? "no reason"} ${reason?.status ?? ""}`.trim());
  }

  /** Tells of edits that are neither sent nor parked, with all that the server has heard of their items. */
  #stuck({ pending, items, status, name }) {
    const parked = parkedOf(pending);
    for (const { tag, state, reason } of pending) {
      if (parked.has(tag) && (state !== "parked" || reason?.code)) continue;
      const item = items.find((one) => one.tag === tag);
      const edits = JSON.stringify(pending.filter((one) => one.tag === tag));
      this.ledger.broken(
        `${tag} is neither sent nor parked ${name}: ${edits}, ${JSON.stringify({ item, status })}${this.ledger.heard(this.#server.log, tag)}`,
      );
    }
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
