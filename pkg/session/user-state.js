// The state of one user in a StateStorage: `{concordia: 1, session?, logins?, claim?, stores?}`, plain JSON. Owns reading and
// changing it: in this process one after the other, and where the storage or the browser lends a lock, over all of them. What
// the parts mean is the business of `tokens.js`, `login.js` and `records.js`.
//
// A state is never changed in place: a storage may hand out the very object that it keeps.

import { Fault, isThenable, labelOf, limited } from "./fault.js";

const FORMAT = 1;

const failed = (what) =>
  new Fault("E_STATE_STORAGE", `the state storage ${what}; nothing is known of this user's login`);

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The state, if it is one. */
function checked(state) {
  if (state === undefined || state === null) return { concordia: FORMAT };
  const lists = ["logins", "stores"].every((name) => state[name] === undefined || Array.isArray(state[name]));
  const parts = ["session", "claim"].every((name) => state[name] === undefined || isObject(state[name]));
  const { access, refresh } = state.session ?? { access: "" };
  const tokens = [access, refresh].every((token) => token === undefined || typeof token === "string");
  if (isObject(state) && state.concordia === FORMAT && lists && parts && tokens) return state;
  throw failed("gave something that is no state of this package");
}

const isEmpty = (state) => Object.keys(state).every((name) => name === "concordia" || state[name]?.length === 0);

/** The state without one of its parts. */
export const without = (state, part) => Object.fromEntries(Object.entries(state).filter(([name]) => name !== part));

/** Whether locks of the browser reach all who share the storage. Node has some, too, but for one process. */
const browserLocks = () => (globalThis.process?.versions?.node === undefined ? globalThis.navigator?.locks : undefined);

/** By storage and user: what waits to be changed. */
const queues = new WeakMap();

/** By storage: its first call, as long as it is not answered. Many connect then, and not all can be asked twice meanwhile. */
const firsts = new WeakMap();

export class UserState {
  #storage;
  #user;
  #limit;

  constructor({ storage, storageTimeout }, user) {
    this.#storage = storage;
    this.#user = user;
    this.#limit = storageTimeout;
  }

  /** Settles as `act` does. What answers at once does so in this turn: an inline storage has then read and written in one. */
  #asked(act, then) {
    const wrong = (error) => {
      throw error instanceof Fault ? error : failed(`failed${labelOf(error)}`);
    };
    try {
      const isFirst = !firsts.has(this.#storage);
      const first = firsts.get(this.#storage);
      if (first !== undefined) return first.then(() => this.#asked(act, then));
      const answer = act();
      if (!isThenable(answer)) return then(answer);
      const answered = limited(answer, this.#limit, () => failed(`did not answer within ${this.#limit} ms`));
      if (isFirst) {
        const settled = () => firsts.set(this.#storage, undefined);
        firsts.set(this.#storage, answered.then(settled, settled));
      }
      return answered.then(then).catch(wrong);
    } catch (error) {
      return wrong(error);
    }
  }

  async read() {
    return this.#asked(() => this.#storage.get(this.#user), checked);
  }

  /** Whether somebody else can be kept out. */
  get canLock() {
    return typeof this.#storage.lock === "function" || browserLocks() !== undefined;
  }

  /** Does the work, which takes `ms` at most, while nobody else does one of this name for this user, in any process or tab that
   *  the lock reaches. Waits until one that was left behind by a dead process has ended by itself. */
  async locked(name, ms, work) {
    const lock = `${name} ${this.#user}`;
    const [begun, done] = [deferred(), deferred()];
    const phase = { isOver: false, outcome: undefined };
    const guarded = async () => {
      // A lock that comes late, or twice, is of no use any more.
      if (phase.isOver) return;
      phase.isOver = true;
      begun.resolve();
      phase.outcome = await work().then(
        (value) => ({ value }),
        (error) => ({ error }),
      );
      done.resolve();
    };
    const own = typeof this.#storage.lock === "function";
    const lent = own
      ? (async () => this.#storage.lock(lock, ms, guarded))()
      : browserLocks().request(`concordia ${lock}`, guarded);
    try {
      await limited(Promise.race([begun.promise, lent]), 2 * ms, () => {
        phase.isOver = true;
        return failed(`lent no lock within ${2 * ms} ms`);
      });
      // Whoever has done the work need not wait until the lock is given back.
      await Promise.race([done.promise, lent]);
    } catch (error) {
      if (!phase.outcome) throw error instanceof Fault ? error : failed(`lent no lock${labelOf(error)}`);
    } finally {
      lent.catch(() => {});
    }
    const { error, value } = phase.outcome ?? { error: failed("has a `lock` that did not do the work") };
    if (error) throw error;
    return value;
  }

  /** Changes the state: `step` gives the new one, or the same one if there is nothing to change, or throws. Settles with the
   *  state as it then is, once it is stored. What comes in one turn is stored at once. */
  change(step) {
    return new Promise((resolve, reject) => {
      if (!queues.has(this.#storage)) queues.set(this.#storage, new Map());
      const users = queues.get(this.#storage);
      const queue = users.get(this.#user);
      const entry = { step, resolve, reject };
      if (queue) queue.push(entry);
      else {
        users.set(this.#user, [entry]);
        this.#work(users);
      }
    });
  }

  async #work(users) {
    const queue = users.get(this.#user);
    // The rest of the turn joins.
    await undefined;
    while (queue.length > 0) {
      const batch = queue.splice(0);
      const settle = { steps: batch.map(({ step }) => step), results: [] };
      try {
        const once = async () => this.#once(settle);
        await (this.canLock ? this.locked("state", 2 * this.#limit, once) : once());
        batch.forEach(({ resolve, reject }, at) => {
          const { error, state } = settle.results[at];
          if (error) reject(error);
          else resolve(state);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    users.delete(this.#user);
  }

  /** Reads, changes and writes; without a turn in between where the storage needs none. */
  #once(settle) {
    return this.#asked(
      () => this.#storage.get(this.#user),
      (raw) => {
        const before = checked(raw);
        let state = before;
        settle.results = settle.steps.map((step) => {
          try {
            state = step(state);
            return { state };
          } catch (error) {
            return { error };
          }
        });
        if (state === before) return undefined;
        const next = isEmpty(state) ? undefined : { ...state, concordia: FORMAT };
        return this.#asked(
          () => this.#storage.set(this.#user, next),
          () => undefined,
        );
      },
    );
  }
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => {
    made.resolve = resolve;
  });
  return made;
}
