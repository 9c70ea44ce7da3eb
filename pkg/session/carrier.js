// The session as middleware of a transporter. Owns which requests carry the token, and what becomes of a 401; who refreshes is the
// business of `refresh.js`, what is held and sent again that of the engine.

import { Fault } from "./fault.js";
import { accessToken, onceSignedIn } from "./refresh.js";

const AUTHORIZATION = "authorization";

const bearerOf = (req) => {
  const [, value] = Object.entries(req?.headers ?? {}).find(([name]) => name.toLowerCase() === AUTHORIZATION) ?? [];
  return /^Bearer (.+)$/.exec(value)?.[1];
};

/** Whether an address is in the collection, or is the collection. */
function leadsInto(base, address) {
  const [within, to] = [new URL(base), new URL(address, base)];
  const path = within.pathname.replace(/\/+$/, "");
  return to.origin === within.origin && (to.pathname === path || to.pathname.startsWith(`${path}/`));
}

/** What a transporter makes of a fault: without a login everything is held, the rest is tried again later. Nothing has left. */
function told(fault) {
  if (fault.code === "E_SESSION") return fault;
  return Object.assign(new Fault(fault.code, fault.message), { kind: "unreachable" });
}

export class Carrier {
  #config;
  #user;
  #base;
  /** The token that came when another one was refused, until a server has taken it. */
  #fresh;
  /** The token that was refused last; null for a request without one, undefined if there was none to send. */
  #refused;

  constructor(config, user, base) {
    this.#config = config;
    this.#user = user;
    this.#base = base;
  }

  async send({ req }, end) {
    const base = this.#base ?? end?.basePath;
    if (base === undefined || typeof req?.url !== "string")
      throw Object.assign(
        new Fault(
          "E_OPTIONS",
          "a session adds its token to requests with a `url`, of an HttpTransporter or of `session.middleware(userId, { url })`",
        ),
        { kind: "rejected", status: 422 },
      );
    if (!leadsInto(base, req.url)) return undefined;
    let token;
    try {
      token = await accessToken(this.#config, this.#user);
    } catch (fault) {
      if (fault.code === "E_SESSION") this.#refused = undefined;
      throw told(fault);
    }
    const others = Object.entries(req.headers ?? {}).filter(([name]) => name.toLowerCase() !== AUTHORIZATION);
    return { ...req, headers: { ...Object.fromEntries(others), Authorization: `Bearer ${token}` } };
  }

  receive({ req }) {
    if (this.#fresh !== undefined && bearerOf(req) === this.#fresh) this.#fresh = undefined;
  }

  async transmissionError({ req, error }) {
    if (error?.status !== 401 || error instanceof Fault || error?.cause instanceof Fault) return undefined;
    const used = bearerOf(req);
    this.#refused = used ?? null;
    // One refresh for a refused token: if the new one is refused, too, another one would not help.
    if (used === undefined || used === this.#fresh) return undefined;
    try {
      this.#fresh = await accessToken(this.#config, this.#user, used);
      return "retry";
    } catch (fault) {
      if (fault.code !== "E_SESSION") return told(fault);
      this.#refused = undefined;
      return undefined;
    }
  }

  onceAuthorized({ signal }) {
    return onceSignedIn(this.#config, this.#user, this.#refused, signal);
  }
}
