// OAuth 2.0 sessions as page script uses them. Owns the options and the beginning of a login, which has to be synchronous; the
// rest is in `rest.js`, loaded at first use.

import { ConcordiaError } from "../error.js";
import { demandStorage, loadRest, userKey, withRest } from "./larger-half.js";
import { sha256 } from "./sha256.js";
import { MemoryStateStorage } from "./state-storage.js";

/** For one token request: people wait for it. */
const HTTP_TIMEOUT_MS = 5000;
/** For one call of a storage. */
const STORAGE_TIMEOUT_MS = 5000;

/** The logins that were begun in this process or page and have not come back, by `state`. */
const logins = new Map();
/** The oldest gives way: they are begun by whoever comes along. */
const MOST_LOGINS = 10_000;
/** As many for one user: tabs, and tries that were given up. */
const MOST_LOGINS_OF_A_USER = 5;

let sessions = 0;

const refuse = (name, what) => {
  throw new ConcordiaError("E_OPTIONS", `\`${name}\` ${what}`);
};

function address(name, value, protocols) {
  let url;
  try {
    url = new URL(value);
  } catch {
    refuse(name, "must be an absolute address");
  }
  if (protocols && !protocols.test(url.protocol)) refuse(name, "must be an http: or https: address");
  if (url.username || url.password || url.hash) refuse(name, "must have no user, password or fragment");
  return value;
}

function readOptions(given) {
  if (typeof given !== "object" || given === null) refuse("Session", "needs an object of options");
  const { clientId, clientSecret, scope, issuer, logger, revocationUrl, storage } = given;
  if (typeof clientId !== "string" || clientId === "") refuse("clientId", "must be the client's name at the server");
  for (const [name, value] of Object.entries({ clientSecret, scope, issuer }))
    if (value !== undefined && typeof value !== "string") refuse(name, "must be text");
  if (logger !== undefined && typeof logger !== "function") refuse("logger", "must be a function");
  const web = /^https?:$/;
  const { httpTimeout = HTTP_TIMEOUT_MS, storageTimeout = STORAGE_TIMEOUT_MS } = given;
  for (const [name, ms] of Object.entries({ httpTimeout, storageTimeout }))
    if (!(typeof ms === "number" && ms > 0 && ms <= 2_147_483_647)) refuse(name, "must be a number of milliseconds");
  return {
    ...{ clientId, clientSecret, scope, issuer, httpTimeout, storageTimeout },
    log: (...said) => logger?.(...said),
    authorizationUrl: String(address("authorizationUrl", given.authorizationUrl, web)),
    tokenUrl: String(address("tokenUrl", given.tokenUrl, web)),
    revocationUrl: revocationUrl === undefined ? undefined : String(address("revocationUrl", revocationUrl, web)),
    redirectUrl: String(address("redirectUrl", given.redirectUrl)),
    storage: storage === undefined ? new MemoryStateStorage() : demandStorage(storage),
  };
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (sign) => ({ "+": "-", "/": "_", "=": "" })[sign]);

/** 256 bits that nobody can guess. */
const secret = () => base64url(globalThis.crypto.getRandomValues(new Uint8Array(32)));

/** What survives the way to the server and back, for this tab alone; none outside of pages. */
const tab = () => {
  try {
    return globalThis.document && globalThis.sessionStorage;
  } catch {
    return undefined;
  }
};

/** The users of an API, each with a login of their own. */
export class Session {
  #config;
  /** Tells instances apart: an app has one for all users, or one for each request. */
  #number = ++sessions;
  #users = new Set();

  constructor(options) {
    this.#config = { ...readOptions(options), logins, number: this.#number, tab };
    this.#config.alone = this.#config.storage instanceof MemoryStateStorage;
  }

