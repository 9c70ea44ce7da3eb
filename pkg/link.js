// What the engine asks of a transporter or a client storage, whoever wrote it: one request, prepared, changed by middleware, made,
// and told as facts. Decides nothing about order, retry or merge: that is the engine's.

import { Asked, answered, loaded, persisted, resolved } from "./wasm/concordia.js";
import { ConcordiaError, wordsOf } from "./error.js";
import { middlewareOf, through } from "./middleware.js";
import { HttpOfflineChecker } from "./offline-checker.js";
import { calling } from "./page.js";

/** Half a minute: longer than any API takes, shorter than people wait. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** How often a middleware may have one request made again at once; then it is the engine's turn. */
const MOST_REPEATS = 3;

// The facts of an answer, as `transporter/custom.rs` reads them: [ending, status, kind of body, JSON, text, Retry-After, Location,
// version, response, complete, deleted, message, status that was given, problem, next page, cursor].
const [UNREACHABLE, TIMED_OUT, ANSWERED] = [0, 1, 3];
const [EMPTY, JSON_VALUE] = [0, 1];

/** An error's facts, if it was made of facts. */
export const FACTS = Symbol("facts");

/** The method of a transporter that makes of the request for a collection the one for what `{page, cursor}` says. */
export const GO_ON = Symbol("go on");

/** The method of a transporter that says who can tell whether it can be reached. */
export const CHECKER = Symbol("checker");

/** Marks an answer whose data nobody else holds. */
export const FRESH = Symbol("fresh");

/** The kinds of `TransporterError` and the statuses that come nearest. */
const KINDS = { failed: 500, rejected: 422, conflict: 409, notFound: 404, unauthorized: 401 };

/** Reject (or throw) with one to say what happened. */
export class TransporterError extends Error {
  constructor(kind, { status, body, retryAfterMs, cause, remote } = {}) {
    if (kind !== "unreachable" && !Object.hasOwn(KINDS, kind))
      throw new ConcordiaError(
        "E_OPTIONS",
        `a TransporterError is unreachable, ${Object.keys(KINDS).join(", ")}; not ${kind}`,
      );
    const what = status === undefined ? "" : ` (${status})`;
    super(cause?.message ?? `the transporter says: ${kind}${what}`, cause === undefined ? undefined : { cause });
    Object.assign(this, { kind, status, body, retryAfterMs, remote });
  }
  get name() {
    return "TransporterError";
  }
}

const isThenable = (value) => typeof value?.then === "function";

/** Settles as the promise does, or rejects with a timeout. */
function limited(promise, ms) {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(Object.assign(new Error(`no answer within ${ms} ms`), { [FACTS]: [TIMED_OUT] })),
      ms,
    );
  });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}

/** Runs a generator like an async function, but stays in this turn as long as nothing that it yields is a promise. */
function drive(steps, ms) {
  const go = (first) => {
    for (let next = first; ;) {
      const { done, value } = next();
      if (done) return value;
      if (isThenable(value))
        return limited(value, ms).then(
          (result) => go(() => steps.next(result)),
          (error) => go(() => steps.throw(error)),
        );
      next = () => steps.next(value);
    }
  };
  return go(() => steps.next());
}

/** As a promise, whatever `act` does. */
const promised = (act) => {
  try {
    return Promise.resolve(act());
  } catch (error) {
    return Promise.reject(error);
  }
};

/** By middleware and origin: the refresh of credentials that is under way, or how the last one ended. */
const refreshes = new WeakMap();
let moment = 0;

const isUnauthorized = (error) => [401, 407].includes(error?.status) || error?.kind === "unauthorized";

/** Lets middleware see to an error. Requests that meet the same refusal of their credentials ask for new ones once: whoever
 *  began before those were there waits, and does as the first one was told. */
