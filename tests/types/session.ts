/** State storages and sessions: what must type-check, and what must not. */
import {
  HttpTransporter,
  IndexedDbStateStorage,
  MemoryStateStorage,
  Session,
  StateClientStorage,
  Store,
  Schema,
  type ErrorCode,
  type Middleware,
  type StateStorage,
} from "../../pkg/index.js";
import { stateStorageSuite, type ConformanceCase } from "../../pkg/conformance.js";

const is = <T>(_value: T): void => {};

const states = new Map<string, unknown>();
const inline: StateStorage = {
  get: (userId) => states.get(String(userId)),
  set: (userId, state) => states.set(String(userId), state),
};
const typed: StateStorage<{ count: number }> = { get: async () => ({ count: 1 }), set: async () => {} };
const locking: StateStorage = { ...inline, lock: (_name, _ms, work) => work() };
// @ts-expect-error -- a storage needs `set`
const half: StateStorage = { get: () => undefined };

const options = {
  clientId: "app",
  authorizationUrl: "https://id.example/authorize",
  tokenUrl: "https://id.example/token",
  redirectUrl: "https://app.example/callback",
};
const session = new Session({ ...options, storage: locking, logger: (...said) => is<unknown[]>(said) });
new Session({ ...options, storage: new MemoryStateStorage() });
new Session({ ...options, storage: new IndexedDbStateStorage({ database: "states" }) });
// @ts-expect-error -- a session needs a client
new Session({ authorizationUrl: "", tokenUrl: "", redirectUrl: "" });

is<string>(session.getAuthUrl());
is<string>(session.getAuthUrl("state", { prompt: "login" }, 7));
is<Promise<boolean>>(session.isAuthorized(1));
is<Promise<string>>(session.getAccessToken("1"));
is<Promise<string>>(session.exchangeCodeForAccessToken("1", "https://app.example/callback?code=x"));
is<Promise<void>>(session.handleAuthorizationCodeRequest("1", { url: "/callback?code=x", headers: {} }));
is<Promise<void>>(session.handleAuthorizationCodeRequest("1", new Request("https://app.example/callback?code=x")));
is<Promise<void>>(session.revokeToken("1"));
is<Middleware>(session.middleware("1", { url: "https://api.example/v1" }));
// @ts-expect-error -- a user is a string or a number
session.getAccessToken({});

const transporter = new HttpTransporter({ baseUrl: "https://api.example", path: "people" }).use(session.middleware(1));
const clientStorage = new StateClientStorage({ storage: inline, userId: 1 });
new Store({ schema: new Schema({ properties: { name: String } }), transporter, clientStorage });
// @ts-expect-error -- it needs a user
new StateClientStorage({ storage: inline });

is<ErrorCode>("E_STATE_STORAGE");
is<ConformanceCase[]>(stateStorageSuite({ make: () => inline, users: "one" }));
is<ConformanceCase[]>(
  stateStorageSuite({ make: async () => ({ storage: typed, reopen: () => typed }), reopens: true }),
);
is<unknown>(half);
