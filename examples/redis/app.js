/** A server with many users, whose state is in Redis: one session for all of them. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { ConcordiaError, Session } from "concordia";

/** `options` of a `Session`, `storage` included. */
export function makeServer(options) {
  const session = new Session(options);
  const routes = {
    async "/"(user) {
      return (await session.isAuthorized(user)) ? { body: "logged in" } : { body: "logged out" };
    },
    async "/login"(user) {
      return { to: session.getAuthUrl(undefined, {}, user) };
    },
    async "/callback"(user, req) {
      await session.handleAuthorizationCodeRequest(user, req);
      return { to: "/" };
    },
    async "/logout"(user) {
      await session.revokeToken(user);
      return { to: "/" };
    },
  };
  return createServer(async (req, res) => {
    const route = routes[new URL(req.url, "http://localhost").pathname];
    if (route === undefined) return void res.writeHead(404).end();
    const user = /(?:^|; )user=([\w-]{36})(?:;|$)/.exec(req.headers.cookie ?? "")?.[1] ?? randomUUID();
    res.setHeader("Set-Cookie", `user=${user}; HttpOnly; SameSite=Lax; Path=/`);
    try {
      const { to, body } = await route(user, req);
      if (to) res.writeHead(302, { Location: to }).end();
      else res.end(body);
    } catch (error) {
      const isTheirs = ["E_AUTH_STATE", "E_AUTH", "E_SESSION"].includes(error.code);
      console.error(error instanceof ConcordiaError ? error.code : error);
      res.writeHead(isTheirs ? 400 : 503).end(isTheirs ? "Please log in again." : "Please try again later.");
    }
    return undefined;
  });
}
