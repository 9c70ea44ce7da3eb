// Who may have a new access token fetched, and when. Owns the one refresh for any number of callers: in this process by a list of
// what is under way, over tabs and processes by a lock, and where nothing lends one by a claim in the state itself.
//
// A refresh token counts as spent from the moment at which it was sent. What came of it is stored before anybody is given the access
// token, and is remembered here in case the storage fails or gives an old copy once more: so none is sent twice.

import { Fault, pause } from "./fault.js";
import { isSpent, revokeRemotely, tokensForRefresh } from "./grant.js";
import { UserState, without } from "./user-state.js";

/** The shortest time between a claim and the look whether it has stood. A claim is written right after the look that found
 *  none, so this bounds how long a process may stall there; see docs/state-storage.md. */
const SETTLE_MS = 400;
const LATE_MS = 2000;
const LOOK_AGAIN_MS = 50;

/** What came of refresh tokens: under way, or known. The oldest is forgotten first. */
const flights = new Map();
const successors = new Map();
const MOST_SUCCESSORS = 1000;

const keyOf = ({ tokenUrl, clientId }, refresh) => JSON.stringify([tokenUrl, clientId, refresh]);

export const signIn = () =>
  new Fault("E_SESSION", "the user is not logged in, or has to log in again", { status: 401 });

const isUsable = ({ access, renewAt = Infinity }, refused) =>
  access !== undefined && access !== refused && Date.now() < renewAt;

/** What became of a session whose refresh token was sent before; nothing if it has ended. */
function latest(config, session) {
  let found = session;
  while (found?.refresh !== undefined && successors.has(keyOf(config, found.refresh)))
    found = successors.get(keyOf(config, found.refresh));
  return found;
}

function remember(config, refresh, session) {
  if (session !== undefined) forget(config, session.refresh);
  successors.set(keyOf(config, refresh), session);
  if (successors.size > MOST_SUCCESSORS) successors.delete(successors.keys().next().value);
}

/** A refresh token that a server has just given is a good one. */
export const forget = (config, refresh) => successors.delete(keyOf(config, refresh));

/** A session has ended: whoever holds a copy of it must not go on with it. */
export const end = (config, { refresh }) => refresh !== undefined && remember(config, refresh, undefined);

/** Puts one session in the place of another, if that is still there. */
export const replacing = (old, session) => (state) => {
  if (state.session?.refresh !== old.refresh || state.session?.access !== old.access) return state;
  const rest = without(without(state, "claim"), "session");
  return session === undefined ? rest : { ...rest, session };
};

/** The stored session, put right if it is an old copy. */
async function current(config, user) {
  const { session } = await user.read();
  const newer = latest(config, session);
  if (newer !== session) await user.change(replacing(session, newer));
  if (newer === undefined) throw signIn();
  return newer;
}

/** A usable access token; `refused` is one that a server did not take. */
export async function accessToken(config, id, refused) {
  const user = new UserState(config, id);
  const session = await current(config, user);
  if (isUsable(session, refused)) return session.access;
  if (session.refresh === undefined) {
    await user.change(replacing(session, undefined));
    throw signIn();
  }
  const key = keyOf(config, session.refresh);
  if (!flights.has(key)) {
    const flight = refreshed(config, user, refused).finally(() => flights.delete(key));
    flights.set(key, { flight, storage: config.storage });
  }
  const { flight, storage } = flights.get(key);
  const next = await flight;
  // Another session object has a copy of its own, in the request that it belongs to.
  if (storage !== config.storage) await user.change(replacing(session, next));
  return next.access;
}

/** The session after one refresh at most, made by whoever is first. */
async function refreshed(config, user, refused) {
  const ms = config.httpTimeout + 3 * config.storageTimeout;
  if (user.canLock) return user.locked("refresh", ms, () => fly(config, user, refused));
  if (config.alone) return fly(config, user, refused);
  return claimed(config, user, refused, ms);
}

