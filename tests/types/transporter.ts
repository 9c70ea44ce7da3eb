// Transporters and client storages: the options of the ones that come with the package, and the shape of one's own.

import {
  BaseTransporter,
  ClientStorage,
  EmptyTransporter,
  HttpTransporter,
  IndexedDbClientStorage,
  Schema,
  Store,
  Transporter,
} from "../../pkg/index.js";
import type {
  ClientStorageLike,
  FetchOneResult,
  FetchResult,
  HttpTransporterOptions,
  Middleware,
  PushQueueItem,
  SendResult,
  TransporterLike,
} from "../../pkg/index.js";
import * as concordia from "../../pkg/index.js";

const schema = new Schema({ name: String });

// Options of the HTTP transporter.
const options: HttpTransporterOptions = {
  baseUrl: "https://example.org/api",
  path: "people",
  headers: { Accept: "application/json" },
  credentials: "include",
  methods: { create: { method: "PUT", pathTemplate: ":basePath/:id" } },
  idempotencyKey: "X-Request-Id",
  conditional: false,
  since: { param: "since", from: (res) => res.headers.get("X-Cursor") ?? undefined },
  pages: (_res, body) => body.next,
  rows: (body) => body.data,
  live: { url: "/events", parse: () => "refetch" },
};
new HttpTransporter(options);
HttpTransporter.baseUrl = "/api";

// Any object with the methods is a transporter.
const rows = new Map<string, Record<string, unknown>>();
const memory: TransporterLike = {
  _prepareSend: (queueItem: PushQueueItem) => queueItem,
  _send: (queueItem: PushQueueItem): SendResult => {
    rows.set(queueItem.__id, queueItem.payload);
    return { id: queueItem.__id };
  },
  _fetch: async (): Promise<FetchResult> => ({ data: [...rows.values()], complete: true }),
  _fetchOne: (id: string): FetchOneResult => rows.get(id) ?? null,
};
const storage: ClientStorageLike = { ...memory, remove: (queueItem) => void rows.delete(queueItem.__id) };
new Store({ schema, name: "memory", transporter: memory, clientStorage: storage });
new Store({ schema, name: "none", transporter: new EmptyTransporter(), clientStorage: new EmptyTransporter() });

// Classes can be extended.
class Remembering extends Transporter {
  static override middleware: Middleware[] = [...BaseTransporter.middleware];
  override _fetch(): FetchResult {
    return [...rows.values()];
  }
}
class Local extends ClientStorage {
  override remove(queueItem: PushQueueItem): void {
    rows.delete(queueItem.__id);
  }
}
Remembering.add({ name: "log", send: ({ req, action }) => (console.log(action), req) });
new Store({ schema, name: "own", transporter: new Remembering().use({}), clientStorage: new Local() });

// What must not compile.
// @ts-expect-error a path is needed
new HttpTransporter({ baseUrl: "/api" });
// @ts-expect-error options are needed
new HttpTransporter();
// @ts-expect-error no such way to update
new HttpTransporter({ path: "people", update: "POST" });
// @ts-expect-error milliseconds, as a number
new HttpTransporter({ path: "people", timeout: "5s" });
// @ts-expect-error header values are text
new HttpTransporter({ path: "people", headers: { "X-Age": 1 } });
// @ts-expect-error no such durability
new IndexedDbClientStorage({ durability: "eventual" });
// @ts-expect-error a name
new IndexedDbClientStorage({ database: 1 });
// @ts-expect-error methods are missing
export const half: TransporterLike = { _prepareSend: () => ({}) };
// @ts-expect-error told, not set
(({}) as PushQueueItem).action = "create";
// @ts-expect-error the compiler's own, not the page's
concordia.VALUES;
// @ts-expect-error not part of the surface
concordia.RowOf;

// Reading, reachability and live changes.
const checker = new concordia.HttpOfflineChecker({ pattern: /api/, checkUrl: "/ping", method: "HEAD" });
export const reached: boolean = checker.test("/api/people") && checker.isOffline;
export const back: Promise<void> = checker.setOffline();
HttpTransporter.addOfflineChecker(checker);
HttpTransporter.addOfflineChecker({ pattern: "*", checkUrl: "/ping" });
new HttpTransporter({
  path: "people",
  pages: "link",
  since: { param: "since", from: (res, body) => res.headers.get("X-Cursor") ?? body.cursor },
  rows: (body) => body.rows,
  deleted: (body) => body.deleted,
  conditional: false,
  live: {
    url: "/events",
    parse: (message) => (message.kind === "row" ? { action: "update", data: message } : undefined),
  },
  offlineChecker: checker,
});
new HttpTransporter({
  path: "people",
  pages: (res) => res.headers.get("X-Next") ?? undefined,
  live: "wss://example.org",
});
export const paged: TransporterLike = {
  _prepareSend: () => ({}),
  _send: () => undefined,
  _fetch: (_, { cursor, page }) => ({ data: [], cursor: cursor ?? 1, next: page, deleted: ["1"], complete: false }),
};
// @ts-expect-error no such header to take a cursor from
new HttpTransporter({ path: "people", since: { param: "since", from: "Date" } });
// @ts-expect-error a checker, not what it is made from
new HttpTransporter({ path: "people", offlineChecker: { pattern: "*", checkUrl: "/ping" } });
// @ts-expect-error an address is needed
new concordia.HttpOfflineChecker({ pattern: "*" });