function* seenTo(end, list, input, began) {
  const ask = () => through(list, "transmissionError", input, "error", end);
  const keeper = list.find((middleware) => typeof middleware.transmissionError === "function");
  if (keeper === undefined || !isUnauthorized(input.error)) return yield* ask();
  if (!refreshes.has(keeper)) refreshes.set(keeper, new Map());
  const [origins, origin] = [refreshes.get(keeper), end.origin ?? end];
  const known = origins.get(origin);
  if (known?.running) return (yield known.running) ?? input.error;
  if (known?.ended > began) return known.verdict ?? input.error;
  let settle;
  const state = { running: new Promise((resolve) => (settle = resolve)), verdict: undefined };
  origins.set(origin, state);
  try {
    const verdict = yield* ask();
    // What the middleware says in place of the refusal holds for all; without a word each keeps its own.
    if (verdict !== input.error) state.verdict = verdict;
    return verdict;
  } finally {
    state.running = undefined;
    state.ended = ++moment;
    settle(state.verdict);
  }
}

const ENVELOPE = ["data", "version", "res", "req", "status", "location", "complete", "deleted", "next", "cursor"];

/** What a method resolved with, in one form: an object that says more than the row alone, or the row. */
function opened(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { data: value };
  const names = Object.keys(value);
  const says = names.some((name) => ["data", "version", "res"].includes(name));
  return says && names.every((name) => ENVELOPE.includes(name)) ? value : { data: value };
}

/** One request: what it answered, opened. Throws what went wrong. */
function* request(end, action, prepare, make, item) {
  for (let repeats = 0; ; repeats++) {
    const list = middlewareOf(end);
    const said = { action };
    if (item) said.item = item;
    const began = ++moment;
    let req;
    try {
      req = yield prepare();
      req = yield* through(list, "send", { ...said, req }, "req", end);
      const answer = opened(yield make(req));
      const { status, res } = answer;
      const data = yield* through(list, "receive", { action, status, data: answer.data, req, res }, "data", end);
      return { ...answer, data, [FRESH]: answer[FRESH] && data === answer.data };
    } catch (error) {
      const input = { action, req, res: error?.res, error };
      const verdict = yield* seenTo(end, list, input, began);
      if (verdict !== "retry") throw verdict;
      if (repeats >= MOST_REPEATS) throw error;
    }
  }
}

/** `message` and `status` of a fetch that failed: browsers say it in words of their own, Node by a code. */
const isNetworkError = (error) =>
  error?.name === "NetworkError" ||
  (error instanceof TypeError && /fetch|network|load failed/i.test(error.message)) ||
  /^(ECONN|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|EPIPE)/.test(error?.code ?? error?.cause?.code ?? "");

const rejected = (cause) => new TransporterError("rejected", { cause });

const textOf = (body) => (body === undefined || typeof body === "string" ? body : safely(() => JSON.stringify(body)));

function safely(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}

const isRow = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What a refusal calls itself: the `type` or `code` that its body gives the problem (RFC 9457 §3.1.1). */
export const problemOf = (body) =>
  [body?.type, body?.code, body?.error?.type, body?.error?.code].filter((name) => typeof name === "string").join(" ") ||
  undefined;

/** Whatever was thrown, as facts. */
function factsOfError(thrown) {
  // Judged by what went wrong in it, told by its name.
  const error = thrown?.isMiddleware ? thrown.cause : thrown;
  if (error?.[FACTS]) return error[FACTS];
  const message = wordsOf(thrown);
  if (error?.kind === "unreachable" || (error?.kind === undefined && isNetworkError(error)))
    return [UNREACHABLE, message];
  // What the package itself refuses stays refused.
  if (error instanceof ConcordiaError) return factsOfError(rejected(error));
  const given = Number.isInteger(error?.status) && error.status >= 300 && error.status < 600 ? error.status : undefined;
  const status = given ?? KINDS[error?.kind] ?? KINDS.failed;
  const judged = error instanceof TransporterError ? KINDS[error.kind] : status;
  const wait = error?.retryAfterMs >= 0 ? String(Math.ceil(error.retryAfterMs / 1000)) : undefined;
  const remote = isRow(error?.remote) ? safely(() => structuredClone(error.remote)) : undefined;
  const facts = [ANSWERED, judged, remote === undefined ? EMPTY : JSON_VALUE, remote, textOf(error?.body), wait];
  facts[11] = message;
  facts[12] = given;
  facts[13] = problemOf(error?.body);
  return facts;
}

