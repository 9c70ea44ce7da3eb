/**
 * A strict OAuth 2.0 authorisation server, with an API that takes its tokens. It demands PKCE with S256 and secrets in bodies, gives
 * each code and each refresh token once, and ends the whole login when a spent refresh token comes again (RFC 9700 §4.14.2).
 *
 * - `startAuthorizationServer({ expiresIn, rotate, secret })` → `{ origin, options, counts, log, close(), … }`; `options` are those of a
 *   `Session`.
 * - `logIn(url, login)` follows an address of `getAuthUrl` as a browser would, for the person `login`: the address that they
 *   are sent back to.
 * - `expire()` makes the API refuse all access tokens given so far; `end(login)` ends all sessions of a person.
 * - `answer(name, act)`: `act({ incoming, outgoing, fields })` answers the next request to `token` or `revoke` instead.
 * - `api`: the rows of the REST collection `/api/people` by person; every request to it is in `log` with its `login`.
 */
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const CLIENT = "concordia-test";

export async function startAuthorizationServer({
  expiresIn = 3600,
  rotate = true,
  secret = "the-client-secret-canary",
  issuer = false,
  port = 0,
} = {}) {
  const server = new AuthorizationServer({ expiresIn, rotate, secret, issuer });
  await server.listen(port);
  return server;
}

class AuthorizationServer {
  log = [];
  /** What was asked of the token endpoint, by grant type; `reused`: spent refresh tokens that came again. */
  counts = { authorization_code: 0, refresh_token: 0, reused: 0, revoked: 0 };
  api = new Map();
  /** Seconds for the next token of a person. */
  lifetimes = new Map();
  /** Everything secret that it has ever given out or was given. */
  secrets = new Set();
  #codes = new Map();
  #access = new Map();
  #refresh = new Map();
  #answers = { token: [], revoke: [], api: [] };
  #server;

  constructor(settings) {
    Object.assign(this, settings);
    this.secrets.add(settings.secret);
  }

