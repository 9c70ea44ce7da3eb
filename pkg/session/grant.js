// What is asked of an authorisation server: tokens for a code or for a refresh token (RFC 6749 §4.1.3, §6), and that a token be
// revoked (RFC 7009). Owns the form of the requests and what their answers mean. Secrets, codes and tokens are in bodies alone, and
// in nothing that is thrown.

import { Fault, labelOf, limited } from "./fault.js";

/** What is told of a refusal: the code of RFC 6749 §5.2, if it is one. */
const codeOf = (error) => (typeof error === "string" && /^[\w-]{1,40}$/.test(error) ? error : undefined);

/** The largest answer that is read: a token is some kilobytes at most. */
const MOST_CHARACTERS = 1 << 20;

/** What an access token may consist of, so that it is safe in a header (RFC 6750 §2.1 allows even less). */
const TOKEN = /^[\x21-\x7e]+$/;

/** A token is renewed when a tenth of its time is left, half a minute at most: a request has to arrive with it. */
const EARLY_MS = 30_000;

async function post(config, address, fields) {
  const { clientId, clientSecret, httpTimeout } = config;
  const body = new URLSearchParams();
  const all = { ...fields, client_id: clientId, client_secret: clientSecret };
  for (const [name, value] of Object.entries(all)) if (value !== undefined) body.set(name, value);
  const controller = new AbortController();
  const exchange = async () => {
    const response = await fetch(address, {
      method: "POST",
      headers: { Accept: "application/json" },
      body,
      // Followed, a redirect would hand the secret to another server.
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal: controller.signal,
    });
    return { status: response.status, text: await response.text() };
  };
  try {
    return await limited(exchange(), httpTimeout, () => {
      controller.abort();
      return new Fault("E_TIMEOUT", `the authorisation server gave no answer within ${httpTimeout} ms`);
    });
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("E_UNREACHABLE", `the authorisation server could not be reached${labelOf(error)}`);
  }
}

function readJson(text) {
  try {
    const value = text.length > MOST_CHARACTERS ? undefined : JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The tokens as they are kept: `{access, refresh?, expiresAt?, renewAt?}`. */
async function tokens(config, fields) {
  const asked = Date.now();
  const { status, text } = await post(config, config.tokenUrl, fields);
  const answer = readJson(text);
  if (status !== 200) {
    if (status >= 500 || status === 429 || status === 408)
      throw new Fault("E_SERVER", `the authorisation server answered ${status}`, { status });
    const error = codeOf(answer?.error);
    const said = error ? `: ${error}` : "";
    throw new Fault("E_AUTH", `the authorisation server refused the request for a token (${status}${said})`, {
      status,
      body: error && JSON.stringify({ error }),
    });
  }
  const { access_token: access, refresh_token: refresh, token_type: type, expires_in: expiresIn } = answer ?? {};
  const seconds = Number.parseFloat(expiresIn);
  const isSound =
    TOKEN.test(typeof access === "string" ? access : "") &&
    (refresh === undefined || refresh === null || (typeof refresh === "string" && refresh !== "")) &&
    (type === undefined || String(type).toLowerCase() === "bearer");
  if (!isSound) throw new Fault("E_BAD_ANSWER", "the authorisation server gave no bearer token", { status });
  const kept = { access };
  if (refresh) kept.refresh = refresh;
  if (seconds >= 0) {
    kept.expiresAt = asked + seconds * 1000;
    kept.renewAt = kept.expiresAt - Math.min(EARLY_MS, seconds * 100);
  }
  return kept;
}

export const tokensForCode = (config, code, verifier) =>
  tokens(config, {
    grant_type: "authorization_code",
    code,
    redirect_uri: config.redirectUrl,
    code_verifier: verifier,
  });

/** A server that gives no new refresh token means the old one (RFC 6749 §6). */
export async function tokensForRefresh(config, refresh) {
  const got = await tokens(config, { grant_type: "refresh_token", refresh_token: refresh });
  return { ...got, refresh: got.refresh ?? refresh };
}

/** Whether the server refused because of the grant itself: then no try will bring a token. */
export const isSpent = (fault) =>
  fault instanceof Fault && fault.code === "E_AUTH" && /invalid_grant/.test(fault.body ?? "");

/** Has both tokens revoked. That the refresh token is counts: a server need not revoke access tokens (RFC 7009 §2.2.1). */
export async function revokeRemotely(config, { access, refresh }) {
  if (config.revocationUrl === undefined) return;
  const ask = (token, hint) => post(config, config.revocationUrl, { token, token_type_hint: hint });
  const other = refresh === undefined ? undefined : ask(access, "access_token").catch(() => {});
  const { status } = await (refresh === undefined ? ask(access, "access_token") : ask(refresh, "refresh_token"));
  await other;
  if (status !== 200)
    throw new Fault("E_AUTH", `the authorisation server did not revoke the token (${status})`, { status });
}