/** Data that nobody else holds. What cannot be cloned is read as JSON reads it: the endpoint has done its work, so its row counts. */
function ownData({ data, [FRESH]: fresh }) {
  if (fresh || typeof data !== "object") return data;
  return safely(() => structuredClone(data)) ?? safely(() => JSON.parse(JSON.stringify(data)));
}

/** What only the transporter understands, as the engine keeps it. What JSON cannot carry is as good as nothing. */
const asToken = (value) => (value === undefined ? undefined : safely(() => JSON.stringify(value)));

const applied = (answer) => {
  const { status, location, version } = answer;
  const data = ownData(answer);
  const kind = data === undefined || data === null ? EMPTY : JSON_VALUE;
  const code = status >= 200 && status < 300 ? status : 200;
  return [ANSWERED, code, kind, data, undefined, undefined, location, version];
};

const refused = (kind, message) => factsOfError(Object.assign(new TransporterError(kind), { message }));

/** One store's transporter. Its methods never throw, and answer every command with facts. */
export class Link {
  #end;
  #store;
  #shape;
  #checker;
  /** By the key that stands for the edit: what `addItemToQueue` has made of it. */
  #queue = new Map();
  /** How the app wants something read: by the promise that waits for it, or by the item. */
  #ways = new Map();
  #told;
  #decide;
  #probing = false;
  #waiting = false;
  #closed = new AbortController();