  async listen(port) {
    this.#server = createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch((error) => {
        outgoing.statusCode = 500;
        outgoing.end(String(error.stack));
      });
    });
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
    this.options = {
      clientId: CLIENT,
      ...(this.secret && { clientSecret: this.secret }),
      authorizationUrl: `${this.origin}/authorize`,
      tokenUrl: `${this.origin}/token`,
      revocationUrl: `${this.origin}/revoke`,
      redirectUrl: "http://127.0.0.1:9/callback",
    };
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  answer(name, act) {
    this.#answers[name].push(act);
  }

  /** Forgets one such answer; whether there was one. */
  drop(name) {
    return this.#answers[name].shift() !== undefined;
  }

  expire() {
    this.#access.clear();
  }

  end(login) {
    for (const tokens of [this.#access, this.#refresh])
      for (const [token, of] of tokens) if (of.login === login) tokens.delete(token);
  }

  /** Whether an access token is good now, and whose. */
  whose(token) {
    const { login, until } = this.#access.get(token) ?? {};
    return until > Date.now() ? login : undefined;
  }

  async logIn(url, login = "ada") {
    const answered = await fetch(`${url}&login=${encodeURIComponent(login)}`, { redirect: "manual" });
    const back = answered.headers.get("Location");
    if (back === null)
      throw new Error(`the authorisation server answered ${answered.status}: ${await answered.text()}`);
    return back;
  }

  #give(login, family, expiresIn = this.lifetimes.get(login) ?? this.expiresIn) {
    this.lifetimes.delete(login);
    const [access, refresh] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`];
    for (const secret of [access, refresh]) this.secrets.add(secret);
    this.#access.set(access, { login, until: Date.now() + expiresIn * 1000, family });
    this.#refresh.set(refresh, { login, family, spent: false });
    return { access_token: access, token_type: "Bearer", expires_in: expiresIn, refresh_token: refresh };
  }

  async #serve(incoming, outgoing) {
    const url = new URL(incoming.url, this.origin);
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const authorization = incoming.headers.authorization;
    const entry = { method: incoming.method, url: incoming.url, body, authorization, headers: incoming.headers };
    this.log.push(entry);
    outgoing.setHeader("Access-Control-Allow-Origin", incoming.headers.origin ?? "*");
    outgoing.setHeader("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Idempotency-Key");
    outgoing.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
    if (incoming.method === "OPTIONS") return void outgoing.end();
    if (url.pathname === "/authorize") return this.#authorize(url.searchParams, outgoing);
    const fields = Object.fromEntries(new URLSearchParams(body));
    const name = url.pathname.split("/")[1];
    const other = this.#answers[name]?.shift();
    if (other) {
      const answered = await other({ incoming, outgoing, fields, body });
      if (answered !== "go on") return undefined;
    }
    if (name === "token") return this.#token(fields, outgoing);
    if (name === "revoke") return this.#revoke(fields, outgoing);
    if (name === "api") return this.#api(entry, url, outgoing);
    outgoing.statusCode = 404;
    return void outgoing.end();
  }

  #authorize(query, outgoing) {
    const challenge = query.get("code_challenge");
    const isSound =
      query.get("client_id") === CLIENT &&
      query.get("response_type") === "code" &&
      query.get("code_challenge_method") === "S256" &&
      /^[\w-]{43}$/.test(challenge ?? "");
    if (!isSound) {
      outgoing.statusCode = 400;
      return void outgoing.end("not a request for a code with PKCE");
    }
    const code = `code-${randomUUID()}`;
    this.secrets.add(code);
    const redirect = query.get("redirect_uri");
    this.#codes.set(code, { challenge, redirect, login: query.get("login") ?? "ada" });
    const back = new URL(redirect);
    if (query.get("login") === "nobody") back.searchParams.set("error", "access_denied");
    else back.searchParams.set("code", code);
    back.searchParams.set("state", query.get("state"));
    if (this.issuer) back.searchParams.set("iss", this.issuer === true ? this.origin : this.issuer);
    outgoing.writeHead(302, { Location: back.href });
    return void outgoing.end();
  }

  #token(fields, outgoing) {
    const grant = fields.grant_type;
    this.counts[grant]++;
    if (fields.client_id !== CLIENT || (this.secret && fields.client_secret !== this.secret))
      return json(outgoing, 401, { error: "invalid_client" });
    if (grant === "authorization_code") {
      this.secrets.add(fields.code_verifier);
      const found = this.#codes.get(fields.code);
      this.#codes.delete(fields.code);
      const challenge = createHash("sha256")
        .update(fields.code_verifier ?? "")
        .digest("base64url");
      const isGood = found?.challenge === challenge && found.redirect === fields.redirect_uri;
      return isGood
        ? json(outgoing, 200, this.#give(found.login, randomUUID()))
        : json(outgoing, 400, { error: "invalid_grant" });
    }
    const found = this.#refresh.get(fields.refresh_token);
    if (found?.spent) {
      this.counts.reused++;
      for (const tokens of [this.#access, this.#refresh])
        for (const [token, { family }] of tokens) if (family === found.family) tokens.delete(token);
    }
    if (found === undefined || found.spent) return json(outgoing, 400, { error: "invalid_grant" });
    const given = this.#give(found.login, found.family);
    if (this.rotate) found.spent = true;
    else delete given.refresh_token;
    return json(outgoing, 200, given);
  }

  #revoke({ token }, outgoing) {
    this.counts.revoked++;
    this.#access.delete(token);
    this.#refresh.delete(token);
    outgoing.end();
  }

  /** `/api/people`: each person has rows of their own. */
  #api(entry, url, outgoing) {
    const login = this.whose(/^Bearer (.+)$/.exec(entry.authorization ?? "")?.[1]);
    entry.login = login;
    if (login === undefined) return json(outgoing, 401, { title: "no good token" });
    if (!this.api.has(login)) this.api.set(login, []);
    const rows = this.api.get(login);
    const id = decodeURIComponent(url.pathname.split("/")[3] ?? "");
    const at = rows.findIndex((row) => row.id === id);
    if (entry.method === "GET") return json(outgoing, 200, id ? rows[at] : rows);
    if (entry.method === "POST") {
      const row = { ...JSON.parse(entry.body), id: randomUUID() };
      rows.push(row);
      return json(outgoing, 201, row);
    }
    if (at < 0) return json(outgoing, 404, {});
    if (entry.method === "DELETE") rows.splice(at, 1);
    else rows[at] = { ...rows[at], ...JSON.parse(entry.body), id };
    return json(outgoing, 200, entry.method === "DELETE" ? {} : rows[at]);
  }
}

export function json(outgoing, status, value) {
  outgoing.writeHead(status, { "Content-Type": "application/json" });
  outgoing.end(JSON.stringify(value));
}