  getAuthUrl(state = secret(), extra = {}, userId) {
    const { authorizationUrl, clientId, redirectUrl, scope } = this.#config;
    if (typeof state !== "string" || state === "") refuse("state", "must be text");
    const [known] = this.#users;
    const user = userId === undefined ? (this.#users.size === 1 ? known : undefined) : userKey(userId);
    const verifier = this.#remember(state, user, userId !== undefined);
    const url = new URL(authorizationUrl);
    const own = {
      ...{ response_type: "code", client_id: clientId, redirect_uri: redirectUrl, state },
      ...{ code_challenge: base64url(sha256(verifier)), code_challenge_method: "S256" },
    };
    for (const [name, value] of Object.entries({ ...(scope !== undefined && { scope }), ...extra, ...own }))
      url.searchParams.set(name, value);
    return url.href;
  }

  /** Notes a login; its verifier. The same `state` again is the same login again. */
  #remember(state, user, bound) {
    const known = logins.get(state);
    const login = { verifier: secret(), times: 0, user, bound, session: this.#number, ...known, at: Date.now() };
    login.times++;
    logins.delete(state);
    logins.set(state, login);
    if (logins.size > MOST_LOGINS) logins.delete(logins.keys().next().value);
    try {
      tab()?.setItem(`concordia:login:${state}`, JSON.stringify([login.verifier, login.at]));
    } catch {
      // No room, or forbidden: this page still knows it.
    }
    if (user !== undefined) this.#keep(user, [state, login.verifier, login.at]);
    return login.verifier;
  }

  /** Adds the login to the state of its user: at once where the storage answers at once, since the request that leads to the
   *  server may be over when this turn is. */
  #keep(user, login) {
    const { storage, log } = this.#config;
    const added = (state) => ({ ...state, logins: [...(state?.logins ?? []), login].slice(-MOST_LOGINS_OF_A_USER) });
    const failed = ({ code }) => log("a login was begun, but could not be stored", code);
    try {
      const held = storage.get(user) ?? { concordia: 1 };
      if (held.concordia === 1) return void storage.set(user, added(held));
      held.then?.(undefined, () => {});
    } catch {
      return failed({ code: "E_STATE_STORAGE" });
    }
    withRest(({ changeState }) => changeState(this.#config, user, added)).catch(failed);
    return undefined;
  }

  /** Lets the larger half act for a user. */
  async #for(userId, act) {
    const user = userKey(userId);
    if (this.#users.size < 2) this.#users.add(user);
    return withRest((rest) => act(rest, user));
  }

  async isAuthorized(userId) {
    return this.#for(userId, ({ isAuthorized }, user) => isAuthorized(this.#config, user));
  }

  async handleAuthorizationCodeRequest(userId, request) {
    const url = request?.originalUrl ?? request?.url;
    if (typeof url !== "string") refuse("request", "must have a `url`");
    await this.#for(userId, ({ exchange }, user) =>
      exchange(this.#config, user, new URL(url, this.#config.redirectUrl)),
    );
  }

  async exchangeCodeForAccessToken(userId, urlOrCode) {
    if (typeof urlOrCode !== "string" || urlOrCode === "") refuse("urlOrCode", "must be text");
    const isAddress = /^([a-z][a-z0-9+.-]*:\/\/|[/?])/i.test(urlOrCode);
    const given = isAddress ? new URL(urlOrCode, this.#config.redirectUrl) : urlOrCode;
    return this.#for(userId, ({ exchange }, user) => exchange(this.#config, user, given));
  }

  async getAccessToken(userId) {
    return this.#for(userId, ({ accessToken }, user) => accessToken(this.#config, user));
  }

  async revokeToken(userId) {
    return this.#for(userId, ({ revoke }, user) => revoke(this.#config, user));
  }

  middleware(userId, { url } = {}) {
    const user = userKey(userId);
    const base = url === undefined ? undefined : address("url", url, /^https?:$/);
    let carrier;
    const through =
      (method) =>
      async (...given) => {
        const { Carrier } = await loadRest();
        carrier ??= new Carrier(this.#config, user, base);
        return carrier[method](...given);
      };
    const methods = ["send", "receive", "transmissionError", "onceAuthorized"];
    const made = Object.fromEntries(methods.map((method) => [method, through(method)]));
    return { name: "session", realm: `session:${this.#number}:${user}`, ...made };
  }
}