  /** `told.reachable()` is called when the endpoint can be reached again, `told.lost()` when it cannot, `told.authorized()` when
   *  there are new credentials; `told.decide(item, base, local, remote, status)` has the app's word about a conflict. `shape`: how rows look. */
  constructor(end, store, told, shape) {
    this.#end = end;
    this.#store = store;
    this.#told = told;
    this.#decide = told.decide;
    this.#shape = shape;
    this.#checker = end[CHECKER]?.();
    if (this.#checker) HttpOfflineChecker.attach(this.#checker, told, true);
  }

  /** The store is closed. */
  close() {
    this.#closed.abort();
    if (this.#checker) HttpOfflineChecker.attach(this.#checker, this.#told, false);
  }

  /** What else must be the same for a cursor to mean the same. */
  get scope() {
    return `${this.#end.scope ?? ""} ${this.#shape}\n`;
  }

  get probes() {
    return this.#checker !== undefined;
  }

  probe(command, store) {
    HttpOfflineChecker.check(this.#checker).then((reached) =>
      calling(() => answered(Asked.Probe, command, store, [reached ? ANSWERED : UNREACHABLE])),
    );
  }

  /** Who has no credentials holds up nobody who has others. */
  get origin() {
    const realms = middlewareOf(this.#end).flatMap(({ realm }) => realm ?? []);
    return [this.#end.origin ?? `store:${this.#store}`, ...realms].join(" ");
  }

  get patches() {
    return (this.#end.update ?? this.#end.constructor?.update) === "PATCH";
  }

  get conditional() {
    return this.#end.conditional === true;
  }

  /** Notes how a read is to be made. */
  inWay(of, args) {
    if (args.length > 0) this.#ways.set(of, args);
  }

  /** Forgets how a read was to be made: it was made, or will not be. */
  noWay(of) {
    this.#ways.delete(of);
  }

  #take(of) {
    const args = this.#ways.get(of) ?? [];
    this.noWay(of);
    return args;
  }

  push(command, store, action, payload, id, item, storageKey, idempotencyKey, version) {
    const [end, name, queue] = [this.#end, this.#store, this.#queue];
    const queued = () => {
      const given = { action, payload: structuredClone(payload), __id: String(item), _id: storageKey, id };
      return this.#queued({ ...given, idempotencyKey, store: name });
    };
    this.#ask(Asked.Edit, command, store, function* () {
      const queueItem = { ...(yield* queued()), version };
      const prepare = () => end._prepareSend(queueItem);
      const answer = yield* request(end, action, prepare, (req) => end._send(req), queueItem);
      // What is done needs no place in the queue; the rest comes again under the same key.
      queue.delete(idempotencyKey);
      return applied(answer);
    });
  }

  *#queued(queueItem) {
    const queue = this.#queue;
    const known = queue.get(queueItem.idempotencyKey);
    if (known !== undefined) return { ...known, payload: structuredClone(known.payload) };
    const others = [...queue.values()];
    const made = yield* through(middlewareOf(this.#end), "addItemToQueue", { queueItem, queue: others }, "queueItem");
    queue.set(queueItem.idempotencyKey, made);
    return { ...made, payload: structuredClone(made.payload) };
  }

  fetchAll(command, store, own, initial, page, cursor) {
    const end = this.#end;
    // Every page of a read is read in the same way; whoever wanted it forgets it when it has come to an end.
    const args = this.#ways.get(own) ?? [];
    const first = initial && own === undefined;
    const reading = {
      ...(page !== undefined && { page: JSON.parse(page) }),
      ...(cursor !== undefined && { cursor: JSON.parse(cursor) }),
    };
    const goOn = (req) => end[GO_ON]?.(req, reading) ?? req;
    const prepare = () => {
      const req = ((first && end._prepareInitialFetch) || end._prepareFetch || ((way) => way)).apply(end, args);
      return isThenable(req) ? req.then(goOn) : goOn(req);
    };
    const make = (req) => (first && end._initialFetch ? end._initialFetch(req, reading) : end._fetch(req, reading));
    this.#ask(Asked.All, command, store, function* () {
      const answer = yield* request(end, first ? "initialFetch" : "fetch", prepare, make);
      if (answer.status === 304) return [ANSWERED, 304, EMPTY];
      const isList = Array.isArray(answer.data);
      const facts = applied(isList ? answer : {});
      if (!isList) facts[11] = "`_fetch` of the transporter answered";
      // A part of the collection proves nothing about what is not in it.
      facts[9] = answer.complete ?? (answer.cursor === undefined && answer.deleted === undefined);
      facts[10] = Array.isArray(answer.deleted) ? answer.deleted : [];
      facts[14] = asToken(answer.next);
      facts[15] = asToken(answer.cursor);
      return facts;
    });
  }

  fetchOne(command, store, id, item) {
    const end = this.#end;
    const make = end._sendFetchOne ?? end._fetchOne;
    const args = this.#take(`item ${item}`);
    const prepare = () => (end._prepareFetchOne ?? ((key) => key)).call(end, id, ...args);
    this.#ask(Asked.One, command, store, function* () {
      if (typeof make !== "function" || make.isMissing)
        return refused("rejected", "the transporter has no `_fetchOne`");
      const answer = yield* request(end, "fetchOne", prepare, (req) => make.call(end, req));
      if (answer.data === undefined || answer.data === null) return refused("notFound", "it does not exist there");
      return applied(answer);
    });
  }

  /** Asks the app about a conflict. */
  resolve(command, store, ...conflict) {
    promised(() => this.#decide(...conflict)).then(
      (word) =>
        isRow(word) || ["local", "remote"].includes(word)
          ? calling(() => resolved(command, store, word, undefined))
          : calling(() => resolved(command, store, undefined, "`onConflict` gave neither values nor local nor remote")),
      (error) => calling(() => resolved(command, store, undefined, `\`onConflict\` failed: ${wordsOf(error)}`)),
    );
  }