/** Refreshes, unless somebody has done so meanwhile. Nobody else does so now. */
async function fly(config, user, refused) {
  const session = await current(config, user);
  if (isUsable(session, refused) || session.refresh === undefined) return session;
  let next;
  try {
    next = await tokensForRefresh(config, session.refresh);
  } catch (fault) {
    if (!isSpent(fault)) throw fault;
    return afterRefusal(config, user, session, refused);
  }
  if (next.refresh !== session.refresh) remember(config, session.refresh, next);
  const state = await user.change(replacing(session, next));
  if (state.session?.access !== next.access) {
    // Logged out, or in again, while the token was on its way: it is nobody's.
    end(config, next);
    await revokeRemotely(config, next).catch(({ code }) => config.log("a token could not be revoked", code));
    return current(config, user);
  }
  config.log("an access token was refreshed");
  return next;
}

/** The server does not know the refresh token: either another process was faster, or the login has ended. */
async function afterRefusal(config, user, session, refused) {
  const { session: stored } = await user.read();
  if (stored?.refresh !== undefined && stored.refresh !== session.refresh) return fly(config, user, refused);
  end(config, session);
  await user.change(replacing(session, undefined));
  config.log("the refresh token is not valid any more");
  throw signIn();
}

/** Refreshes under a claim written into the state: of several, the one that was written last wins, once all have looked (Fischer's
 *  algorithm). Whoever holds one and says nothing for `ms` is gone. */
async function claimed(config, user, refused, ms) {
  const by = String(Math.random());
  const gone = new Set([by]);
  const until = Date.now() + 5 * ms;
  let seen, since;
  while (Date.now() < until) {
    const session = await current(config, user);
    if (isUsable(session, refused)) return session;
    const { claim } = await user.read();
    if (claim === undefined || gone.has(claim.by)) {
      if (await stands(user, by, gone)) return release(user, by, () => fly(config, user, refused));
    } else {
      if (seen !== claim.by) [seen, since] = [claim.by, Date.now()];
      if (Date.now() - since > ms) gone.add(claim.by);
      await pause(LOOK_AGAIN_MS);
    }
  }
  throw new Fault("E_TIMEOUT", "other processes refresh the token, and do not come to an end");
}

/** Whether this process has the claim, alone. */
async function stands(user, by, gone) {
  const began = Date.now();
  await user.change((state) =>
    state.claim === undefined || gone.has(state.claim.by) ? { ...state, claim: { by } } : state,
  );
  const took = Date.now() - began;
  // If it took long, somebody may have looked in between, and be at work now: then there is time to come to an end.
  await pause(took < SETTLE_MS / 2 ? SETTLE_MS : LATE_MS + 4 * took);
  return (await user.read()).claim?.by === by;
}

async function release(user, by, work) {
  try {
    return await work();
  } finally {
    await user.change((state) => (state.claim?.by === by ? without(state, "claim") : state)).catch(() => {});
  }
}

/** How often a storage is asked whether somebody has logged in elsewhere: in another tab or process. */
const LOOK_FOR_LOGIN_MS = 3000;
const waiting = new Set();

/** Settles when there is a session whose token is not the one that was refused. `refused` null: another than the one now. */
export async function onceSignedIn(config, id, refused, signal) {
  const user = new UserState(config, id);
  let old = refused;
  let wake;
  const heard = () => wake();
  waiting.add(heard);
  while (!signal.aborted) {
    const news = new Promise((resolve) => {
      wake = resolve;
    });
    try {
      const session = latest(config, (await user.read()).session);
      if (old === null) old = session?.access;
      else if (session !== undefined && session.access !== old) break;
    } catch {
      // Asked again later.
    }
    await Promise.race([news, pause(LOOK_FOR_LOGIN_MS, signal)]);
  }
  waiting.delete(heard);
}

/** Somebody has logged in here. */
export function signedIn() {
  for (const heard of waiting) heard();
}
