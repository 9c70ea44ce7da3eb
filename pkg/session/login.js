// The way back from the authorisation server, and the end of a session. Owns what is checked before a code is exchanged: `state`,
// once and for the user who began (RFC 6749 §10.12), the verifier of PKCE (RFC 7636), and `iss` (RFC 9207).

import { Fault } from "./fault.js";
import { revokeRemotely, tokensForCode } from "./grant.js";
import { accessToken, end, forget, signedIn } from "./refresh.js";
import { UserState, without } from "./user-state.js";

/** People do something else before they have typed their password. */
const LOGIN_MS = 15 * 60_000;

const isFresh = (at) => Date.now() - at < LOGIN_MS;

const unknown = () =>
  new Fault(
    "E_AUTH_STATE",
    "this answer belongs to no login that was begun here for this user, or to an old one; log in again",
  );

/** Compares in a time that does not tell where two texts differ. */
function isSame(one, other) {
  if (typeof other !== "string" || one.length !== other.length) return false;
  let difference = 0;
  for (let at = 0; at < one.length; at++) difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return difference === 0;
}

/** Takes the login with this `state` out of wherever it is noted: its verifier. Without a `state`: the user's last one. */
async function take(config, id, given) {
  const user = new UserState(config, id);
  const { logins = [] } = await user.read();
  const fresh = logins.filter(([, , at]) => isFresh(at));
  const own = given === undefined ? fresh.at(-1) : fresh.find(([state]) => isSame(given, state));
  const state = given ?? own?.[0] ?? lastOf(config, id);
  const known = state === undefined ? undefined : takeKnown(config, state);
  if (own !== undefined) {
    let found = false;
    await user.change((before) => {
      const rest = (before.logins ?? []).filter(([other, , at]) => other !== own[0] && isFresh(at));
      found = (before.logins ?? []).some(([other]) => other === own[0]);
      return found ? { ...without(before, "logins"), ...(rest.length > 0 && { logins: rest }) } : before;
    });
    if (!found) throw unknown();
    return own[1];
  }
  if (known === undefined || !isFresh(known.at)) throw unknown();
  // A login that was begun for somebody is for nobody else. Where an instance serves one request, so is one that was begun by
  // the instance of another user; where it serves all, it cannot tell.
  const isForeign = known.user !== undefined && known.user !== id;
  if (isForeign && (known.bound || known.session !== config.number)) throw unknown();
  return known.verifier;
}

/** The `state` of the login that this instance has begun last, for this user or for nobody in particular. */
function lastOf({ logins, number }, id) {
  const found = [...logins].filter(([, { session, user, bound }]) => session === number && (!bound || user === id));
  return found.at(-1)?.[0];
}

function takeKnown({ logins, tab }, state) {
  const name = `concordia:login:${state}`;
  const noted = logins.get(state);
  if (noted !== undefined && --noted.times <= 0) logins.delete(state);
  try {
    const text = tab()?.getItem(name);
    tab()?.removeItem(name);
    if (noted !== undefined || !text) return noted;
    const [verifier, at] = JSON.parse(text);
    return { verifier, at };
  } catch {
    return noted;
  }
}

/** An answer that names another server than the one that was asked is an attack by that (RFC 9207 §2.4). */
function checkIssuer({ issuer, authorizationUrl, tokenUrl }, given) {
  if (given === null) return;
  const isExpected =
    issuer === undefined
      ? [authorizationUrl, tokenUrl].some((address) => new URL(address).origin === originOf(given))
      : isSame(issuer, given);
  if (!isExpected)
    throw new Fault("E_AUTH_STATE", "the answer is from another authorisation server than the one that was asked");
}

function originOf(address) {
  try {
    return new URL(address).origin;
  } catch {
    return undefined;
  }
}

/** Exchanges what came back, an address or a bare code, for tokens, and stores them; the access token. */
export async function exchange(config, id, given) {
  const isBare = typeof given === "string";
  const query = isBare ? new URLSearchParams({ code: given }) : given.searchParams;
  if (["state", "code", "iss", "error"].some((name) => query.getAll(name).length > 1)) throw unknown();
  const state = query.get("state") ?? undefined;
  if (!isBare && !state) throw unknown();
  const verifier = await take(config, id, state);
  checkIssuer(config, query.get("iss"));
  const refusal = query.get("error");
  if (refusal !== null) {
    const error = /^[\w-]{1,40}$/.test(refusal) ? refusal : "unknown";
    const body = JSON.stringify({ error });
    throw new Fault("E_AUTH", `the authorisation server refused the login: ${error}`, { body });
  }
  const code = query.get("code");
  if (!code) throw new Fault("E_AUTH_STATE", "the answer to the login holds no code");
  const session = await tokensForCode(config, code, verifier);
  if (session.refresh !== undefined) forget(config, session.refresh);
  const user = new UserState(config, id);
  await user.change((before) => ({ ...without(before, "claim"), session }));
  config.log("a user has logged in");
  signedIn();
  return session.access;
}

/** Whether there is a usable token; one that has expired is refreshed. */
export async function isAuthorized(config, id) {
  try {
    await accessToken(config, id);
    return true;
  } catch (fault) {
    if (fault instanceof Fault && fault.code === "E_SESSION") return false;
    throw fault;
  }
}

/** Ends the session here, whether or not the server can be told. */
export async function revoke(config, id) {
  const user = new UserState(config, id);
  const { session } = await user.read();
  if (session === undefined) return;
  try {
    await revokeRemotely(config, session);
  } catch (fault) {
    config.log("a token could not be revoked", fault.code);
  } finally {
    end(config, session);
    await user.change((state) => without(without(state, "session"), "claim"));
  }
}