  /** Carries the steps out, and answers the command with the facts that they come to. */
  #ask(asked, command, store, steps) {
    promised(() => drive(steps(), this.#end.timeout ?? DEFAULT_TIMEOUT_MS))
      .catch(factsOfError)
      .then((facts) => {
        calling(() => answered(asked, command, store, facts));
        this.#note(facts[0]);
        if (facts[0] === ANSWERED && facts[1] === KINDS.unauthorized) this.#awaitCredentials();
      });
  }

  /** Asks the middleware that brings credentials to say when there are new ones. */
  #awaitCredentials() {
    const { signal } = this.#closed;
    const asked = middlewareOf(this.#end).filter(({ onceAuthorized }) => typeof onceAuthorized === "function");
    if (this.#waiting || asked.length === 0) return;
    this.#waiting = true;
    Promise.race(asked.map((middleware) => promised(() => middleware.onceAuthorized({ signal }))))
      .finally(() => {
        this.#waiting = false;
      })
      .then(() => signal.aborted || this.#told.authorized())
      .catch(() => {});
  }

  /** What an answer, or that there was none, tells those who want to know whether the endpoint can be reached. */
  #note(ending) {
    if (ending === UNREACHABLE) {
      this.#checker?.setOffline();
      this.#probe();
    } else if (ending === ANSWERED) this.#checker?.setOnline();
  }

  /** Asks the transporter, if it can tell, to say when its endpoint is back. */
  #probe() {
    if (this.#probing || typeof this.#end.onceAvailable !== "function") return;
    this.#probing = true;
    promised(() => this.#end.onceAvailable())
      .then(() => this.#told.reachable())
      .catch(() => {})
      .finally(() => {
        this.#probing = false;
      });
  }
}

const isTombstone = ({ _sync: sync }) => sync?.pending?.action === "delete" || sync?.inFlight?.action === "delete";

/** One store's client storage. Writes are made in the order in which they were asked for; what needs no promise is done at
 *  once. */
export class Keeper {
  #end;
  /** `{store, key, storageKey}`: the store's name and the names of its keys in a record. */
  #names;
  #known = new Set();
  #last;

  constructor(end, names) {
    this.#end = end;
    this.#names = names;
  }

  load(store) {
    const [end, names, known] = [this.#end, this.#names, this.#known];
    const initial = end._initialFetch;
    const prepare = () => (end._prepareInitialFetch ?? end._prepareFetch)?.call(end, names);
    const make = (req) => (initial ? initial.call(end, req) : end._fetch(req));
    const steps = function* () {
      const answer = yield* request(end, "initialFetch", prepare, make);
      if (!Array.isArray(answer.data)) throw new Error("the client storage gave no array of records");
      const records = ownData(answer);
      for (const record of records) known.add(record?.[names.storageKey]);
      return records;
    };
    this.#run(steps).then(
      (records) => calling(() => loaded(store, records, undefined)),
      (error) => calling(() => loaded(store, undefined, error ?? new Error("the client storage failed"))),
    );
  }

  write(command, records, erased, items) {
    const item = Array.from(items, String).values();
    const [end, known, { store, key, storageKey }] = [this.#end, this.#known, this.#names];
    const told = (record, action) => ({
      action,
      payload: record,
      __id: item.next().value,
      _id: record[storageKey],
      id: record[key],
      store,
    });
    // As they are now: whoever waits for an earlier batch must not see what is edited meanwhile.
    const edits = [
      ...records.map((record) => told(structuredClone(record), "update")),
      ...erased.map((_id) => told({ [storageKey]: _id }, "delete")),
    ];
    const steps = function* () {
      if (typeof end._sendAll === "function" && middlewareOf(end).length === 0) return void (yield end._sendAll(edits));
      for (const edit of edits) {
        if (edit.action === "update" && !known.has(edit._id)) edit.action = "create";
        const removes = edit.action !== "delete" && isTombstone(edit.payload) && end.remove !== undefined;
        if (removes && !end.remove.isDefault) yield end.remove(edit);
        else
          yield* request(
            end,
            edit.action,
            () => end._prepareSend(edit),
            (req) => end._send(req),
            edit,
          );
        if (edit.action === "delete") known.delete(edit._id);
        else known.add(edit._id);
      }
    };
    this.#run(steps).then(
      () => calling(() => persisted(command, undefined)),
      (error) => calling(() => persisted(command, error ?? new Error("the client storage failed"))),
    );
  }

  /** One after the other; the next begins at once if nothing is under way. */
  #run(steps) {
    const begin = () => drive(steps(), this.#end.timeout ?? DEFAULT_TIMEOUT_MS);
    const running = this.#last === undefined ? promised(begin) : this.#last.then(begin);
    const ended = running.then(
      () => {},
      () => {},
    );
    this.#last = ended;
    ended.then(() => {
      if (this.#last === ended) this.#last = undefined;
    });
    return running;
  }
}
