/**
 * Middleware that signs requests with a short-lived access token (RFC 6750) and gets a new one when the server no longer
 * takes it. Works with every HttpTransporter.
 *
 * The token is held in memory only. What proves who the person is – here a cookie that scripts cannot read – is the
 * business of the address that gives tokens.
 */
import { TransporterError, TransporterMiddleware } from "/concordia/index.js";

export class AuthMiddleware extends TransporterMiddleware {
  /** By this name another middleware can replace it. */
  static uniqueName = "auth";

  #tokenUrl;
  #token;
  /** Whether the server has taken the token at least once: one that it never took is not worth a second attempt. */
  #hasWorked = false;
  #refreshing;

  /** `tokenUrl`: a POST to it is answered with `{"access_token": "…"}`, or with 401 to who is not signed in. */
  constructor({ tokenUrl }) {
    super();
    this.#tokenUrl = tokenUrl;
  }

  /** Before each request. If no token is to be had, the request goes without: its answer then says what is wrong. */
  async send({ req }) {
    if (this.#token === undefined) await this.#refresh().catch(() => {});
    if (this.#token !== undefined) req.headers.Authorization = bearer(this.#token);
    return req;
  }

  /** After each answer that was good. */
  receive({ req }) {
    if (this.#isCurrent(req)) this.#hasWorked = true;
  }

  /** After each answer that was not. "retry" has the request made again at once, through `send` above. */
  async transmissionError({ error, req }) {
    if (error.status !== 401) return undefined;
    // Another request has been quicker: the new token is here.
    if (this.#token !== undefined && !this.#isCurrent(req)) return "retry";
    // A new token, and refused as well: signing in again is up to the person. The store keeps the edits meanwhile ("held").
    if (this.#token !== undefined && !this.#hasWorked) {
      this.#token = undefined;
      return undefined;
    }
    try {
      await this.#refresh();
    } catch (cause) {
      return new TransporterError("unreachable", { cause });
    }
    return this.#token === undefined ? undefined : "retry";
  }

  #isCurrent(req) {
    return this.#token !== undefined && req?.headers?.Authorization === bearer(this.#token);
  }

  /** However many requests need a new token, it is asked for once. */
  #refresh() {
    this.#refreshing ??= this.#askForToken().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  /** Afterwards there is a new token, or none if the server no longer knows who this is. Rejects if that is unknown. */
  async #askForToken() {
    const response = await fetch(this.#tokenUrl, { method: "POST", credentials: "same-origin" });
    if (!response.ok && response.status !== 401) throw new Error(`No token: the server answers ${response.status}.`);
    this.#token = response.ok ? (await response.json()).access_token : undefined;
    this.#hasWorked = false;
  }
}

const bearer = (token) => `Bearer ${token}`;
